"""The measurements: each returns the rows that it gives to the table, or raises BenchError."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from statistics import median

import graphs
from graphs import Graph
from peers import run_peer
from table import Row
from tools import (
    BenchError,
    Tools,
    cli,
    events,
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
    starts: int = 11  # repetitions of what takes less than a second
    idle: float = 20.0  # seconds
    rounds: int = 3


QUICK = Scale(jobs=100, chain=20, load=1000, depth=5, width=10, starts=3, idle=3.0, rounds=3)


def _rounds(count: int, tools: dict[str, Callable[[], float]]) -> dict[str, list[float]]:
    """Each tool once per round, so that all of them see the same weather."""
    seconds: dict[str, list[float]] = {name: [] for name in tools}
    for number in range(count):
        for name, measure in tools.items():
            seconds[name].append(measure())
            print(f"  round {number + 1} {name}: {seconds[name][-1]:.3f}", file=sys.stderr, flush=True)
    return seconds


def _against(work: str, seconds: dict[str, list[float]], targets: dict[str, float | None]) -> list[Row]:
    """A row per peer, with the ratio of each round."""
    ours = seconds["ours"]
    return [
        Row(
            work,
            f"{median(ours):.2f} s",
            f"{peer} {median(seconds[peer]):.2f} s",
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
    """From the end of a job to the start of the next, by the jobs' own clocks."""
    graph = graphs.chain(scale.chain)
    found = _rounds(scale.rounds, {"gap": lambda: _gap(tools, graph)})["gap"]
    return [_limit(f"chain of {scale.chain}: a job's end to its child's start", median(found) * 1000, 8.0, "ms", 1)]


def _gap(tools: Tools, graph: Graph) -> float:
    """The median gap of one run in seconds."""
    run_ours(tools, graph, graphs.TIMED, args=True)
    times = [[int(text) for text in (tools.work / "ours" / "times" / name).read_text().split()] for name in graph]
    return median(child[0] - parent[1] for parent, child in pairwise(times)) / 1e9


def load(tools: Tools, scale: Scale) -> list[Row]:
    """Reading, checking and ordering a large workflow, each time in a fresh interpreter, without its imports."""
    large, small = scale.load, scale.load // 10
    _load(tools, 10)  # whoever comes first compiles
    seconds = _rounds(scale.rounds, {"small": lambda: _load(tools, small), "large": lambda: _load(tools, large)})
    work = f"load, validate and order {large:,} jobs with {3 * large:,} dependencies"
    return [
        _limit(work, median(seconds["large"]), 3.0, "s", 2),
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
    return [_limit(f"resume a finished run of {scale.jobs:,} jobs, over the interpreter's start", over, 0.4, "s", 2)]


def idle(tools: Tools, scale: Scale) -> list[Row]:
    """What the engine takes while its only job sleeps."""
    graph = graphs.fan(1)
    where = graphs.folder(tools.work / "idle", graph, f"sleep {scale.idle + 60:.0f}\n")
    env = our_environment(tools) | {"CC_HOME": str(tools.work / "idle-home")}
    run = text_of([*cli(), "run", graphs.workflow(where, graph), "--detach"], where, env)
    try:
        share, memory = _watch(tools.work / "idle-home" / "runs" / run, scale.idle)
    finally:
        text_of([*cli(), "cancel", run], where, env)
    _until(lambda: "end" in _types(tools.work / "idle-home" / "runs" / run), "the cancelled run did not end")
    return [
        _limit(f"engine with one sleeping job, processor over {scale.idle:.0f} s", share, 0.5, "% of a core", 2),
        _limit("the same, resident memory", memory, 60.0, "MB", 0),
    ]


def _watch(run: Path, seconds: float) -> tuple[float, float]:
    """The engine's processor time in percent of a core and its resident memory in MB, while the job runs."""
    _until(lambda: "start" in _types(run), "the job did not start")
    pid = next(int(event["native_id"]) for event in events(run) if event["type"] == "engine")
    time.sleep(1)  # what follows the start is not rest
    begin, before = time.perf_counter(), _processor(pid)
    time.sleep(seconds)
    share = 100 * (_processor(pid) - before) / (time.perf_counter() - begin)
    status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    if _types(run)[-1] in ("end", "done", "fail"):
        raise BenchError("the sleeping job ended too early")
    return share, int(status.partition("VmRSS:")[2].split()[0]) / 1024


def _processor(pid: int) -> float:
    """Processor seconds of a process so far, user and system."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICK


def _types(run: Path) -> list[str]:
    return [event["type"] for event in events(run)]


def _until(true: Callable[[], bool], otherwise: str, seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        if time.monotonic() > deadline:
            raise BenchError(otherwise)
        time.sleep(0.05)


def _limit(work: str, value: float, limit: float, unit: str, digits: int) -> Row:
    """A row that is held against a fixed limit."""
    return Row(
        work, f"{value:.{digits}f} {unit}", f"limit {limit:g} {unit}", [value / limit], 1.0, f"≤ {limit:g} {unit}"
    )
