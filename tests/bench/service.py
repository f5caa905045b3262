"""The REST service under load: event streams, requests, and a probe that says how long the loop stood still."""

from __future__ import annotations

import asyncio
import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from functools import partial
from pathlib import Path

import aiohttp
import graphs
from listing import FILL, listing
from table import Row, limit
from tools import BenchError, Tools, answers, cli, environment, our_environment, text_of, until

RATE = 200  # requests a second
STREAMS = 50
SERVER = """
import asyncio, sys, time
from jupyter_server.serverapp import ServerApp

async def probe():
    with open(sys.argv[1], "a", buffering=1) as file:
        while True:
            begin = time.perf_counter()
            await asyncio.sleep(0.01)
            file.write(f"{time.time()} {time.perf_counter() - begin - 0.01}\\n")

app = ServerApp.instance(jpserver_extensions={sys.argv[2]: True})
app.initialize(sys.argv[3:], find_extensions=False)
app.io_loop.add_callback(probe)
app.start()
"""


def service(tools: Tools, jobs: int, seconds: float) -> list[Row]:
    """What 50 streams and 200 requests a second see beside a run of 1,000 jobs, and what they cost the server."""
    home, where = tools.work / "service-home", tools.work / "service"
    env = our_environment(tools) | {"CC_HOME": str(home), "JUPYTER_TOKEN": "bench"}
    graph = graphs.fan(jobs)
    folder = graphs.folder(where, graph, "echo hello; sleep 0.05\n")
    file = graphs.workflow(folder, graph)
    ended = text_of([*cli(), "run", file, "--max-parallel", "8", "--detach"], folder, env)
    text_of([*cli(), "resume", ended], folder, env)  # waits
    database = f"sqlite:///{folder}/scheduler.sqlite"
    text_of([tools.peers, "-c", FILL, database, str(len(graph))])
    begin = partial(text_of, [*cli(), "run", file, "--max-parallel", "2", "--new", "--detach"], folder, env)
    try:
        with server(sys.executable, "cc_jupyter", folder, env) as (url, pid):
            own, store = f"{url}/cc/api", f"--SchedulerApp.db_url={database}"
            with server(tools.peers, "jupyter_scheduler", folder, env, store) as (peer, _):
                rows = asyncio.run(listing(own, ended, peer, len(graph), jobs // 10))
            load = Load(own, pid, ended, sorted(graph)[1])
            return [*asyncio.run(load.rows(begin, seconds, folder / "cc_jupyter.probe")), *rows]
    finally:
        for run in (home / "runs").iterdir():
            subprocess.run([*cli(), "cancel", run.name], env=environment(env), capture_output=True, timeout=60)


@contextmanager
def server(
    python: str | Path, extension: str, folder: Path, env: Mapping[str, str], *more: str
) -> Iterator[tuple[str, int]]:
    """A Jupyter server with one extension that answers: its URL and pid. Beside it lies what its probe wrote."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    options = ["--no-browser", "--allow-root", f"--port={port}", "--ServerApp.port_retries=0", *more]
    words = [str(python), "-c", SERVER, str(folder / f"{extension}.probe"), extension, *options]
    with open(folder / f"{extension}.log", "wb") as log:
        child = subprocess.Popen(words, cwd=folder, env=environment(env), stdout=log, stderr=log)
    try:
        url = f"http://127.0.0.1:{port}"
        until(lambda: answers(f"{url}/api/status", "bench"), "the server does not answer")
        yield url, child.pid
    finally:
        child.terminate()
        child.wait(30)


class Load:
    """The clients of one server."""

    def __init__(self, url: str, pid: int, ended: str, job: str) -> None:
        small = ["runs?limit=5", "workflows", f"runs/{ended}/jobs/{job}", "version"]
        large = [f"runs/{ended}/jobs/{job}/log?start=-4096", f"runs/{ended}/jobs/{job}/outputs"]
        self.paths = [small[n % 4] if n % 10 else large[n // 10 % 2] for n in range(1, 101)]
        self.url, self.pid, self.ended = url, pid, ended
        self.times: list[float] = []
        self.delays: list[float] = []
        self.opened = 0

    async def rows(self, begin: object, seconds: float, probe: Path) -> list[Row]:
        """Open the streams, ask for a while, close."""
        headers, none = {"Authorization": "token bench"}, aiohttp.ClientTimeout(total=None)
        connections = aiohttp.TCPConnector(limit=STREAMS + 100)
        async with aiohttp.ClientSession(headers=headers, connector=connections, timeout=none) as session:
            for path in self.paths:
                await self._ask(session, path)
            run = await asyncio.to_thread(begin)
            before = self._memory()
            streams = [asyncio.create_task(self._stream(session, str(run))) for _ in range(STREAMS)]
            while self.opened < STREAMS:
                await asyncio.sleep(0.05)
            memory = (self._memory() - before) / STREAMS
            self.times.clear()
            self.delays.clear()
            start = time.time()
            asked = []
            for number in range(int(RATE * seconds)):
                await asyncio.sleep(max(0.0, start + number / RATE - time.time()))
                asked.append(asyncio.create_task(self._ask(session, self.paths[number % 100])))
            await asyncio.gather(*asked)
            took = time.time() - start
            for stream in streams:
                stream.cancel()
        late = [(float(at), float(by)) for at, by in (line.split() for line in probe.read_text().splitlines())]
        blocked = max(by for at, by in late if start <= at <= start + took)
        what = f"{STREAMS} event streams of a running run, {RATE} requests a second for {seconds:.0f} s"
        return [
            limit(f"{what}: p99", 1000 * _percentile(self.times, 99), 250, "ms", 0),
            limit("the same: median", 1000 * _percentile(self.times, 50), 250, "ms", 1),
            limit("the same: the server's loop stood still for at most", 1000 * blocked, 100, "ms", 0),
            limit("the same: an event is at its client after (p99)", 1000 * _percentile(self.delays, 99), 100, "ms", 0),
            limit("the same: memory for each stream", memory, 200, "kB", 0),
        ]

    async def _ask(self, session: aiohttp.ClientSession, path: str) -> None:
        begin = time.perf_counter()
        async with session.get(f"{self.url}/{path}") as answer:
            if answer.status != 200 or not await answer.read():
                raise BenchError(f"{path} answers {answer.status}")
        self.times.append(time.perf_counter() - begin)

    async def _stream(self, session: aiohttp.ClientSession, run: str) -> None:
        async with session.get(f"{self.url}/runs/{run}/events") as answer:
            self.opened += 1
            async for line in answer.content:
                if line.startswith(b"data: "):
                    at = datetime.fromisoformat(json.loads(line[6:])["at"]).timestamp()
                    self.delays.append(time.time() - at)

    def _memory(self) -> float:
        """The server's resident memory in kB."""
        status = Path(f"/proc/{self.pid}/status").read_text(encoding="utf-8")
        return float(status.partition("VmRSS:")[2].split()[0])


def _percentile(values: list[float], percent: int) -> float:
    if not values:
        raise BenchError("nothing was measured")
    return sorted(values)[min(len(values) - 1, len(values) * percent // 100)]
