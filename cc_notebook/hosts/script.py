"""The script of one round trip: sh text out of launches and looks. It knows no line and no thread.

All of it may be done twice, so an answer that was lost does no harm; `resource.sh` has the functions that it calls.
"""

import hashlib
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from cc_notebook.errors import InputError
from cc_notebook.hosts.base import Attempt, Launch
from cc_notebook.hosts.folder import copied
from cc_notebook.model import Host

EMBEDDED = 65536  # bytes of a file that travels within the script
HASH = (  # of the standard input, on Linux, macOS and elsewhere
    'cc_hash() { for c in sha256sum "shasum -a 256" "openssl dgst -sha256 -r"; do '
    "command -v ${c%% *} > /dev/null && { $c; return; }; done; echo none; }; "
)
MB = 1 << 20


@dataclass(frozen=True, slots=True)
class Packed:
    """The inputs of a launch: by their names there where each comes from, and paths of files that go on their own."""

    ways: Mapping[str, str]
    texts: Mapping[str, str]  # for the script, by their hashes
    large: Mapping[str, str]


def pack(launch: Launch) -> Packed:
    """Read what is small; on its own goes what is long or has a zero byte, which no sh holds. Raises InputError."""
    ways, texts, large = {}, {}, {}
    for source, name in launch.inputs.items():
        try:
            with open(source, "rb") as file:
                data = file.read(EMBEDDED + 1)
        except OSError as error:
            raise InputError(f"the file {source} cannot be read here: {error.strerror}") from None
        if len(data) > EMBEDDED or b"\0" in data:
            large[name], ways[name] = source, f"'ln -f' {staged(launch.attempt, name)}"
        else:
            key = hashlib.sha256(data).hexdigest()
            texts[key], ways[name] = data.decode(errors="surrogateescape"), f"cp inputs/{key}"
    return Packed(ways, texts, large)


def staged(attempt: Attempt, name: str) -> str:
    """Where a large input waits for its attempt, below the run's folder, as sh."""
    return f"inputs/{shlex.quote(attempt.folder.replace('/', '.'))}/{shlex.quote(name)}"


@cache
def _functions() -> str:
    return (Path(__file__).parent / "resource.sh").read_text(encoding="utf-8")


def whole(run: str, parts: Sequence[str]) -> str:
    """The parts below the functions, in braces: what arrives in part is not run in part."""
    text = "\n".join([f"cc_run={run}", "cc_umask=$(umask)", "umask 077", HASH, _functions(), *parts])
    return "{\n" + text + "\necho; echo cc-end\n}\n"


def beside(kept: Mapping[str, str], first: bool) -> list[str]:
    """What is `kept` there of the run itself; at `first` also what stands beside every run."""
    files = [file(f'"$cc_run"/{name}', text) for name, text in {**(copied() if first else {}), **kept}.items()]
    return [*(['mkdir -p "$cc_run/stub/cloudmesh/common" "$cc_run/files" "$cc_run/journal"'] if first else []), *files]


def machine(host: Host) -> str:
    """Look what the machine has; what `host` says comes first."""
    memory = None if host.memory is None else host.memory // MB
    return "cc_machine " + " ".join(f"'{'' if value is None else value}'" for value in (host.cpus, host.gpus, memory))


def special(attempt: Attempt) -> bool:
    """True if it wants more than a place."""
    wanted = attempt.resources
    return wanted.cpus > 1 or wanted.gpus > 0 or wanted.memory is not None


def start(launch: Launch, packed: Packed, submit: str) -> str:
    """Make the attempt's folder, once, and `submit` its wrapper while nobody has claimed it and there is room."""
    attempt, folder = launch.attempt, shlex.quote(launch.attempt.folder)
    work = "files" if attempt.isolated else '"$cc_run"/files'
    steps = [f"printf %s {shlex.quote(text)} > {shlex.quote(name)}" for name, text in launch.files.items()]
    steps += [f"cc_put {way} {work}/{shlex.quote(name)}" for name, way in packed.ways.items()]
    steps += [f"cc_made {folder}", *([f'rm -rf "$cc_run"/{staged(attempt, "")}'] if packed.large else [])]
    make = " &&\n".join(steps)  # on a full disk nothing of it counts
    wanted, room = attempt.resources, ""
    if special(attempt):
        room = f"cc_take {attempt.token} {wanted.cpus} {wanted.gpus} {-(-(wanted.memory or 0) // MB)} && "
    enter = f'cd "$cc_run"/{folder} 2> /dev/null || {{ [ -e "$cc_run"/{folder}.made ] || echo cc-short; exit; }}'
    begin = f"({enter}\n[ ! -e claim ] && {room}{{\n{submit}\n}})"
    return f'if cc_begin {folder}; then\n{{ {make}\n}} || {{ cd "$cc_run" && rm -rf {folder}.part.$$; }}\nfi\n{begin}'


def file(target: str, text: str) -> str:
    """Make a file whole: under another name first, then renamed; printf is a builtin, nothing is expanded."""
    return f"printf %s {shlex.quote(text)} > {target}.part && mv {target}.part {target} || echo cc-short"
