"""A list of many jobs, from our service and from jupyter-scheduler's, asked in turn on the same machine."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Sequence
from statistics import median

import aiohttp
from table import Row
from tools import BenchError

PERIOD = 0.5  # seconds from one question to the next: neither server is busy
# What its scheduler writes for a notebook that has run, by its own model; nothing has to run for a list to be long.
FILL = """
import sys
from jupyter_scheduler.orm import Job, create_session, create_tables
from jupyter_scheduler.utils import get_utc_timestamp

create_tables(sys.argv[1])
now = get_utc_timestamp()
common = {"input_filename": "hello.ipynb", "runtime_environment_name": "python3", "output_formats": ["ipynb"]}
times = {"create_time": now, "update_time": now, "start_time": now, "end_time": now}
with create_session(sys.argv[1])() as session:
    for number in range(int(sys.argv[2])):
        session.add(Job(name=f"j{number:05}", status="COMPLETED", pid=number + 1, **common, **times))
    session.commit()
"""


async def listing(ours: str, run: str, theirs: str, jobs: int, rounds: int) -> list[Row]:
    """Median and slowest of a hundred of each, over the same seconds; the list must have all jobs."""
    urls = {"runs": f"{ours}/runs", "jobs": f"{ours}/runs/{run}", "theirs": f"{theirs}/scheduler/jobs"}
    times: dict[str, list[float]] = {name: [] for name in urls}
    async with aiohttp.ClientSession(headers={"Authorization": "token bench"}) as session:
        for number in range(rounds + 1):
            for name, url in urls.items():
                begin = time.perf_counter()
                async with session.get(url) as answer:
                    told = await answer.read()
                seconds = time.perf_counter() - begin
                if answer.status != 200 or (name != "runs" and len(json.loads(told)["jobs"]) != jobs):
                    raise BenchError(f"{url} answers {answer.status}: {told[:200]!r}")
                times[name] += [seconds] * bool(number)  # the first has to read the files
                await asyncio.sleep(PERIOD / len(urls))
    whats = {"runs": "the list of runs", "jobs": f"a run with the state of its {jobs:,} jobs"}
    titles = {name: f"{what}, one request at a time: median (p99)" for name, what in whats.items()}
    return [_row(what, jobs, times[name], times["theirs"]) for name, what in titles.items()]


def _row(what: str, jobs: int, ours: Sequence[float], theirs: Sequence[float]) -> Row:
    told = [f"{1000 * median(own):.1f} ms ({1000 * sorted(own)[len(own) * 99 // 100]:.0f})" for own in (ours, theirs)]
    other = f"jupyter-scheduler's list of {jobs:,} jobs {told[1]}"
    return Row(what, told[0], other, [median(ours) / median(theirs)], 1.0, "≤ 1")
