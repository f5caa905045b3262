"""What the engine takes while there is nothing to do: its processor time and memory beside one sleeping job."""

from __future__ import annotations

import os
import time
from pathlib import Path

import graphs
from table import Row, limit
from tools import BenchError, Tools, cli, events, our_environment, text_of, until

TICK = os.sysconf("SC_CLK_TCK")


def idle(tools: Tools, seconds: float) -> list[Row]:
    """What the engine takes while its only job sleeps."""
    graph = graphs.fan(1)
    where = graphs.folder(tools.work / "idle", graph, f"sleep {seconds + 60:.0f}\n")
    env = our_environment(tools) | {"CC_HOME": str(tools.work / "idle-home")}
    run = text_of([*cli(), "run", graphs.workflow(where, graph), "--detach"], where, env)
    try:
        share, memory = _watch(tools.work / "idle-home" / "runs" / run, seconds)
    finally:
        text_of([*cli(), "cancel", run], where, env)
    until(lambda: "end" in _types(tools.work / "idle-home" / "runs" / run), "the cancelled run did not end")
    return [
        limit(f"engine with one sleeping job, processor over {seconds:.0f} s", share, 0.5, "% of a core", 2),
        limit("the same, resident memory", memory, 60.0, "MB", 0),
    ]


def _watch(run: Path, seconds: float) -> tuple[float, float]:
    """The engine's processor time in percent of a core and its resident memory in MB, while the job runs."""
    until(lambda: "start" in _types(run), "the job did not start")
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
