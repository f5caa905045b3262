"""What a live graph draws of a run: at most 300 boxes, and where each of them lies. It knows no widget."""

import copy
import math
import re
from collections.abc import Iterable, Mapping, Sequence

from cc_notebook import graph
from cc_notebook.model import Job, Workflow
from cc_notebook.state import STATES, JobStatus, RunState, State
from cc_notebook.views import picture

MOST = 300  # boxes
ROUNDS = 3  # of looking which jobs are alike
WIDE, GAP, SCREEN = 900, 18, 1.7  # of a folded rank: points, points, width by height
Place = tuple[float, float, float, float]  # centre, width and height in points, y downwards
_CORNERS = re.compile(r'(?:points|d)="[^"]*"|x="[^"]*" y="[^"]*"')  # of a text where there is no shape
_ELLIPSE = re.compile(r'cx="(.*?)" cy="(.*?)" rx="(.*?)" ry="(.*?)"')
_NUMBER = re.compile(r"-?\d+(?:\.\d+)?")


def shown(run: RunState, within: Sequence[str] = ()) -> tuple[Workflow, RunState]:
    """The graph to be drawn and the states in it, of all jobs or of those `within` a box that was opened.

    Where there are more than 300, a loop or sub-workflow is one box, then jobs that are alike are, then neighbours
    in the topological order; `flow.members` of the state that is returned tells whom a box stands for.
    """
    all_of_it = bool(within) or len(run.jobs) <= MOST
    flow = run.flow.drawn(members=all_of_it)
    names = [name for name in within if name in flow.jobs] or list(flow.jobs)
    held = {name: run.flow.members[name] for name in names if not all_of_it and run.flow.members.get(name)}
    inside = set(names)
    edges = [edge for edge in flow.edges if inside.issuperset(edge)]
    parts = {_title(part): part for part in _parts(names, edges)}
    box = {name: title for title, part in parts.items() for name in part}
    many = {title: list(part) for title, part in parts.items() if len(part) > 1}
    jobs = {title: flow.jobs.get(title) or Job(name=title, exec=":", repeat=len(parts[title])) for title in parts}
    between = dict.fromkeys((box[a], box[b]) for a, b in edges if box[a] != box[b])
    state = copy.copy(run)
    state.flow = copy.copy(run.flow)
    state.flow.members = held | many
    state.jobs = run.jobs | {title: _of_all([run.jobs[n] for n in part]) for title, part in many.items()}
    return flow.model_copy(update={"jobs": jobs, "edges": tuple(between)}), state


def places(flow: Workflow, run: RunState) -> dict[str, Place]:
    """Where the picture has each box, for the layout is made once for both; what is far too wide or long is folded."""
    _, nodes = picture.layout(flow, [*picture.faces(flow, run).values()])
    found = {name: _place(inner) for name, inner, _ in nodes}
    wide, high = (max(line) - min(line) for line in [*zip(*found.values(), strict=True)][:2])
    return _folded(found) if wide > max(2 * WIDE, 3 * high) or high > max(WIDE, 4 * wide) else found


def _folded(found: Mapping[str, Place]) -> dict[str, Place]:
    """Each rank in rows, in the order in which it was, and these in columns that lead down and up in turn: in all
    about as wide as a screen."""
    ranks: dict[int, list[str]] = {}
    for name in sorted(found, key=lambda name: found[name][:1]):
        ranks.setdefault(round(found[name][1]), []).append(name)
    rows, down = list[tuple[float, list[str]]](), 0.0
    wide, high = (max(place[side] for place in found.values()) + GAP for side in (2, 3))
    for _, names in sorted(ranks.items()):
        many = max(1, int(max(WIDE, (SCREEN * len(names) * wide * high) ** 0.5) / wide))
        rows += [(down + at // many * high, names[at : at + many]) for at in range(0, len(names), many)]
        down += -(-len(names) // many) * high + 2 * GAP
    across, step = max(len(names) for _, names in rows) * wide + 2 * GAP, high + 2 * GAP
    tall = math.ceil(down / step / max(1, round((SCREEN * down / across) ** 0.5))) * step
    result = dict[str, Place]()
    for down, names in rows:
        column, y = divmod(down, tall)
        for at, name in enumerate(names):
            x = column * across + (at - (len(names) - 1) / 2) * wide
            result[name] = (x, tall - step - y if column % 2 else y, *found[name][2:])
    return result


def _place(inner: str) -> Place:
    if round_ := _ELLIPSE.search(inner):
        middle, height, across, down = map(float, round_.groups())
        return middle, height, 2 * across, 2 * down
    found = _CORNERS.search(inner)
    numbers = [float(number) for number in _NUMBER.findall(found[0] if found else "0 0")]
    x, y = numbers[::2], numbers[1::2]
    return (min(x) + max(x)) / 2, (min(y) + max(y)) / 2, max(x) - min(x) or 60, max(y) - min(y) or 30


def _parts(names: Sequence[str], edges: Sequence[graph.Edge]) -> Iterable[Sequence[str]]:
    """The names in at most 300 parts; no edge leads back from a part to one that comes before it."""
    if len(names) <= MOST:
        return [(name,) for name in names]
    parents, children = graph.relatives(names, edges)
    order = graph.order(names, edges)
    kinds: dict[str, int] = {}
    for name in order:
        kinds[name] = max((kinds[parent] + 1 for parent in parents[name]), default=0)
    for _ in range(ROUNDS):
        numbers: dict[object, int] = {}
        told = {n: (kinds[n], *(tuple(sorted({kinds[o] for o in by[n]})) for by in (parents, children))) for n in order}
        kinds = {name: numbers.setdefault(told[name], len(numbers)) for name in order}
    alike: dict[int, list[str]] = {}
    for name in order:
        alike.setdefault(kinds[name], []).append(name)
    if 1 < len(alike) <= MOST:
        return alike.values()
    size = max(math.isqrt(len(order)), -(-len(order) // MOST))  # 32 boxes of 32, and not 250 of 4
    return [order[start : start + size] for start in range(0, len(order), size)]


def _title(part: Sequence[str]) -> str:
    return part[0] if len(part) == 1 else f"{part[0]} … {part[-1]} ×{len(part)}"


def _of_all(statuses: Sequence[JobStatus]) -> JobStatus:
    """What a box shows that stands for several jobs."""
    states = {status.state for status in statuses}
    progress = sum(status.progress for status in statuses) // len(statuses)
    told: list[State] = [word for word in STATES if word in states and word in ("failed", "cancelled")]
    told += ["done"] if states <= {"done", "skipped"} else ["running"] if states - {"ready"} else ["ready"]
    return JobStatus("running" if "running" in states else told[0], progress)


def clocks(flow: Workflow) -> bool:
    """True if a label shows a time that goes on by itself."""
    return any(word in (job.label or "") for job in flow.jobs.values() for word in ("{now", "{dt"))
