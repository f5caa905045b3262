"""What groups and conditions decide from outputs and params: a group's items and end, and whether a job is wanted."""

import itertools
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from cc_notebook import expressions, template
from cc_notebook.errors import InputError, nearest
from cc_notebook.growth import Flow, Item, filled, named
from cc_notebook.state import FINAL, Event, JobStatus

MAX_ITEMS = 100_000  # that one group may have
Glob = Callable[[str, str], Sequence[str]]  # folder and pattern → sorted paths, relative to the workflow's folder
Statuses = Mapping[str, JobStatus]


class Outputs(Mapping[str, Any]):
    """Outputs by the names that a job knows: those of its workflow; its own name means the iteration before it."""

    def __init__(self, flow: Flow, statuses: Statuses, name: str) -> None:
        self.statuses, self.scope = statuses, flow.scope(name)
        past = flow.members.get(name) if flow.jobs[name].repeat else None
        if number := self.scope.item.get("iteration"):
            past = past or flow.members[flow.group[name]][: number - 1][-1:] if name in flow.group else None
        self.own = past[-1] if past else ""

    def _full(self, name: str) -> str:
        return self.own if self.own and name == self.scope.base else self.scope.prefix + name

    def __getitem__(self, name: str) -> Any:
        return self.statuses[self._full(name)].outputs

    def __contains__(self, name: object) -> bool:
        return self._full(str(name)) in self.statuses

    def __iter__(self) -> Iterator[str]:
        prefix = self.scope.prefix
        return (name[len(prefix) :] for name in self.statuses if name.startswith(prefix))

    def __len__(self) -> int:
        return sum(1 for _ in self)


def wanted(flow: Flow, statuses: Statuses, name: str) -> tuple[bool, str]:
    """Whether the job's `when` lets it run, and what it is made of. Raises InputError if it has no value."""
    condition = flow.jobs[name].when
    if not condition or flow.jobs[name].foreach:  # of a foreach each member decides
        return True, ""
    value, story = _evaluate(flow, statuses, name, "when", condition)
    return bool(value), f"when '{condition}' is {'' if value else 'not '}true ({story})"


def items(flow: Flow, statuses: Statuses, name: str, glob: Glob) -> list[Item]:
    """The items of a group whose turn has come, decided once. Raises InputError for a list that cannot be had."""
    job = flow.jobs[name]
    if not job.foreach and job.repeat:
        return [{"iteration": 1}]
    outputs = Outputs(flow, statuses, name)
    values = flow.scope(name).names(outputs)
    if not job.foreach:
        return [_params(flow, name, values)]
    lists = {
        key: _list(name, key, value, values, lambda p: glob(flow.folder(name), p)) for key, value in job.foreach.items()
    }
    number = len(job.include)
    for found in lists.values():
        number *= len(found)
    if number > MAX_ITEMS:
        raise InputError(f"job '{name}': foreach gives {number:,} members, more than {MAX_ITEMS:,}")
    found = [dict(zip(lists, row, strict=True)) for row in itertools.product(*lists.values())]
    kept = [item for item in found if not any(all(item.get(k) == v for k, v in out.items()) for out in job.exclude)]
    chosen: list[Item] = [*kept, *job.include]
    seen: set[str] = set(flow.jobs)
    for item in chosen:
        if (member := named(name, item)) in seen:
            raise InputError(f"job '{name}': foreach gives '{member}' twice")
        seen.add(member)
        filled(job, member, item)
    return chosen


def preview(flow: Flow, glob: Glob) -> dict[str, str]:
    """Grow a flow that has not run as far as its params and files tell; what stays open, by job."""
    statuses = dict.fromkeys(flow.jobs, JobStatus())
    notes = {}
    groups = [name for name, job in flow.jobs.items() if job.group]
    for name in groups:  # grows as members are found that are groups too
        job = flow.jobs[name]
        if job.repeat and not job.foreach:
            most = f"{job.repeat.max} times"
            notes[name] = f"until {job.repeat.until}, at most {most}" if job.repeat.until else most
            continue
        try:
            new = flow.grow(name, items(flow, statuses, name, glob))
        except InputError as error:
            why = str(error).removeprefix(f"job '{name}': ").partition(" (in ")[0]
            notes[name] = f"its members are decided when its turn comes: {why}"
            continue
        statuses |= dict.fromkeys(new, JobStatus())
        groups += [member for member in new if flow.jobs[member].group]
    return {name: f"when {job.when}" for name, job in flow.jobs.items() if job.when and not job.foreach} | notes


