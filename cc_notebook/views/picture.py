"""A picture of a workflow, in the article's colours, by the Graphviz that pygraphviz's wheels carry.

A layout takes a process and some time, so it is kept: a state only colours it anew and puts in the texts of the moment.
"""

import getpass
import hashlib
import os
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from functools import lru_cache
from html import escape
from pathlib import Path
from typing import Any

from cc_notebook import control, graph, labels, loops, store
from cc_notebook.errors import InputError, ResourceError, clean
from cc_notebook.model import MARKERS, Workflow
from cc_notebook.runs import Run
from cc_notebook.state import TABLE, JobStatus, RunState
from cc_notebook.views.table import LOOKS, counts

FORMATS = (".svg", ".png", ".pdf", ".dot")
ENV = ("HOME", "USER", "HOSTNAME", "LANG", "PWD")  # of the environment, what a label may show
LIMIT = 60  # seconds for one drawing
KEPT = 200  # layouts
MOMENTS, COLUMNS = 12, 4  # that one picture shows, in rows
LONGEST = "2000-09-27T20:00:00+00:00"  # a Wednesday in September
FILL = "#010203"  # of every node in a layout that is kept
# nslimit: where jobs have many dependencies, Graphviz looked for 30 seconds for what is a little narrower
_LOOK = """  node [fontname=Helvetica, fontsize=13, color="#5C6875", fontcolor="#1B232B"]
  edge [color="#8793A0", arrowsize=0.8] graph [fontname=Helvetica, fontsize=13, color="#C9D1D9", nslimit=1]"""
_DRAW = """
import pygraphviz, sys
sys.stdout.buffer.write(pygraphviz.AGraph(sys.stdin.read()).draw(None, sys.argv[1], "dot"))
"""  # in a process of its own: Graphviz holds the interpreter's lock, and prints what it likes
_NOISE = re.compile(r'<!--.*?-->\n|(?<=class="edge">\n)<title>.*?</title>\n', re.DOTALL)
_PARTS = re.compile("</title>|</g>")
_TEXT = re.compile("(?<=>)[^<\n]+(?=</text>)")


def check(path: Path) -> None:
    """Raises InputError if the file's ending is no picture's, and ResourceError if it cannot be written."""
    if path.suffix not in FORMATS:
        raise InputError(f"{path.name}: a picture's name ends with {', '.join(FORMATS)}")
    there = path.exists()
    put(path, b"", "ab")
    if not there:
        path.unlink()


def write(flow: Workflow, run: RunState, path: Path) -> None:
    """Draw the graph with the state of each job into a file; its ending says the format."""
    check(path)
    put(path, svg(flow, run).encode() if path.suffix == ".svg" else drawn(dot(flow, run), path.suffix))


def svg(flow: Workflow, run: RunState) -> str:
    """The graph with the state of each job as SVG text. Its layout is made once and kept in the store."""
    told, seen = faces(flow, run), looks(run)
    first, nodes = layout(flow, list(told.values()))
    pieces = [first]
    for name, inner, rest in nodes:
        text, color = told[name]
        lines, between = escape(clean(text)).split("\n"), _TEXT.split(inner.replace(FILL, color))
        if len(between) != len(lines) + 1:  # its shape shows no text, or was drawn with the present one
            lines, between = [""], [inner.replace(FILL, color), ""]
        inner = "".join(a + b for a, b in zip(between, [*lines, ""], strict=True))
        why = f"\n{run.jobs[name].reason}" if name in run.jobs and run.jobs[name].reason else ""
        words = clean(f"{flow.jobs[name].name}: {seen.get(name, 'ready')}{why}")
        pieces.append(f"<title>{escape(words)}</title>{inner}</g>{rest}")
    return "".join(pieces)


def layout(flow: Workflow, told: Sequence[tuple[str, str]]) -> tuple[str, list[tuple[str, str, str]]]:
    """Where everything lies, as SVG: what is before the first job; then each job's name, its elements, what follows."""
    widest = _widest(flow.model_dump_json())
    rooms = [
        (face[0] if "record" in str(job.shape) else _room(face[0].split("\n"), most), FILL)  # a record's text is fields
        for job, face, most in zip(flow.jobs.values(), told, widest, strict=True)
    ]
    plan = _graph("", _statements(flow, {name: f"n{number}" for number, name in enumerate(flow.jobs)}, rooms))
    first, *nodes = _laid_out(plan).split("<title>n")
    names, pieces = list(flow.jobs), [_PARTS.split(node, 2) for node in nodes]
    return first, [(names[int(number)], inner, rest) for number, inner, rest in pieces]


