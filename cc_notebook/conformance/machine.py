"""A machine under test, and how an engine would drive a host on it. It must not know which transport that is."""

import select
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from cc_notebook import payload
from cc_notebook.hosts.base import Host, Launch, Observation
from cc_notebook.hosts.transport import Transport
from cc_notebook.model import Job
from cc_notebook.store import new_id

RUN = new_id("w")  # its own: who runs the suite beside this has other processes
Condition = Callable[[Sequence[Observation]], bool]


@dataclass(frozen=True)
class Machine:
    """A machine with an empty folder `home`. `client` makes a new host on it, as after a crash of the one before."""

    line: Transport  # to look at it from aside
    home: str
    client: Callable[[], Host]

    @property
    def run(self) -> str:
        """The folder of the run there."""
        return f"{self.home}/{RUN}"

    def sh(self, script: str) -> str:
        """What a script prints there, after a banner."""
        done = self.line.run(f"echo; echo cc-begin\n{script}\n", 30)
        assert done.code == 0, done
        return done.out.partition("\ncc-begin\n")[2]

    def has(self, path: str) -> bool:
        """True if a file is there."""
        return self.sh(f"[ ! -e {path} ] || echo yes") == "yes\n"

    def launch(self, job: Job) -> Launch:
        """What the engine would hand to a host."""
        attempt = payload.attempt_of(job, RUN, 1)
        self.sh(f"mkdir -p {self.run}/files")
        around = payload.Surroundings(RUN, f"{self.run}/files", "python3", values={})
        return Launch(attempt, payload.files(job, attempt, around, {"token": attempt.token}))

    def made(self, launch: Launch) -> str:
        """Make the folder of an attempt whose wrapper was never started."""
        folder = f"{self.run}/{launch.attempt.folder}"
        self.sh(f"mkdir -p {folder}; touch {folder}/room")
        return folder


def start(host: Host, *launches: Launch) -> None:
    """Start as the engine does: a place first."""
    for item in launches:
        assert host.reserve(item.attempt) == ""
        host.start([item])


def watch(host: Host, done: Condition, timeout: float = 40.0) -> list[Observation]:
    """Drive a host as the engine does until `done(observations)`; returns them all."""
    seen: list[Observation] = []
    deadline = time.monotonic() + timeout
    while not done(seen):
        assert time.monotonic() < deadline, seen
        select.select(host.wakers(), [], [], min(host.patience(), 0.5))
        seen += host.observe()
    return seen


def ended(number: int = 1) -> Condition:
    """A condition for `watch`: so many attempts have ended."""
    return lambda seen: sum(bool(item.ending) for item in seen) >= number


def claimed(seen: Sequence[Observation]) -> bool:
    """A condition for `watch`: a wrapper has claimed the attempt."""
    return any(item.claim for item in seen)


def lasting(seconds: float) -> Condition:
    """A condition for `watch`: so much time is over."""
    deadline = time.monotonic() + seconds
    return lambda seen: time.monotonic() > deadline
