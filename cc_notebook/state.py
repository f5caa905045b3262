"""How a job's status changes: one pure function over one table. It knows no clock, no files and no engine."""

from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, fields, replace
from operator import attrgetter
from typing import Any, Literal, cast

from cc_notebook.errors import BugError
from cc_notebook.freshness import Reach, after
from cc_notebook.growth import Flow
from cc_notebook.model import Job, Workflow

State = Literal["ready", "submitted", "running", "done", "failed", "cancelled", "skipped"]
ALIVE = ("submitted", "running")
FINAL = ("done", "failed", "cancelled", "skipped")
STATES = ("ready", *ALIVE, *FINAL)


@dataclass(frozen=True, slots=True)
class Event:
    """One line of a run's journal. `job` is empty for an event of the whole run; unused fields are not written."""

    type: str
    at: str = ""  # aware UTC, ISO 8601
    seq: int = 0
    job: str = ""
    attempt: int = 0
    progress: int | None = None
    outputs: dict[str, object] = field(default_factory=dict)
    step: str = ""  # the last executed cell of a notebook, as 7/36
    error: dict[str, object] = field(default_factory=dict)  # of a notebook, see protocol.Report
    host: str = ""
    seen: str = ""  # when a host that cannot be reached had answered
    native_id: str = ""
    started: str = ""  # by the resource's clock
    ended: str = ""
    ending: str = ""  # exit, signal, timeout, lost, restarted, cancelled, start, input
    code: int | None = None
    reason: str = ""
    script: str = ""  # the script's hash when the attempt was made
    state: str = ""  # the new state of a mark by hand; the final state of an `end`
    jobs: tuple[str, ...] = ()  # the jobs that one `reset` makes ready again, or one `take` takes over
    gone: tuple[str, ...] = ()  # members that vanish with a `reset`, since their groups decide anew; the last first
    items: tuple[dict[str, Any], ...] = ()  # of a `grow`: one for each new member
    nodes: dict[str, dict[str, Any]] = field(default_factory=dict)  # jobs that join the run, as they are written
    edges: tuple[tuple[str, str], ...] = ()  # and their edges
    request: str = ""  # the request that this event answers

    def to_dict(self) -> dict[str, Any]:
        """The fields that differ from their default, ready for JSON."""
        values = zip(_FIELDS, _VALUES(self), strict=True)  # once for every line of the journal: it must be quick
        return {name: value for name, value in values if value or isinstance(value, int)}


_FIELDS = tuple(f.name for f in fields(Event))
_VALUES = attrgetter(*_FIELDS)


@dataclass(frozen=True, slots=True)
class JobStatus:
    """Everything known about one job in one run; made by `apply` alone. Times are aware UTC in ISO 8601."""

    state: State = "ready"
    progress: int = 0
    attempt: int = 0
    host: str = ""
    native_id: str = ""
    outputs: dict[str, object] = field(default_factory=dict)
    step: str = ""
    error: dict[str, object] = field(default_factory=dict)
    ending: str = ""
    code: int | None = None
    reason: str = ""
    submitted: str = ""
    started: str = ""
    ended: str = ""
    script: str = ""
    first_script: str = ""
    by_hand: bool = False
    tries: int = 0  # attempts since the last reset

    def to_dict(self) -> dict[str, Any]:
        """Every field, ready for JSON."""
        return asdict(self)

    @property
    def changed(self) -> bool:
        """True if the script is no longer the one of attempt 1."""
        return bool(self.first_script) and self.script != self.first_script


Change = Callable[[JobStatus, Event], JobStatus]


def _submit(status: JobStatus, event: Event) -> JobStatus:
    return JobStatus(
        "submitted",
        attempt=event.attempt,
        host=event.host,
        submitted=event.at,
        script=event.script,
        reason=event.reason,
        first_script=status.first_script or event.script,
        tries=status.tries + 1,
    )


def _start(status: JobStatus, event: Event) -> JobStatus:
    progress = max(1, status.progress)
    return replace(
        status, state="running", progress=progress, native_id=event.native_id, started=event.started or event.at
    )


def _progress(status: JobStatus, event: Event) -> JobStatus:
    progress = max(status.progress, event.progress or 0)
    return replace(status, progress=progress, outputs=status.outputs | event.outputs, step=event.step or status.step)


def _end(state: State) -> Change:
    def change(status: JobStatus, event: Event) -> JobStatus:
        reached = max(status.progress, event.progress or 0)
        return replace(
            status,
            state=state,
            progress=100 if state == "done" else 0 if state == "ready" else reached,
            outputs=status.outputs | event.outputs,
            step=event.step or status.step,
            error=event.error,
            ending=event.ending,
            code=event.code,
            reason=event.reason or (status.reason if state == "done" else ""),
            started=event.started or status.started,
            ended=event.ended or event.at,
        )

    return change


def _reset(status: JobStatus, event: Event) -> JobStatus:
    return JobStatus(attempt=status.attempt, first_script=status.first_script, script=status.script)


def _mark(status: JobStatus, event: Event) -> JobStatus:
    state: Any = event.state
    progress = 100 if state == "done" else 0 if state == "ready" else status.progress
    return replace(status, state=state, by_hand=True, reason="set by hand", ended=event.at, progress=progress, tries=0)


