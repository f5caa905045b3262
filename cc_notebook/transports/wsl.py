"""A Linux distribution of WSL on this computer, through `wsl.exe`: from Windows, or from another distribution.

`wsl.exe` tells its own troubles in UTF-16 on the standard output, and what it makes of quotes in its arguments changed
between versions: so every text goes in by the standard input, and its arguments are plain words.
WSL may end a distribution that it takes for idle; a run's engine looks often enough to keep it alive.
"""

import shlex
import shutil
from typing import IO

from cc_notebook.errors import InputError, UnavailableError
from cc_notebook.hosts.transport import Result, Shell, execute
from cc_notebook.model import Host

PROGRAM = "wsl.exe"
FAILED = (-1, 255, 0xFFFFFFFF)  # the exit code of wsl.exe for its own troubles, as Windows and as Linux see it
TIMEOUT = 30.0  # seconds


def connect(name: str, user: str, host: Host) -> Shell:
    """The line to a distribution by its name; the default one without a name. Raises InputError without WSL."""
    if not shutil.which(PROGRAM):
        raise InputError(f"{name or 'wsl'}: {PROGRAM} is not there; WSL needs Windows (wsl --install), or to run in it")
    name, user = host.address or name, user or host.user
    words = [PROGRAM, *(["--distribution", name] if name else []), *(["--user", user] if user else [])]
    words += ["--cd", "/", "--exec", "sh"]

    def do(script: str, data: bytes | IO[bytes], out: IO[bytes] | None, timeout: float) -> Result:
        more = []
        if script:  # into a file, that removes itself
            keep = f'f=$(mktemp) && printf "rm -f %s\\n%s" "$f" {shlex.quote(script)} > "$f" && echo "$f"\n'
            more = do("", keep.encode(errors="surrogateescape"), None, TIMEOUT).out.splitlines() or ["no-room"]
        done = execute([*words, *more], data, out, timeout, decode)
        if done.code in FAILED:
            told = " ".join(f"{done.out} {done.err}".split()) or f"exit code {done.code}"
            raise UnavailableError(f"{PROGRAM}: {told}; what is there says: {PROGRAM} --list --verbose")
        return done

    return Shell(do)


def decode(data: bytes) -> str:
    """What was printed: UTF-8 by the distribution, UTF-16 by wsl.exe itself."""
    own = data.endswith(b"\n\0") and len(data) % 2 == 0
    return data.decode("utf-16-le" if own else "utf-8", errors="replace").removeprefix("\ufeff")
