"""How text reaches a machine: `run` a script there. The ssh program is the first transport over a network."""

import os
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

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

    def close(self) -> None:
        """Hang up; what was started there goes on."""


class Command:
    """A transport by a program that hands its standard input to `sh`: `sh` itself here, `ssh HOST sh` elsewhere."""

    def __init__(self, command: Sequence[str], end: Sequence[str] = ()) -> None:
        self.command, self.end = list(command), list(end)

    def run(self, script: str, timeout: float) -> Result:
        """See Transport.run."""
        try:
            data = script.encode(errors="surrogateescape")
            done = subprocess.run(self.command, input=data, capture_output=True, timeout=timeout, check=False)
        except subprocess.TimeoutExpired:
            raise UnavailableError(f"{self.command[0]}: no answer within {timeout:g} s") from None
        except OSError as error:
            raise UnavailableError(f"{self.command[0]} cannot be started: {error.strerror}") from None
        return Result(done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace"))

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
    return Command([*words, "--", address, "sh"], [*words, "-O", "exit", "--", address])
