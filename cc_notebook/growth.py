"""The graph of a run as it is now: the workflow as written, grown by events. Pure: the same events, the same graph.

A job with `foreach`, `repeat` or `workflow` is a group: it stays in the graph, gets members when its turn comes, and
ends when they have ended. The first of the three words makes the members, which still have the others.
"""

import hashlib
import itertools
import posixpath
from collections import ChainMap
from collections.abc import Collection, Iterable, Iterator, Mapping, MutableMapping
from dataclasses import dataclass, field, replace
from typing import Any, cast

from cc_notebook import graph, template
from cc_notebook.errors import InputError, clean
from cc_notebook.model import Job, Workflow

MAX_VALUE = 60  # characters of a value in a name
FILLED = ("script", "host", "user", "venv", "kernel")  # attributes that may name a loop's values in braces

ALONE: dict[str, Any] = {"trigger": "all_success", "after": ()}  # a member: its group has waited for it

Item = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Scope:
    """What names mean to a job: its loops' values, its workflow's params, and what the names there begin with."""

    params: Mapping[str, Any] = field(default_factory=dict)
    item: Item = field(default_factory=dict)
    prefix: str = ""
    base: str = ""  # the name as it is written, by which the job's own outputs are known

    def names(self, outputs: Mapping[str, Any], more: Item | None = None) -> Mapping[str, Any]:
        """What an expression or braces may name, given the outputs by local name, and `more` before all of it."""
        words = {"params": self.params, "jobs": outputs}
        only_read = cast(MutableMapping[str, Any], outputs)  # a ChainMap writes into its first map alone
        return ChainMap({**self.item, **(more or {})}, dict(self.params), words, only_read)


