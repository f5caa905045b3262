"""What jobs on this computer share with the user's other runs: places, processors, gpus, memory. It starts nothing.

Each byte of one file stands for a unit; who holds its lock has the unit. The locks belong to an open file, so a process
that inherits it holds them on, and they end with the last holder, however that dies.
"""

import errno
import fcntl
import os
import shutil
import struct
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import psutil

from cc_notebook.errors import ResourceError
from cc_notebook.model import Host, Resources

KINDS = {"places": 0, "cpus": 1 << 32, "gpus": 1 << 33, "memory": 1 << 34}  # where the bytes of each begin
MEMORY = 64 << 20  # bytes of memory that one byte stands for


@dataclass(frozen=True, slots=True)
class Place:
    """What one attempt has: `descriptor` holds it, `gpus` are its numbers."""

    descriptor: int
    gpus: tuple[int, ...] = ()


class Slots:
    """The units of this computer; `limit` places are this run's own limit, `host` may say what there is."""

    def __init__(self, folder: Path, limit: int, host: Host) -> None:
        self.path, self.limit = folder / "units", limit
        self.has = here(host, Resources()).model_copy(update={"gpus": host.gpus})  # asked once, not for every job
        self.held: dict[str, Place] = {}  # what was taken for attempts that have not started yet
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)

    def take(self, attempt: str, wanted: Resources) -> str:
        """Hold a place with all that is wanted; else what is short."""
        try:
            descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise ResourceError(f"{self.path} cannot be opened: {error.strerror}") from error
        got: tuple[int, ...] = ()
        for kind, units, count in self._units(wanted):
            got = _lock(descriptor, KINDS[kind], units, count)
            if len(got) < count:
                os.close(descriptor)
                return kind
        self.held[attempt] = Place(descriptor, got)
        return ""

    def let_go(self, *attempts: str) -> None:
        """Their places are free, or belong to the processes that inherited them."""
        for place in [self.held.pop(attempt) for attempt in attempts if attempt in self.held]:
            os.close(place.descriptor)

    def _units(self, wanted: Resources) -> list[tuple[str, Sequence[int], int]]:
        """Each kind with its units and how many are wanted; the gpus come last. More places are as many processors."""
        memory = -(-(wanted.memory or 0) // MEMORY)
        found: list[tuple[str, Sequence[int], int]] = [
            ("places", range(self.limit), 1),
            ("cpus", range(max(self.limit, self.has.cpus or 1)), wanted.cpus),
            ("memory", range(max((self.has.memory or 0) // MEMORY, memory)) if memory else (), memory),
        ]
        gpus = range(self.has.gpus) if self.has.gpus is not None else _gpus() if wanted.gpus else ()
        return [*found, ("gpus", gpus, wanted.gpus)]


def here(host: Host, wanted: Resources) -> Host:
    """What this computer has; what `host` says comes first. Nobody is asked about gpus that are not wanted."""
    found: dict[str, int] = {"cpus": os.cpu_count() or 1, "memory": _memory()}
    found["gpus"] = len(_gpus()) if wanted.gpus and host.gpus is None else 0
    return host.model_copy(update={key: value for key, value in found.items() if getattr(host, key) is None})


def lacks(wanted: Resources, has: Host) -> str:
    """What is wanted that a machine does not have, in words; empty if it could run there. None is not known."""
    for kind in ("cpus", "gpus", "memory"):
        most, want = getattr(has, kind), getattr(wanted, kind) or 0
        if most is not None and want > most:
            hint = f"ask for less in 'resources:', or say '{kind}:' below its name in 'hosts:'"
            unit = " bytes of" if kind == "memory" else ""
            return f"it wants {want}{unit} {kind}, and the machine has {most}: {hint}"
    return ""


@cache
def _memory() -> int:
    return psutil.virtual_memory().total


@cache
def _gpus() -> Sequence[int]:
    """The numbers of the gpus, those that the environment leaves visible."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")
    if named := [int(number) for number in visible if number.isdecimal()]:
        return named
    if program := shutil.which("nvidia-smi"):
        with suppress(OSError, subprocess.SubprocessError):
            told = subprocess.run([program, "-L"], capture_output=True, text=True, timeout=20, check=False)
            return range(sum(line.startswith("GPU ") for line in told.stdout.splitlines()))
    return ()


def _lock(descriptor: int, start: int, units: Sequence[int], count: int) -> tuple[int, ...]:
    """Lock `count` of the units, or as many as are free."""
    got: list[int] = []
    for unit in units:
        if len(got) == count:
            break
        try:  # struct flock: type, whence, start, length, pid
            wish = struct.pack("hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, start + unit, 1, 0)
            fcntl.fcntl(descriptor, fcntl.F_OFD_SETLK, wish)
            got.append(unit)
        except OSError as error:
            if error.errno not in (errno.EACCES, errno.EAGAIN):
                raise
    return tuple(got)
