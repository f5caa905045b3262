"""The graphs of the benchmark and how each tool is told about them; every job of each tool executes `sh t.sh`."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

FLOWS = Path(__file__).parent / "flows"
SCRIPT = ":\n"
TIMED = "date +%s%N >> times\ndate +%s%N >> times\n"  # a job itself writes when it began and when it ended
MOST_BYTES = 2_000_000  # what a workflow file may have

Graph = Mapping[str, Sequence[str]]  # job → the jobs before it


def fan(jobs: int) -> Graph:
    """One root and `jobs - 1` jobs that depend on it."""
    return {"root": [], **{f"j{number:05}": ["root"] for number in range(1, jobs)}}


def chain(jobs: int) -> Graph:
    """Each job depends on the one before."""
    return {f"j{number:05}": [f"j{number - 1:05}"] * (number > 0) for number in range(jobs)}


def layers(depth: int, width: int) -> Graph:
    """Each job depends on every job of the layer before."""
    names = [[f"l{layer:02}x{place:02}" for place in range(width)] for layer in range(depth)]
    return {name: names[layer - 1] if layer else [] for layer in range(depth) for name in names[layer]}


def lanes(jobs: int, width: int = 10) -> Graph:
    """One root and `width` chains that begin at it."""
    names = ["root", *(f"j{number:05}" for number in range(1, jobs))]
    return {name: [names[max(0, place - width)]] * (place > 0) for place, name in enumerate(names)}


def mesh(jobs: int) -> Graph:
    """`jobs` jobs with exactly three times as many dependencies, near and far."""
    pairs = [(place - step, place) for step in (1, 7, 31, 101) for place in range(step, jobs)]
    parents: dict[str, list[str]] = {f"j{number:05}": [] for number in range(jobs)}
    for parent, child in pairs[: 3 * jobs]:
        parents[f"j{child:05}"].append(f"j{parent:05}")
    return parents


def edges(graph: Graph) -> Iterable[tuple[str, str]]:
    """Every dependency as (parent, child)."""
    return ((parent, child) for child, parents in graph.items() for parent in parents)


def folder(where: Path, graph: Graph, script: str = SCRIPT) -> Path:
    """A fresh folder with the job script, the graph for the peers and a place for their target files."""
    shutil.rmtree(where, ignore_errors=True)
    (where / "out").mkdir(parents=True)
    (where / "t.sh").write_text(script, encoding="utf-8")
    (where / "graph.json").write_text(json.dumps(graph), encoding="utf-8")
    return where


def workflow(where: Path, graph: Graph) -> Path:
    """The graph as our workflow file, as a person would write it."""
    lines = ["workflow:", "  nodes:"]
    for name in graph:
        lines += [f"    {name}:", "      script: t.sh"]
    lines += ["  dependencies:"] + [f"    - {parent}, {child}" for parent, child in edges(graph)]
    text = "\n".join(lines) + "\n"
    if len(text) >= MOST_BYTES:
        raise ValueError(f"the workflow file would have {len(text):,} bytes")
    path = where / "bench.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def makefile(where: Path, graph: Graph) -> None:
    """The graph for make: a target file per job; both recipe lines are plain enough to start without a shell."""
    lines = ["all: " + " ".join(f"out/{name}" for name in graph)]
    for name, parents in graph.items():
        lines += [f"out/{name}: " + " ".join(f"out/{parent}" for parent in parents), "\t@sh t.sh", "\t@touch $@"]
    (where / "Makefile").write_text("\n".join(lines) + "\n", encoding="utf-8")
