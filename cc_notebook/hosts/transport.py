"""How text reaches a machine: `run` a script there. The ssh program is the first transport over a network."""

import os
import shlex
import subprocess
from collections.abc import Sequence
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


class Command:
    """A transport by a program that hands its standard input to `sh`: `sh` itself here, `ssh HOST sh` elsewhere."""

    def __init__(self, command: Sequence[str], end: Sequence[str] = (), remote: bool = False) -> None:
        self.command, self.end, self.remote = list(command), list(end), remote

    def run(self, script: str, timeout: float) -> Result:
        """See Transport.run."""
        data = script.encode(errors="surrogateescape")
        return self._do(self.command, timeout, input=data, stdout=subprocess.PIPE)

    def get(self, script: str, file: IO[bytes], timeout: float) -> None:
        """See Transport.get."""
        done = self._do(self.command, timeout, input=script.encode(errors="surrogateescape"), stdout=file)
        if done.code:
            raise UnavailableError(f"{self.command[0]}: {done.err.strip() or f'exit code {done.code}'}")

    def put(self, script: str, file: IO[bytes], timeout: float) -> Result:
        """See Transport.put. A program that joins its words, as ssh does, gets the script quoted."""
        words = [*self.command, "-c", shlex.quote(script) if self.remote else script]
        return self._do(words, timeout, stdin=file, stdout=subprocess.PIPE)

    def _do(self, words: Sequence[str], timeout: float, **streams: Any) -> Result:
        try:
            done = subprocess.run(words, stderr=subprocess.PIPE, timeout=timeout, check=False, **streams)
        except subprocess.TimeoutExpired:
            raise UnavailableError(f"{self.command[0]}: no answer within {timeout:g} s") from None
        except OSError as error:
            raise UnavailableError(f"{self.command[0]} cannot be started: {error.strerror}") from None
        out = (done.stdout or b"").decode(errors="replace")
        return Result(done.returncode, out, done.stderr.decode(errors="replace"))

    def close(self) -> None:
        """See Transport.close."""
        if self.end:
            subprocess.run(self.end, capture_output=True, timeout=10, check=False)


def openssh(address: str, user: str, port: int | None, config: str | None) -> Command:
    """The system's ssh with one shared connection per host; it reads the user's own ssh configuration."""
    os.makedirs(os.path.expanduser("~/.ssh"), mode=0o700, exist_ok=True)
    words = ["ssh", "-o", "BatchMode=yes", "-o", "ConnectTimeout=15", "-o", "ControlPath=~/.ssh/cc-%C"]
    words += ["-o", "ControlMaster=auto", "-o", "ControlPersist=60"]
    words += ["-F", os.path.expanduser(config)] if config else []
    words += ["-p", str(port)] if port else []
    words += ["-l", user] if user else []
    return Command([*words, "--", address, "sh"], [*words, "-O", "exit", "--", address], remote=True)