def dot(flow: Workflow, run: RunState) -> str:
    """The graph in Graphviz's language, with the labels of this moment."""
    return _graph(flow.name, _statements(flow, {n: _quoted(n) for n in flow.jobs}, [*faces(flow, run).values()]))


def states(run: Run, path: Path) -> None:
    """Draw how the graph of a run changed: after each change of a job's state, or after twelve of them."""
    check(path)
    flow, lines, view = run.refresh().flow.drawn(), list[str](), RunState(run.spec.workflow, run.spec.created)
    befores, afters = graph.relatives(flow.jobs, flow.edges)
    changes = [event.seq for event in run.events() if event.type in TABLE and event.type not in ("progress", "submit")]
    chosen = {changes[round(n * (len(changes) - 1) / (MOMENTS - 1))] for n in range(MOMENTS) if changes}
    for event in run.events():
        view.feed(event)
        if event.seq not in chosen:
            continue
        number, moment = sorted(chosen).index(event.seq), datetime.fromisoformat(event.at)
        changed = [(name, view.jobs[name].state) for name in event.jobs or (event.job,)]
        told = [f"{moment.astimezone():%Y-%m-%d %H:%M:%S}", *(f"{LOOKS[s].symbol} {n} {s}" for n, s in changed[:3])]
        ids = {name: f"m{number}n{place}" for place, name in enumerate(flow.jobs)}
        inside = _statements(flow, ids, [*faces(flow, view, moment).values()])
        lines += [f"subgraph cluster{number} {{ label={_label(told)}", *inside, "}"]
        lines += [f"below{number} [shape=point, style=invis]"]  # holds the next row below this one
        lines += [f"{ids[name]} -> below{number} [style=invis]" for name in flow.jobs if not afters[name]]
        tops = [ids[name] for name in flow.jobs if not befores[name] and number >= COLUMNS]
        lines += [f"below{number - COLUMNS} -> {top} [style=invis]" for top in tops]
    put(path, drawn(_graph(flow.name, lines), path.suffix))


def display(flow: Workflow, run: RunState, path: Path | None, default: Path) -> Path | None:
    """Write the picture to `path`; without one show it if this is a notebook, else write `default` and say so."""
    if path is None:
        import IPython

        if hasattr(IPython.get_ipython(), "kernel"):
            show: Any = IPython.display.display  # has no types
            show({"image/svg+xml": svg(flow, run), "text/plain": flow.name}, raw=True)
            return None
        print(f"picture: {default}")
    write(flow, run, path or default)
    return path or default


def put(path: Path, data: bytes, how: str = "wb") -> None:
    """Write a file that a user asked for, and its folder. Raises ResourceError."""
    try:
        path.absolute().parent.mkdir(parents=True, exist_ok=True)
        with open(path, how) as file:
            file.write(data)
    except OSError as error:
        raise ResourceError(f"{path} cannot be written: {error.strerror}") from error


def looks(run: RunState) -> dict[str, str]:
    """What a picture shows as the state of each job: one that will not run because of another is blocked."""
    broken = any(status.state in control.BROKEN for status in run.jobs.values())
    own = {name: run.jobs[name] for name in run.flow.jobs}  # without boxes that stand for several
    blocked = control.Plan(run.flow.whole, own).blocked if broken else {}
    return {name: "blocked" if name in blocked else status.state for name, status in run.jobs.items()}


def faces(flow: Workflow, run: RunState, now: datetime | None = None) -> dict[str, tuple[str, str]]:
    """What each node says (the symbol of its state, the label, and how far it is) and its colour."""
    around = {"os": _environment(kept := store.variables()), "cm": kept}
    told, moment, seen = dict[str, tuple[str, str]](), now or datetime.now(UTC), looks(run)
    for name, job in flow.jobs.items():
        status = run.jobs.get(name) or JobStatus()
        far = "" if job.instant or job.label else f"\n{status.progress}%"
        if name in run.flow.members:
            far = f"\n{counts(loops.summary(run.flow, run.jobs, name))}"
        look = LOOKS[seen.get(name, "ready")]
        told[name] = f"{look.symbol} {labels.text(job, run, moment, around)}{far}", look.color
    return told