class Flow:
    """Jobs by name with their parents and children; `group` tells whose member a job is, `members` the reverse."""

    def __init__(self, workflow: Workflow) -> None:
        self.workflow = workflow
        self.jobs = dict(workflow.jobs)
        self.parents, self.children = graph.relatives(self.jobs, workflow.edges)
        self.members: dict[str, list[str]] = {}
        self.group: dict[str, str] = {}
        self.whole = self  # of a copy with other members, which is to be drawn: the one that runs
        self._scopes: dict[str, Scope] = {}
        self.marks: dict[str, str] = {}  # of a group: a hash of the members that it has had
        self._plain = Scope(workflow.params)
        self._subs = {"": (workflow, "")}  # by prefix: the workflow there, and its folder as seen from the first one's

    def scope(self, name: str) -> Scope:
        """What names mean to a job."""
        return self._scopes.get(name) or Scope(self._plain.params, base=name)

    def grow(self, name: str, items: Iterable[Item]) -> list[str]:
        """Give a group one member, iteration or copy of its sub-workflow for each item; the new names."""
        job, scope, before = self.jobs[name], self.scope(name), len(self.jobs)
        for item in items:
            if job.workflow and not job.foreach and not job.repeat:
                self._inline(name, item)
            elif job.foreach:
                new = named(name, item)
                self._add(new, name, filled(job, new, item), replace(scope, item={**scope.item, **item}))
            else:
                new = f"{name}#{item['iteration']}"
                once = job.model_copy(update={"name": new, "repeat": None, "when": None, **ALONE})
                self._add(new, name, once, replace(scope, item={**scope.item, **item}))
        self.members.setdefault(name, [])
        made = list(itertools.islice(self.jobs, before, None))
        if made:
            told = self.marks.get(name, "") + "\n".join(made)
            self.marks[name] = hashlib.sha256(told.encode(errors="replace")).hexdigest()[:8]
        return made

    def add(self, jobs: Mapping[str, Job], edges: Iterable[graph.Edge]) -> None:
        """Put in further jobs of the workflow itself."""
        self.jobs.update(jobs)
        for name in jobs:
            self.parents[name], self.children[name] = [], []
        for parent, child in edges:
            self.parents[child].append(parent)
            self.children[parent].append(child)

    def forget(self, gone: Iterable[str]) -> None:
        """Take members away, with theirs: their groups are to decide anew."""
        for name in gone:
            left = self.members.get(self.group[name], [])
            if name in left[-1:]:  # the usual case: from the last to the first
                left.pop()
            elif name in left:
                left.remove(name)
            everything: tuple[dict[str, Any], ...] = (self.jobs, self.parents, self.children, self.group)
            for names in (*everything, self._scopes, self.members):
                names.pop(name, None)

    def origin(self, name: str) -> str:
        """The job as it is written of which this is a member, an iteration, or itself."""
        while (group := self.group.get(name)) and self.scope(group).prefix == self.scope(name).prefix:
            name = group
        return name

    def before(self, name: str) -> Iterator[tuple[str, str]]:
        """The jobs that come before a job, also before the groups that hold it: as seen from each, with what tells
        the members of one from those that another run had."""
        while name:
            own = self.members.get(self.group.get(name, ""), [])
            if number := self.scope(name).item.get("iteration"):
                yield from ((last, "") for last in own[number - 2 : number - 1] if number > 1)
            yield from ((parent, self.marks.get(parent, "")) for parent in self.parents[name])
            name = self.group.get(name, "")

    def order(self, members: bool = False) -> list[str]:
        """The jobs as written in a topological order, with `members` each group followed by its own."""
        names = [name for name in self.jobs if name not in self.group]
        top = graph.order(names, [(parent, name) for name in names for parent in self.parents[name]])
        return [found for name in top for found in (name, *self.within(name))] if members else top

    def drawn(self, members: bool | Collection[str] = False) -> Workflow:
        """The graph as a workflow, groups as one job each, or with their `members` between what is before and them:
        of all groups, or of those that are named."""
        opened = {name: own for name, own in self.members.items() if members is True or (members and name in members)}
        names = dict[str, None]()
        for name in self.jobs:  # a group comes before its members
            if ((group := self.group.get(name, "")) in names and group in opened) or not group:
                names[name] = None
        if list(names) == list(self.workflow.jobs):
            return self.workflow
        edges = [(parent, name) for name in names for parent in self.parents[name] if not opened.get(name)]
        for group, own in ((name, opened[name]) for name in names if name in opened):
            chain = self.jobs[group].repeat and not self.jobs[group].foreach  # its members come one after the other
            first = own[:1] if chain else [member for member in own if not self.parents[member]]
            last = own[-1:] if chain else [member for member in own if self.children[member] == [group]]
            edges += [*(itertools.pairwise(own) if chain else ()), *((member, group) for member in last)]
            edges += [(parent, member) for parent in self.parents[group] for member in first]
        jobs = {name: self.jobs[name] for name in names}
        return self.workflow.model_copy(update={"jobs": jobs, "edges": tuple(edges)})

    def within(self, name: str) -> list[str]:
        """The members of a group, and theirs."""
        return [found for member in self.members.get(name, ()) for found in (member, *self.within(member))]

    def last(self, name: str) -> list[str]:
        """The members of a sub-workflow on which no other depends; of a marker, those before it."""
        own = self.members[name]
        ends = [member for member in own if self.children[member] == [name]]
        return [p for end in ends for p in (self.parents[end] if self.jobs[end].instant else [end])]

    def sub(self, name: str) -> tuple[Workflow, str]:
        """The workflow that a job with `workflow:` stands for, and its folder as seen from the whole workflow's."""
        outer, folder = self._subs[self.scope(name).prefix]
        path = self.jobs[name].workflow or ""
        return outer.subs[path], posixpath.join(folder, posixpath.dirname(path))

    def folder(self, name: str) -> str:
        """The folder from which a job's paths are named, as seen from the whole workflow's."""
        return self._subs[self.scope(name).prefix][1]

    def _inline(self, name: str, params: Item) -> None:
        prefix = f"{name}/"
        sub, folder = self._subs[prefix] = self.sub(name)
        for own, job in sub.jobs.items():
            self._add(
                prefix + own, name, _moved(job, prefix + own, folder), Scope({**sub.params, **params}, {}, prefix, own)
            )
        for parent, child in sub.edges:
            self.parents[prefix + child].append(prefix + parent)
            self.children[prefix + parent].insert(0, prefix + child)

    def _add(self, new: str, group: str, job: Job, scope: Scope) -> None:
        self.jobs[new], self.parents[new], self.children[new] = job, [], [group]
        self.group[new], self._scopes[new] = group, scope
        self.members.setdefault(group, []).append(new)


def named(group: str, item: Item) -> str:
    """The name of a group's member: stable, so that a resume finds it; a long value is cut and told by its hash."""
    return f"{group}[{','.join(f'{key}={_shown(value)}' for key, value in item.items())}]"


def filled(job: Job, name: str, item: Item) -> Job:
    """The member of a `foreach` for one item. Raises InputError if the item makes an option of a host's name."""
    update: dict[str, Any] = {"name": name, "foreach": None, "include": (), "exclude": (), **ALONE}
    for word in FILLED:
        if "{" in (text := getattr(job, word) or ""):
            update[word] = template.TOKEN.sub(lambda m: template.as_text(item.get((m[1] or "").strip(), m[0])), text)
            if update[word].startswith("-"):
                raise InputError(f"job '{name}': {word} '{update[word]}' begins with '-'")
    return job.model_copy(update=update)


def _shown(value: object) -> str:
    text = " ".join(clean(template.as_text(value)).split())
    return text if len(text) <= MAX_VALUE else f"{text[:40]}…{hashlib.sha256(text.encode()).hexdigest()[:8]}"


def _moved(job: Job, name: str, folder: str) -> Job:
    """A sub-workflow's job in the workflow that holds it; its files are named from there."""
    update: dict[str, Any] = {"name": name, "after": ()}
    if job.script and not job.script.startswith("{"):  # what a loop finds is named from there already
        update["script"] = posixpath.join(folder, job.script)
    if folder and job.files.in_:
        update["files"] = job.files.model_copy(update={"in_": tuple(posixpath.join(folder, f) for f in job.files.in_)})
    return job.model_copy(update=update)
