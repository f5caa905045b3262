"""The measurements: each returns the rows that it gives to the table, or raises BenchError."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import graphs
from peers import run_peer
from table import Row, limit
from tools import (
    BenchError,
    Tools,
    cli,
    model_attempt,
    our_environment,
    our_run,
    run_bare,
    run_ours,
    text_of,
    timed,
)

LOAD = """
import sys, time
from cc_notebook import Workflow
from cc_notebook.spec import parse
begin = time.perf_counter()
order = Workflow(sys.argv[1]).sequential_order()
print(time.perf_counter() - begin, len(order))
"""
TICK = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Scale:
    """How much is measured: the counts of the targets, or small ones that only try the benchmark itself."""

    jobs: int = 1000
    chain: int = 200
    load: int = 10_000
    depth: int = 20
    width: int = 50
    remote: int = 200  # jobs on another machine
    shown: int = 100  # jobs in a notebook, and three times as many
    starts: int = 11  # repetitions of what takes less than a second
    idle: float = 20.0  # seconds
    rounds: int = 3


QUICK = Scale(jobs=100, chain=20, load=1000, depth=5, width=10, remote=40, shown=20, starts=3, idle=3.0, rounds=3)


def _rounds(count: int, tools: dict[str, Callable[[], float]]) -> dict[str, list[float]]:
    """Each tool once per round, so that all of them see the same weather."""
    seconds: dict[str, list[float]] = {name: [] for name in tools}
    for number in range(count):
        for name, measure in tools.items():
            seconds[name].append(measure())
            print(f"  round {number + 1} {name}: {seconds[name][-1]:.3f}", file=sys.stderr, flush=True)
    return seconds


def _against(
    work: str, seconds: dict[str, list[float]], targets: dict[str, float | None], unit: str = "s", scale: float = 1
) -> list[Row]:
    """A row per peer, with the ratio of each round."""
    ours = seconds["ours"]
    return [
        Row(
            work,
            f"{median(ours) * scale:.2f} {unit}",
            f"{peer} {median(seconds[peer]) * scale:.2f} {unit}",
            [mine / theirs for mine, theirs in zip(ours, seconds[peer], strict=True)],
            target,
            "–" if target is None else f"≤ {target:g} × {peer}",
        )
        for peer, target in targets.items()
    ]


def fan(tools: Tools, scale: Scale) -> list[Row]:
    """Many small jobs, two at a time, the whole process with its start."""
    graph, model = graphs.fan(scale.jobs), model_attempt(tools)
    seconds = _rounds(
        scale.rounds,
        {
            "ours": lambda: run_ours(tools, graph),
            "bare loop": lambda: run_bare(tools, graph, model),
            "make": lambda: run_peer(tools, "make", graph),
            "doit": lambda: run_peer(tools, "doit", graph),
            "Luigi": lambda: run_peer(tools, "luigi", graph),
            "Snakemake": lambda: run_peer(tools, "snakemake", graph),
        },
    )
    targets = {"Luigi": 0.4, "Snakemake": 0.15, "bare loop": 1.5, "doit": None, "make": None}
    return _against(f"{scale.jobs:,} jobs, fan-out, two at a time", seconds, targets)


def layers(tools: Tools, scale: Scale) -> list[Row]:
    """Layers of which each job depends on the whole layer before."""
    graph = graphs.layers(scale.depth, scale.width)
    seconds = _rounds(
        scale.rounds, {"ours": lambda: run_ours(tools, graph), "doit": lambda: run_peer(tools, "doit", graph)}
    )
    return _against(f"{scale.depth} layers of {scale.width} jobs, each after the whole layer", seconds, {"doit": 2.0})


def chain(tools: Tools, scale: Scale) -> list[Row]:
    """From the end of a job to the start of the next, by the jobs' own clocks; the bare loop shows the wrapper's."""
    graph, model = graphs.chain(scale.chain), model_attempt(tools, graphs.TIMED)
    times = tools.work / "ours" / "times"
    gaps = _rounds(
        scale.rounds,
        {
            "ours": lambda: _gap(times, len(graph), lambda: run_ours(tools, graph, graphs.TIMED)),
            "bare loop": lambda: _gap(times, len(graph), lambda: run_bare(tools, graph, model, parallel=1)),
        },
    )
    work = f"chain of {scale.chain}: a job's end to its child's start"
    return [
        limit(work, median(gaps["ours"]) * 1000, 8.0, "ms", 1),
        *_against(work, gaps, {"bare loop": None}, "ms", 1000),
    ]


def _gap(times: Path, jobs: int, run: Callable[[], float]) -> float:
    """The median gap of one run in seconds: the jobs of a chain leave their start and end in turn, never mixed."""
    times.unlink(missing_ok=True)
    run()
    found = [int(text) for text in times.read_text(encoding="utf-8").split()]
    if len(found) != 2 * jobs or found != sorted(found):
        raise BenchError(f"{len(found)} times of {jobs} jobs, or not in order")
    return median(start - end for end, start in zip(found[1:-1:2], found[2::2], strict=True)) / 1e9


def load(tools: Tools, scale: Scale) -> list[Row]:
    """Reading, checking and ordering a large workflow, each time in a fresh interpreter, without its imports."""
    large, small = scale.load, scale.load // 10
    _load(tools, 10)  # whoever comes first compiles
    seconds = _rounds(scale.rounds, {"small": lambda: _load(tools, small), "large": lambda: _load(tools, large)})
    work = f"load, validate and order {large:,} jobs with {3 * large:,} dependencies"
    return [
        limit(work, median(seconds["large"]), 3.0, "s", 2),
        _against(
            "the same, against a tenth of it",
            {"ours": seconds["large"], f"{small:,} jobs": seconds["small"]},
            {f"{small:,} jobs": 13.0},
        )[0],
    ]


def _load(tools: Tools, jobs: int) -> float:
    graph = graphs.mesh(jobs)
    file = graphs.workflow(graphs.folder(tools.work / "load", {}), graph)
    seconds, ordered = text_of([sys.executable, "-c", LOAD, file], file.parent, our_environment(tools)).split()
    if int(ordered) != jobs:
        raise BenchError(f"{ordered} jobs in the order instead of {jobs}")
    return float(seconds)


def resume(tools: Tools, scale: Scale) -> list[Row]:
    """Resuming a run that has ended, over the interpreter's own start."""
    run_ours(tools, graphs.fan(scale.jobs))
    name, env = our_run(tools).name, our_environment(tools)
    seconds = _rounds(
        scale.starts,
        {
            "python": lambda: timed([sys.executable, "-c", "pass"], tools.work),
            "resume": lambda: timed([*cli(), "resume", name], tools.work, env),
        },
    )
    over = median(seconds["resume"]) - median(seconds["python"])
    return [limit(f"resume a finished run of {scale.jobs:,} jobs, over the interpreter's start", over, 0.4, "s", 2)]