def _environment(kept: Mapping[str, str]) -> dict[str, str]:
    """What labels may show of the environment, and who and where we are although a kernel's does not tell."""
    real = {"HOSTNAME": os.uname().nodename}
    with suppress(KeyError, OSError):  # a container's user may have no name
        real["USER"] = getpass.getuser()
    return real | {key: os.environ[key] for key in (*ENV, *kept.get("os.allow", "").split(",")) if key in os.environ}


@lru_cache(maxsize=16)
def _widest(flow: str) -> list[list[str]]:
    """The lines of each node of a workflow (as JSON) where all that changes in them is as long as it usually gets."""
    parsed = Workflow.model_validate_json(flow)
    run, long = RunState(parsed), JobStatus("cancelled", 100, submitted=LONGEST, started=LONGEST, ended=LONGEST)
    run.jobs, run.ended, run.started, run.stopped = dict.fromkeys(parsed.jobs, long), "cancelled", LONGEST, LONGEST
    told = faces(parsed, run, datetime.fromisoformat(LONGEST))
    own = {name: "\n999 ✓, 99 ○, 999 ·" for name, job in parsed.jobs.items() if job.group}  # counts of its members
    return [(text.removesuffix("\n100%") + own[n] if n in own else text).split("\n") for n, (text, _) in told.items()]


def _room(lines: Sequence[str], widest: Sequence[str]) -> str:
    """A text as large as that of a node may get, so that as many other texts as possible share its layout."""
    pairs = zip(lines, [*widest, *[""] * len(lines)], strict=False)
    return "\n".join(most or "0" if len(line) <= len(most) else "0" * (len(line) // 8 * 8 + 8) for line, most in pairs)


def _laid_out(plan: str) -> str:
    """A graph as SVG, from the folder of layouts if it is there."""
    cache = store.home() / "pictures"
    kept = cache / f"{hashlib.sha256(plan.encode()).hexdigest()[:32]}.svg"
    with suppress(OSError):
        return kept.read_text(encoding="utf-8")
    text = drawn(plan, ".svg").decode()
    text = _NOISE.sub("", text[text.index("<svg") :])
    with suppress(OSError, ResourceError):  # where it cannot be kept there is a picture all the same
        cache.mkdir(mode=0o700, exist_ok=True)
        for old in sorted(cache.glob("*.svg"), key=os.path.getmtime)[:-KEPT]:
            old.unlink()
        store.write_new(kept, text)
    return text


def drawn(text: str, ending: str) -> bytes:
    """A text in the language of `dot` as a picture of the kind that this ending names."""
    if ending == ".dot":
        return text.encode()
    words = [sys.executable, "-c", _DRAW, ending[1:]]
    try:
        done = subprocess.run(words, input=text.encode(), capture_output=True, timeout=LIMIT, check=False)
    except subprocess.TimeoutExpired:
        raise ResourceError(f"the graph is too large to be drawn in {LIMIT} s; write a .dot file") from None
    if done.returncode:
        why = done.stderr.decode(errors="replace").strip().split("\n")[-1]
        raise ResourceError(f"the graph cannot be drawn as {ending[1:]}: {why}")
    return done.stdout


def _graph(name: str, lines: Sequence[str]) -> str:
    return "\n".join([f"digraph {_quoted(name)} {{", _LOOK, *lines, "}"]) + "\n"


def _statements(flow: Workflow, ids: Mapping[str, str], told: Sequence[tuple[str, str]]) -> list[str]:
    nodes = []
    for job, (text, color) in zip(flow.jobs.values(), told, strict=True):
        shape = job.shape or ("diamond" if job.name in MARKERS else "box")
        style = "filled,rounded" if job.style is None and shape == "box" else job.style or "filled"
        looks = f'shape={_quoted(shape)}, style={_quoted(style)}, fillcolor="{color}"'
        nodes.append(f"  {ids[job.name]} [label={_label([text])}, {looks}]")
    return [*nodes, *(f"  {ids[parent]} -> {ids[child]}" for parent, child in flow.edges)]


def _label(lines: Sequence[str]) -> str:
    return _quoted("\n".join(lines)).replace("&", "&amp;")  # Graphviz reads HTML's entities in a label


def _quoted(text: str) -> str:
    return '"' + clean(text).replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'
