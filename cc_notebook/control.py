"""What may start next: triggers, counters of unfinished parents, schedulers, retries. Pure decisions, no I/O."""

from bisect import insort
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import replace
from typing import Literal

from cc_notebook import graph
from cc_notebook.errors import BugError, InputError, nearest
from cc_notebook.growth import Flow
from cc_notebook.model import Job
from cc_notebook.state import ALIVE, FINAL, Event, JobStatus, RunState

Decision = Literal["run", "skip", "block"]
BY_USER = "cancelled by the user"
BROKEN = ("failed", "cancelled", "blocked")  # endings of a parent because of which a job does not run
Verdict = Literal["done", "cancel", "retry", "fail"]


def decide(trigger: str, waiting: int, tally: Mapping[str, int]) -> Decision | None:
    """What a job does, given how many parents have not ended and how the others ended; None: not yet.

    The names are Airflow's. `blocked` is a parent that will not run because of a failure before it.
    """
    if trigger == "always":
        return "run"
    if trigger == "one_failed" and (tally.get("failed") or tally.get("blocked")):
        return "run"
    if waiting:
        return None
    broken = sum(tally.get(outcome, 0) for outcome in BROKEN)
    if trigger == "one_failed":
        return "skip"
    if trigger != "all_done" and broken:
        return "block"
    return "skip" if trigger == "all_success" and tally.get("skipped") else "run"


class Plan:
    """Which jobs are runnable, kept by counters: each ending costs the number of its children, never a scan."""

    def __init__(
        self,
        flow: Flow,
        statuses: Mapping[str, JobStatus],
        order: Sequence[str] = (),
        place: Callable[[Job], str] = lambda job: job.host,
    ) -> None:
        self.flow, self.jobs, self.place = flow, flow.jobs, place
        self.parents, self.children = flow.parents, flow.children
        ranked = dict.fromkeys([*order, *flow.order()])  # what has joined the run is in no order that was given
        self.rank: dict[str, tuple[int, ...]] = {name: (place,) for place, name in enumerate(ranked)}
        self.open: dict[str, int] = {}  # group → its members that have not ended
        self.closing: list[str] = []  # groups of which every member has ended
        self.waiting = {name: len(parents) for name, parents in self.parents.items()}
        self.tally: dict[str, dict[str, int]] = {}
        self.breaker: dict[str, str] = {}  # job → the first of its parents that will not be done
        self.blocked: dict[str, str] = {}  # job that will not run → that parent
        self.decided: set[str] = set()
        self.to_skip: list[str] = []
        self.runnable: dict[str, list[str]] = {}  # by host, each in topological order
        final = [name for name, status in statuses.items() if status.state in FINAL]
        self.decided |= {name for name, status in statuses.items() if status.state != "ready"}
        for group, members in flow.members.items():
            self._open(group, members)
        for name in list(self.jobs):
            self._look(name)
        for name in final:
            self.settle(name, statuses[name].state)
        self.closing = [name for name, left in self.open.items() if not left and statuses[name].state == "running"]
        for name, status in statuses.items():  # an attempt ended with tries left: its trigger has fired already
            if status.state == "ready" and status.tries and name not in self.blocked:
                self.again(name)

    def settle(self, name: str, outcome: str) -> None:
        """A job ended (or is blocked): tell its children, and theirs."""
        stack = [(name, outcome)]
        while stack:
            name, outcome = stack.pop()
            group = self.flow.group.get(name)
            for child in self.children[name]:
                if child == group:
                    self.open[group] -= 1
                    self.closing += [group] if not self.open[group] else []
                    continue
                self.waiting[child] -= 1
                tally = self.tally.setdefault(child, {})
                tally[outcome] = tally.get(outcome, 0) + 1
                early = outcome != "done" or self.jobs[child].trigger == "one_failed"  # else it waits for the others
                if outcome in BROKEN:
                    self.breaker.setdefault(child, name)
                if (early or not self.waiting[child]) and self._look(child) == "block":
                    self.blocked[child] = self.breaker[child]
                    stack.append((child, "blocked"))

    def grow(self, group: str, members: Sequence[str]) -> None:
        """A group has got members (perhaps none): what may start of them may start now."""
        new = set(members)
        for name in members:
            self.waiting[name] = sum(parent in new for parent in self.parents[name])
        self._open(group, members)
        for name in members:
            self._look(name)

    def _open(self, group: str, members: Sequence[str]) -> None:
        known = len(self.flow.members[group]) - len(members)
        self.rank |= {name: (*self.rank[group], known + place) for place, name in enumerate(members)}
        self.open[group] = self.open.get(group, 0) + len(members)

    def _look(self, name: str) -> Decision | None:
        if name in self.decided:
            return None
        decision = decide(self.jobs[name].trigger, self.waiting[name], self.tally.get(name, {}))
        if decision:
            self.decided.add(name)
        if decision == "run":
            self._insert(name)
        elif decision == "skip":
            self.to_skip.append(name)
        return decision

    def again(self, name: str) -> None:
        """A job that was decided to run is to be tried once more."""
        self.decided.add(name)
        if name not in self.queue(name):
            self._insert(name)

    def queue(self, name: str) -> list[str]:
        """The runnable jobs of the host that runs `name`."""
        return self.runnable.setdefault(self.place(self.jobs[name]), [])

    def remove(self, name: str) -> None:
        """A job starts or is not to start: it is no longer runnable."""
        self.decided.add(name)
        if name in self.to_skip:
            self.to_skip.remove(name)
        if name in (queue := self.queue(name)):
            queue.remove(name)

    def _insert(self, name: str) -> None:
        insort(self.queue(name), name, key=self.rank.__getitem__)

    def root_cause(self, name: str) -> str:
        """The failed or cancelled job because of which `name` is blocked."""
        while name in self.blocked:
            name = self.blocked[name]
        return name