def ending(flow: Flow, statuses: Statuses, name: str) -> Event:
    """What a group does whose members have all ended: it ends, or `grow` gives it one more iteration."""
    job, members = flow.jobs[name], flow.members[name]
    by_state: dict[str, list[str]] = {}
    for member in members:
        by_state.setdefault(statuses[member].state, []).append(member)
    broken = by_state.get("failed") or by_state.get("cancelled") or []
    if broken:
        more = f" and {len(broken) - 5} more" if len(broken) > 5 else ""
        kind = "failed" if "failed" in by_state else "cancelled"
        told = f"{len(broken)} of {len(members)} {kind}: {', '.join(broken[:5])}{more}"
        return Event("fail" if kind == "failed" else "cancel", job=name, ending="members", reason=told)
    if members and len(by_state.get("skipped", ())) == len(members):
        return Event("skip", job=name, reason=statuses[members[-1]].reason)
    why = "" if members else "it has no members: its list was empty"
    done = Event("done", job=name, ending="members", outputs=_outputs(flow, statuses, name), reason=why)
    return _next(flow, statuses, name, done) if job.repeat and not job.foreach else done


def summary(flow: Flow, statuses: Statuses, name: str) -> dict[str, Any]:
    """What a group shows of its members, and of theirs: `counts` by state, how many have ended, the mean progress."""
    found = [statuses[member] for member in flow.within(name) if not flow.members.get(member)]
    counts: Counter[str] = Counter(status.state for status in found)
    ended = sum(counts[state] for state in FINAL)
    progress = sum(100 if status.state == "skipped" else status.progress for status in found) // max(1, len(found))
    own = {"progress": progress, "step": f"{ended}/{len(found)}"} if found else {}
    return {"members": len(flow.members[name]), "counts": dict(counts), **own}


def _next(flow: Flow, statuses: Statuses, name: str, done: Event) -> Event:
    repeat, number = flow.jobs[name].repeat, len(flow.members[name])
    assert repeat
    try:
        met, story = _evaluate(flow, statuses, name, "until", repeat.until) if repeat.until else (False, "")
    except InputError as error:
        return Event("fail", job=name, ending="input", reason=str(error))
    if not met and number < repeat.max:
        return Event("grow", job=name, items=({"iteration": number + 1},))
    why = f"after {number} iterations: {story}" if met else f"until was not met in {number} iterations ({story})"
    return replace(done, reason=why if repeat.until else "")


def _outputs(flow: Flow, statuses: Statuses, name: str) -> dict[str, object]:
    """Lists over the members; of a repeat the outputs of the last; of a sub-workflow those of its last jobs."""
    job, members = flow.jobs[name], flow.members[name]
    if job.foreach:
        keys = dict.fromkeys(key for member in members for key in statuses[member].outputs)
        return {key: [statuses[member].outputs.get(key) for member in members] for key in keys}
    ends = members[-1:] if job.repeat else flow.last(name)
    return {key: value for member in ends for key, value in statuses[member].outputs.items()}


def _params(flow: Flow, name: str, values: Mapping[str, Any]) -> Item:
    """The params of a sub-workflow: what the node says, and a loop's values of the same name."""
    known, given = flow.sub(name)[0].params, flow.jobs[name].params
    for key in given:
        nearest(key, known, f"job '{name}': its workflow has no param")
    own = {key: value for key, value in flow.scope(name).item.items() if key in known}
    return own | {key: rendered(name, value, values) for key, value in given.items()}


def _list(
    name: str, key: str, value: Any, values: Mapping[str, Any], glob: Callable[[str], Sequence[str]]
) -> Sequence[Any]:
    """One list of a foreach: as written, a param, an output, or the files that a pattern finds."""
    if isinstance(value, list):
        return [rendered(name, one, values) for one in value]
    if any(letter in value for letter in "*?[") and not list(template.names(value)):
        return glob(value)
    found = rendered(name, value, values)
    if not isinstance(found, list):
        raise InputError(f"job '{name}': foreach {key} needs a list, not {found!r}")
    return found


def rendered(name: str, value: Any, values: Mapping[str, Any]) -> Any:
    """A value of a job with its braces filled in. Raises InputError for a name that stands for nothing."""
    try:
        return template.render(value, values)
    except template.UnknownName as error:
        raise InputError(f"job '{name}': {{{error.args[0]}}} has no value (in {value!r})") from None


def _evaluate(flow: Flow, statuses: Statuses, name: str, word: str, text: str) -> tuple[object, str]:
    try:
        number = {"iteration": len(flow.members.get(name, ()))} if word == "until" else {}
        return expressions.evaluate(text, flow.scope(name).names(Outputs(flow, statuses, name), number))
    except expressions.ExpressionError as error:
        raise InputError(f"job '{name}': {word} '{text}': {error}") from None
