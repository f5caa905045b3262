"""How text reaches a machine: what every transport can do, and one by any program."""

import re
import shlex
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import IO, Any, Protocol

from cc_notebook.errors import UnavailableError


@dataclass(frozen=True, slots=True)
class Result:
    """What a script printed, and its exit code."""

    code: int
    out: str
    err: str


class Transport(Protocol):
    """A line to one machine. Whether a script ran is unknown after an error: scripts must bear to be run twice."""

    def run(self, script: str, timeout: float) -> Result:
        """Run POSIX sh text there. Raises UnavailableError if the machine, or the answer, cannot be had in time."""

    def get(self, script: str, file: IO[bytes], timeout: float) -> None:
        """Run sh text there; what it prints goes into `file` byte for byte. Raises UnavailableError."""

    def put(self, script: str, file: IO[bytes], timeout: float) -> Result:
        """Run sh text there with `file` as its standard input. Raises UnavailableError."""

    def close(self) -> None:
        """Hang up; what was started there goes on."""


Do = Callable[[str, bytes | IO[bytes], IO[bytes] | None, float], Result]


class Shell:
    """A transport by one function, `do(script, data, out, timeout)`: run sh with `data` as its standard input there.

    Without a `script`, `data` is one. What is printed goes into `out`, or into the result.
    """

    def __init__(self, do: Do, close: Callable[[], None] = lambda: None) -> None:
        self._do, self.close = do, close

    def run(self, script: str, timeout: float) -> Result:
        """See Transport.run."""
        return self._do("", script.encode(errors="surrogateescape"), None, timeout)

    def get(self, script: str, file: IO[bytes], timeout: float) -> None:
        """See Transport.get."""
        done = self._do("", script.encode(errors="surrogateescape"), file, timeout)
        if done.code:
            raise UnavailableError(done.err.strip() or f"exit code {done.code}")

    def put(self, script: str, file: IO[bytes], timeout: float) -> Result:
        """See Transport.put."""
        return self._do(script, file, None, timeout)


def program(words: Sequence[str], joins: bool = False) -> Shell:
    """A transport by a program that starts sh: `sh` itself here, `ssh HOST sh`, which joins its words, elsewhere."""

    def do(script: str, data: bytes | IO[bytes], out: IO[bytes] | None, timeout: float) -> Result:
        more = ["-c", shlex.quote(script) if joins else script] if script else []
        return execute([*words, *more], data, out, timeout, text_of)

    return Shell(do)


def execute(
    words: Sequence[str], data: bytes | IO[bytes], out: IO[bytes] | None, timeout: float, text: Callable[[bytes], str]
) -> Result:
    """Run a program here; what it prints is made `text`, unless it goes into `out`. Raises UnavailableError."""
    source: Any = {"input": data} if isinstance(data, bytes) else {"stdin": data}
    streams = {"stdout": out or subprocess.PIPE, "stderr": subprocess.PIPE, **source}
    try:
        done = subprocess.run(words, timeout=timeout, check=False, **streams)
    except subprocess.TimeoutExpired:
        raise UnavailableError(f"{words[0]}: no answer within {timeout:g} s") from None
    except OSError as error:
        raise UnavailableError(f"{words[0]} cannot be started: {error.strerror}") from None
    return Result(done.returncode, text(done.stdout or b""), text(done.stderr))


def text_of(data: bytes) -> str:
    """What was printed, as text."""
    return data.decode(errors="replace")


def there(path: str) -> str:
    """A path on a machine as sh: `~/` is the home there, and a path of Windows what WSL calls it."""
    if re.match(r"[A-Za-z]:[\\/]|\\\\", path):
        _, *parts = re.split(r"[\\/]+", path)
        usual = "/".join(["", "mnt", path[0].lower(), *parts] if path[1] == ":" else ["", *parts[2:]])
        return f'"$(wslpath -u {shlex.quote(path)} 2> /dev/null || echo {shlex.quote(usual)})"'
    home = '"$HOME"/' if path.startswith("~/") else ""
    return home + shlex.quote(path.removeprefix("~/"))