def parallel(runnable: Sequence[str], running: Sequence[str], free: int) -> Sequence[str]:
    """The default scheduler: start as many as fit, in topological order."""
    return runnable[:free]


def topological(runnable: Sequence[str], running: Sequence[str], free: int) -> Sequence[str]:
    """One job at a time, in topological order."""
    return runnable[: 0 if running else 1]


def content(runnable: Sequence[str], jobs: Mapping[str, Job], short: Set[str]) -> Sequence[str]:
    """Those that want nothing of what is short; places and processors are wanted by all."""
    if short & {"places", "cpus"}:
        return []
    if not short:  # asked before each start: a queue of thousands is not read through
        return runnable
    return [name for name in runnable if not any(getattr(jobs[name].resources, kind) for kind in short)]


def verdict(job: Job, status: JobStatus, ending: str, code: int | None, cancelled: bool) -> Verdict:
    """The event that an attempt's end is: `retry` if the job asks for another try after such a failure."""
    if ending == "exit" and code == 0:
        return "done"
    if ending == "cancelled":
        return "cancel"
    on, also = job.retry.on, "node_fail" if ending in ("lost", "restarted", "start") else "failed"
    wanted = not on or ending in on or also in on or (ending == "exit" and code in on)
    return "retry" if wanted and not cancelled and status.tries <= job.retry.max else "fail"


def outcome(job: Job, status: JobStatus, told: Event, error: dict[str, object], cancelled: bool) -> Event:
    """What was told of an attempt's end as the event that it is; `error` is a notebook's, see protocol.Report."""
    kind = verdict(job, status, told.ending, told.code, cancelled)
    if kind == "done":
        return replace(told, type=kind, reason="")
    return replace(told, type=kind, error=error, reason=told.reason or reason(job, told.ending, told.code, error))


def reason(job: Job, ending: str, code: int | None, error: Mapping[str, object]) -> str:
    """What an ending means, in words; `error` is a notebook's, see protocol.Report."""
    limit = f" of {job.limit:g} s" if job.limit else ""
    killed = " (perhaps out of memory)" if code == 9 else ""
    missing = " (a program was not found: see its log)" if code == 127 else ""
    told = {"exit": f"exit code {code}{missing}", "signal": f"signal {code}{killed}", "cancelled": BY_USER}
    words = (told | {"timeout": f"the time limit{limit} was reached"}).get(ending, ending)
    cell = f"cell {error['cell']}" if error.get("cell") else ""
    if error and ending == "exit":
        return f"{cell}: " * bool(cell) + f"{error.get('name')}: {error.get('message')}"[:500]
    return f"{words}, in {cell}" if cell else words


