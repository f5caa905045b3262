"""Order, cycles and relatives in a graph of names. Nothing here recurses: a chain of 10,000 works."""

import heapq
from collections.abc import Iterable, Mapping, Sequence
from graphlib import CycleError, TopologicalSorter

Edge = tuple[str, str]


def relatives(names: Iterable[str], edges: Iterable[Edge]) -> tuple[dict[str, list[str]], dict[str, list[str]]]:
    """Parents and children of each name, in the order of the edges."""
    parents: dict[str, list[str]] = {name: [] for name in names}
    children: dict[str, list[str]] = {name: [] for name in parents}
    for parent, child in edges:
        parents[child].append(parent)
        children[parent].append(child)
    return parents, children


def order(names: Sequence[str], edges: Sequence[Edge]) -> list[str]:
    """A topological order that keeps the order of `names` wherever the edges allow. Names on a cycle are left out."""
    parents, children = relatives(names, edges)
    rank = {name: place for place, name in enumerate(names)}
    waiting = {name: len(parents[name]) for name in names}
    ready = [rank[name] for name in names if not waiting[name]]
    result = []
    while ready:
        name = names[heapq.heappop(ready)]
        result.append(name)
        for child in children[name]:
            waiting[child] -= 1
            if not waiting[child]:
                heapq.heappush(ready, rank[child])
    return result


def cycle(names: Sequence[str], edges: Sequence[Edge]) -> list[str]:
    """The names along one cycle, first name repeated at the end; empty if there is none."""
    try:
        TopologicalSorter(relatives(names, edges)[0]).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def reach(starts: Iterable[str], neighbours: Mapping[str, Sequence[str]]) -> set[str]:
    """Everything that can be reached from `starts`, the starts included."""
    found, stack = set(), list(starts)
    while stack:
        name = stack.pop()
        if name not in found:
            found.add(name)
            stack.extend(neighbours[name])
    return found
