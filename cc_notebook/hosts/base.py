"""What the engine and a host say to each other, and what the files of an attempt folder mean. No I/O here."""

import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from cc_notebook.protocol import Report

LOST = "the wrapper and its processes are gone and left no exit record"
ENDINGS = ("exit", "signal", "timeout", "cancelled")


@dataclass(frozen=True, slots=True)
class Attempt:
    """The n-th try of a job: `folder` is `<job folder>/<n>` below the run's folder, `token` marks its processes."""

    job: str
    number: int
    token: str
    folder: str
    pattern: str | None = None


@dataclass(frozen=True, slots=True)
class Launch:
    """An attempt, the small files by name that its folder is made of, and what goes into its working directory.

    `inputs` maps paths here to names there. A remote host gets them always, a local one for an isolated attempt.
    """

    attempt: Attempt
    files: dict[str, str]
    inputs: dict[str, str] = field(default_factory=dict)
    isolated: bool = False


@dataclass(frozen=True, slots=True)
class Claim:
    """Who runs an attempt: pid, start time in clock ticks since boot, boot id, host name ('-' where unknown)."""

    pid: int
    born: str
    boot: str
    host: str


@dataclass(frozen=True, slots=True)
class Observation:
    """What a host saw of one attempt. `ending` is empty while it lives; times are seconds since the epoch there."""

    job: str
    number: int
    claim: Claim | None = None
    started: float | None = None
    ending: str = ""  # exit, signal, timeout, cancelled, lost, restarted, start
    code: int | None = None
    ended: float | None = None
    report: Report = field(default_factory=Report)
    reason: str = ""


class Host(Protocol):
    """A machine that runs attempts. Calls return at once; what they bring is seen by a later `observe`.

    `trouble` is why it cannot be reached now, empty if it can.
    The engine adopts an attempt that it did not start itself by `watch`; starting twice never runs twice.
    """

    trouble: str

    def free(self) -> int:
        """How many more attempts it would take now."""

    def reserve(self) -> bool:
        """Take the place for the next `start`; False if other runs have them all."""

    def release(self) -> None:
        """Give back the place of a start that will not come."""

    def start(self, launches: Sequence[Launch]) -> None:
        """Make the attempt folders and start the wrappers. Raises ResourceError (disk, folder): nothing ran."""

    def watch(self, attempts: Sequence[Attempt]) -> None:
        """Observe attempts that an earlier engine may have started."""

    def cancel(self, attempts: Sequence[Attempt]) -> None:
        """End the whole process tree of each attempt; the observation `cancelled` follows when nothing is left."""

    def observe(self) -> list[Observation]:
        """What is new since the last call; never blocks."""

    def wakers(self) -> list[int]:
        """File descriptors that become readable when `observe` has something."""

    def patience(self) -> float:
        """Seconds after which `observe` is worth a call although no descriptor is readable."""

    def close(self) -> None:
        """Let go of everything; running attempts go on."""


def job_folder(name: str) -> str:
    """A job's folder name: up to 40 safe characters and 8 hex digits of the name's hash."""
    safe = re.sub(r"[^A-Za-z0-9_.-]", "_", name)[:40].lstrip(".-") or "job"
    return f"{safe}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"


@dataclass(frozen=True, slots=True)
class Folder:
    """What the names in an attempt folder say."""

    ticket: bool = False
    claim: Claim | None = None
    claim_name: str = ""
    engine_took_it: bool = False
    ending: str = ""
    code: int | None = None
    record: str = ""


def read_folder(names: Iterable[str]) -> Folder:
    """Decode the file names of an attempt folder; unknown names are ignored."""
    found: dict[str, object] = {}
    for name in names:
        head, _, rest = name.partition(".")
        if name == "ticket":
            found["ticket"] = True
        elif head == "claim" and rest == "engine":
            found["engine_took_it"] = True
        elif head == "claim" and (match := re.fullmatch(r"(\d+)\.([\d-]+)\.([0-9a-f-]+)\.(.*)", rest)):
            found["claim"], found["claim_name"] = Claim(int(match[1]), match[2], match[3], match[4]), name
        elif head == "state" and (match := re.fullmatch(r"([a-z]+)(?:\.(\d+))?", rest)) and match[1] in ENDINGS:
            found |= {"ending": match[1], "code": int(match[2]) if match[2] else None, "record": name}
    return Folder(**found)  # type: ignore[arg-type]  # each name above is a field of that type