def ending(run: RunState, plan: Plan) -> Event:
    """The end of a run in which nothing runs and nothing can start any more."""
    if open_ := [name for name in run.flow.members if run.jobs[name].state == "running"]:
        raise BugError(f"nothing runs any more, but '{open_[0]}' has not ended")
    failed = [name for name, status in run.jobs.items() if status.state == "failed"]
    failed.sort(key=run.flow.members.__contains__)  # a group fails because of a job
    if failed and (why := run.jobs[failed[0]].reason.partition("\n")[0]):
        failed[0] += f" ({why[:200]})"
    cancelled = run.counts().get("cancelled", 0)
    left = sum(run.jobs[name].state == "ready" for name in plan.blocked)
    blocked = f", {left} not run because of it" if left else ""
    more = f" and {len(failed) - 5} more" if len(failed) > 5 else ""
    reason = ", ".join(failed[:5]) + more if failed else f"{cancelled} cancelled" if cancelled else ""
    state = "failed" if failed else "cancelled" if cancelled else "done"
    return Event("end", state=state, reason=reason + blocked)


def answer(kind: str, jobs: Sequence[str], state: str, run: RunState, plan: Plan) -> tuple[Event, list[str]]:
    """What a request does to a run: its event, and the jobs to cancel. Raises InputError if it cannot be done."""
    for name in jobs:
        nearest(name, run.jobs, "there is no job")
    if run.ended and kind not in ("retry", "mark", "add"):
        raise InputError(f"the run has ended already ({run.ended})")
    statuses = {name: run.jobs[name] for name in jobs}
    if kind == "cancel":
        named = [found for name in jobs for found in (name, *run.flow.within(name))]
        chosen = [name for name in named or run.jobs if run.jobs[name].state not in FINAL]
        if jobs and not chosen:
            raise InputError(f"'{jobs[0]}' has ended already ({run.jobs[jobs[0]].state})")
        return Event("cancel_job" if jobs else "cancel_run", reason=", ".join(jobs)), chosen
    if alive := next((name for name, status in statuses.items() if status.state in ALIVE), None):
        raise InputError(f"'{alive}' is {statuses[alive].state}: cancel it first")
    if kind == "retry":
        names = list(jobs) or [name for name, status in run.jobs.items() if status.state in ("failed", "cancelled")]
        return _reset(run, plan, names, jobs), []
    return Event(kind, job=jobs[0], state=state) if kind == "mark" else Event(kind), []


def _reset(run: RunState, plan: Plan, names: Sequence[str], named: Sequence[str]) -> Event:
    """`names` and all that ended because of them are ready again.

    Groups before which something changes, and those that are `named` themselves, lose their members; a repeat loses
    the iterations after one that runs again.
    """
    found, flow = graph.reach(names, plan.children), run.flow
    gone: list[str] = []
    for group in [name for name in flow.members if name in found and run.jobs[name].state not in ALIVE]:
        own = flow.members[group]
        anew = group in named or found & {*plan.parents[group]}
        first = 0 if anew else next((n + 1 for n, member in enumerate(own) if member in found), len(own))
        if anew or (flow.jobs[group].repeat and not flow.jobs[group].foreach):
            gone += [name for member in own[first:] for name in (member, *flow.within(member))]
    if alive := next((name for name in gone if run.jobs[name].state in ALIVE and not flow.members.get(name)), None):
        raise InputError(f"'{alive}' is {run.jobs[alive].state}: cancel it first")
    vanish = set(gone)
    left = {name: run.jobs[name] for name in run.jobs if name in found and name not in vanish}
    again = [name for name, s in left.items() if s.state in FINAL or (s.tries and s.state not in ALIVE)]
    if not again:
        raise InputError("no job failed")
    return Event("reset", jobs=tuple(again), gone=tuple(dict.fromkeys(reversed(gone))), reason=", ".join(names))