def _grow(status: JobStatus, event: Event) -> JobStatus:
    return replace(status, state="running", progress=max(1, status.progress), started=status.started or event.at)


TABLE: dict[str, tuple[tuple[str, ...], Change]] = {
    "submit": (("ready",), _submit),
    "start": (("submitted",), _start),
    "progress": (("running",), _progress),
    "done": (("submitted", "running"), _end("done")),
    "fail": (("ready", "submitted", "running"), _end("failed")),
    "retry": (("submitted", "running"), _end("ready")),
    "cancel": (("ready", "submitted", "running"), _end("cancelled")),
    "skip": (("ready", "running"), _end("skipped")),
    "reset": (("ready", *FINAL), _reset),
    "mark": (("ready", *FINAL), _mark),
    "grow": (("ready", "running"), _grow),
    "take": (("ready",), _end("done")),  # of `jobs`, with their `outputs` by name: what an earlier run has done
}


def apply(status: JobStatus, event: Event) -> JobStatus:
    """The status after `event`. Raises BugError for an event that the table does not allow in this state."""
    states, change = TABLE.get(event.type, ((), _reset))
    stale = event.attempt and event.type not in ("submit", "reset", "mark") and event.attempt != status.attempt
    if status.state not in states or stale:
        story = f"attempt {status.attempt} is {status.state} since {status.ended or status.started or status.submitted}"
        raise BugError(f"job '{event.job}': {story}; then came '{event.type}' of attempt {event.attempt} ({event.seq})")
    return change(status, event)


class RunState:
    """The statuses of one run, built from its events alone: by the engine as it emits them, by readers as they read."""

    def __init__(self, workflow: Workflow, created: str = "") -> None:
        self.flow, self.created = Flow(workflow), created
        self.jobs: dict[str, JobStatus] = dict.fromkeys(workflow.jobs, JobStatus())
        self.past: dict[str, JobStatus] = {}  # of members that are gone: should they come again, their attempts go on
        self.seq = 0
        self.paused = self.cancelled = False
        self.ended = ""  # the final state, empty while the run is unfinished
        self.reason = ""
        self.started = self.stopped = ""
        self.hosts: defaultdict[str, Reach] = defaultdict(Reach)  # what is known of those that are not this computer
        self.answered: dict[str, str] = {}  # request → why it was refused, empty if it was carried out

    def feed(self, event: Event) -> None:
        """Take in the next event. Raises BugError if it contradicts what is known."""
        self.seq = event.seq
        self._grow(event)
        if event.request:
            self.answered[event.request] = event.reason if event.type == "refused" else ""
        if event.type in TABLE:
            for name in event.jobs or (event.job,):
                if name not in self.jobs:
                    raise BugError(f"event {event.seq} is of job '{name}', which the run does not have")
                own = event
                if event.type == "take":
                    own = replace(event, outputs=cast(dict[str, object], event.outputs[name]))
                self.jobs[name] = apply(self.jobs[name], own)
            self.stopped, self.ended = event.at, "" if event.type in ("reset", "mark") else self.ended
            self.cancelled = self.cancelled and not (event.type == "reset" or event.state == "ready")
        elif event.type == "end":
            self.ended, self.reason, self.stopped = event.state, event.reason, event.at
            self.paused = False
        elif event.type in ("pause", "resume"):
            self.paused = event.type == "pause"
        elif event.type in ("host", "opening", "opened", "closing", "closed"):
            told = after(self.hosts[event.host], event.type, event.reason, event.seen, event.native_id)
            self.hosts[event.host] = told
        elif event.type == "cancel_run":
            self.cancelled = True
        self.started = self.started or event.at

    def _grow(self, event: Event) -> None:
        """The graph follows the events that change it."""
        if event.type == "grow":
            new = self.flow.grow(event.job, event.items)
            self.jobs |= {name: self.past.pop(name, JobStatus()) for name in new}
        if event.nodes:
            jobs = {name: Job.model_validate(node | {"name": name}) for name, node in event.nodes.items()}
            self.flow.add(jobs, event.edges)
            self.jobs |= dict.fromkeys(jobs, JobStatus())
            self.cancelled = self.cancelled and not self.ended
            self.ended = ""
        self.flow.forget(event.gone)
        self.past |= {name: _reset(self.jobs.pop(name), event) for name in event.gone}

    def singles(self) -> dict[str, JobStatus]:
        """The statuses of what is no group with members."""
        members = self.flow.members
        return {name: status for name, status in self.jobs.items() if not members.get(name)} if members else self.jobs

    @property
    def progress(self) -> float:
        """The mean progress over all jobs, 0-100; a skipped job counts as finished, a group as its members."""
        singles = self.singles()
        total = sum(100 if s.state == "skipped" else s.progress for s in singles.values())
        return total / len(singles) if singles else 100.0

    @property
    def state(self) -> str:
        """`running`, `paused`, `done`, `failed` or `cancelled`."""
        return self.ended or ("cancelling" if self.cancelled else "paused" if self.paused else "running")

    def counts(self) -> dict[str, int]:
        """How many jobs are in each state, groups by their members; states without jobs are left out."""
        found: Counter[str] = Counter(status.state for status in self.singles().values())
        return {state: found[state] for state in STATES if found[state]}
