"""What the engine and a host say to each other, and what the files of an attempt folder mean. No I/O here."""

import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from cc_notebook.model import Resources
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
    out: tuple[str, ...] = ()  # files that come back after a good end
    isolated: bool = False
    notebook: bool = False
    resources: Resources = field(default_factory=Resources)


@dataclass(frozen=True, slots=True)
class Launch:
    """An attempt, the small files by name that its folder is made of, and what goes into its working directory.

    `inputs` maps paths here to names there. A remote host gets them always, a local one for an isolated attempt.
    """

    attempt: Attempt
    files: dict[str, str]
    inputs: dict[str, str] = field(default_factory=dict)
    facts: dict[str, object] = field(default_factory=dict)  # what the result depends on, by name


@dataclass(frozen=True, slots=True)
class Claim:
    """Who runs an attempt: pid, boot id and host name; pid 0 and empty texts where the claim does not say."""

    pid: int = 0
    boot: str = ""
    host: str = ""


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

    `trouble` is why it cannot be reached now, empty if it can. `address` is None until the way there is open, see gate;
    `left` is None until it is closed by `leave`, after that why this failed, if it did.
    The engine adopts an attempt that it did not start itself by `watch`; starting twice never runs twice.
    """

    trouble: str
    left: str | None

    @property
    def address(self) -> str | None:
        """Where `before` said it is, if it said so."""

    def free(self) -> int:
        """How many more attempts it would take now."""

    def reserve(self, attempt: Attempt) -> str:
        """Take the place and the resources for a start; else what is short now: places, cpus, gpus or memory.

        Raises InputError for an attempt that could never run there.
        """

    def release(self, attempt: Attempt) -> None:
        """Give back what was reserved for a start that will not come."""

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

    def leave(self) -> None:
        """Nothing runs there: close the way; nothing can start there any more. Asked twice it is done once."""

    def close(self) -> None:
        """Let go of everything; running attempts go on."""


def job_folder(name: str) -> str:
    """A job's folder name: up to 40 safe characters and 8 hex digits of the name's hash."""
    safe = re.sub(r"[^A-Za-z0-9_.-]", "_", name)[:40].lstrip(".-") or "job"
    return f"{safe}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"


def shown_name(name: str) -> str:
    """The name of a job's files where users see them: its own if it can be one, else the beginning and a hash."""
    safe = name.replace("/", "_")
    return name if safe == name and len(name.encode()) < 200 else f"{safe[:50]}-{job_folder(name)[-8:]}"


@dataclass(frozen=True, slots=True)
class Folder:
    """What an attempt folder says: `claim` is None while nobody took it, `by_engine` if an engine did."""

    claim: Claim | None = None
    by_engine: bool = False
    ending: str = ""
    code: int | None = None
    record: str = ""
    names: frozenset[str] = frozenset()


def read_folder(names: Iterable[str], claim: str | None) -> Folder:
    """Decode the file names of an attempt folder and the text of its `claim`; unknown names are ignored."""
    words = (claim or "").split()
    by_engine = words == ["engine"]
    whole = len(words) == 3 and words[0].isdecimal()
    taken = None if claim is None or by_engine else Claim(int(words[0]), *words[1:]) if whole else Claim()
    names = frozenset(names)
    for name in sorted(name for name in names if name.startswith("state.")):
        match = re.fullmatch(r"state\.([a-z]+)(?:\.(\d+))?", name)
        if match and match[1] in ENDINGS:
            return Folder(taken, by_engine, match[1], int(match[2]) if match[2] else None, name, names)
    return Folder(taken, by_engine, names=names)
