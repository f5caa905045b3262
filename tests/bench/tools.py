"""How the benchmark runs programs: a whole process with its wall time, our own command line, the bare loop."""

from __future__ import annotations

import json
import os
import select
import shutil
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import graphs
from graphs import Graph

HERE = Path(__file__).parent
LIMIT = 3600.0  # seconds after which a measurement counts as failed


class BenchError(Exception):
    """A measurement could not be made: a tool is missing, or a run did not end with success."""


@dataclass(frozen=True)
class Tools:
    """Where things are: the peers' interpreter, a folder for what the measurements write, `home` for our store."""

    peers: Path
    work: Path

    @property
    def home(self) -> Path:
        """Our store."""
        return self.work / "home"


def environment(more: Mapping[str, str] | None = None) -> dict[str, str]:
    """The caller's environment without PYTHON…: DONTWRITEBYTECODE would compile a checkout, no peer, at each start."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    return {**kept, **(more or {})}


def timed(words: Sequence[str | Path], cwd: Path, env: Mapping[str, str] | None = None) -> float:
    """Wall seconds of a whole process; raises BenchError with the end of its output if it fails."""
    os.sync()  # nobody pays for what the tool before left unwritten
    all_env = environment(env)
    with open(cwd / "output.txt", "wb") as output:
        begin = time.perf_counter()
        child = subprocess.Popen(words, cwd=cwd, env=all_env, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
        _wait(child)
        seconds = time.perf_counter() - begin
    if code := child.returncode:
        tail = (cwd / "output.txt").read_text(encoding="utf-8", errors="replace")[-2000:]
        raise BenchError(f"{' '.join(map(str, words))} ended with {code}:\n{tail}")
    return seconds


def _wait(child: subprocess.Popen[bytes]) -> None:
    """Wait by pidfd: `wait(timeout=…)` polls in steps of up to 50 ms, which would round every time up."""
    descriptor = os.pidfd_open(child.pid)
    try:
        ended = select.select([descriptor], [], [], LIMIT)[0]
    finally:
        os.close(descriptor)
    if not ended:
        child.kill()
    child.wait()
    if not ended:
        raise BenchError(f"{child.args!r} took more than {LIMIT:.0f} s")


def until(true: Callable[[], bool], otherwise: str, seconds: float = 60) -> None:
    """Wait for something that says nothing when it comes; raises BenchError after `seconds`."""
    deadline = time.monotonic() + seconds
    while not true():
        if time.monotonic() > deadline:
            raise BenchError(otherwise)
        time.sleep(0.05)


def answers(url: str, token: str = "") -> bool:
    """Whether a server is there."""
    asked = urllib.request.Request(url, headers={"Authorization": f"token {token}"} if token else {})
    with suppress(OSError), urllib.request.urlopen(asked, timeout=5) as answer:
        return bool(answer.status == 200)
    return False


def text_of(words: Sequence[str | Path], cwd: Path = HERE, env: Mapping[str, str] | None = None) -> str:
    """What a program prints; raises BenchError if it fails."""
    try:
        done = subprocess.run(words, cwd=cwd, env=environment(env), capture_output=True, text=True, timeout=LIMIT)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise BenchError(str(error)) from error
    if done.returncode:
        raise BenchError(f"{' '.join(map(str, words))} ended with {done.returncode}:\n{done.stderr[-2000:]}")
    return done.stdout.strip()


def cli() -> list[str]:
    """Our command line, as it is installed beside this interpreter."""
    script = Path(sys.executable).with_name("jupyter-cc")
    return [str(script)] if script.exists() else [sys.executable, "-m", "cc_notebook.cli"]


def our_environment(tools: Tools) -> dict[str, str]:
    """The store of the benchmark instead of the user's."""
    return {"CC_HOME": str(tools.home)}


def run_ours(tools: Tools, graph: Graph, script: str = graphs.SCRIPT) -> float:
    """Seconds of `jupyter-cc run` with an empty store; raises BenchError unless every job is journalled as done."""
    shutil.rmtree(tools.home, ignore_errors=True)
    where = graphs.folder(tools.work / "ours", graph, script)
    file = graphs.workflow(where, graph)
    seconds = timed([*cli(), "run", file, "--max-parallel", "2"], where, our_environment(tools))
    done = [event["job"] for event in events(our_run(tools)) if event["type"] == "done"]
    if sorted(done) != sorted(graph):
        raise BenchError(f"{len(done)} jobs are done instead of {len(graph)}, each once")
    return seconds


def events(run: Path) -> list[dict[str, str]]:
    """The journal of a run so far."""
    try:
        return [json.loads(line) for line in (run / "events.jsonl").read_bytes().split(b"\n")[:-1]]
    except FileNotFoundError:
        return []


def our_run(tools: Tools) -> Path:
    """The folder of the only run in the store."""
    found = [path for path in (tools.home / "runs").iterdir() if not path.name.startswith(".")]
    if len(found) != 1:
        raise BenchError(f"there should be one run in {tools.home}, there are {len(found)}")
    return found[0]


def run_bare(tools: Tools, graph: Graph, model: Path, parallel: int = 2) -> float:
    """Seconds of the bare loop over as many attempts like `model` as the graph has jobs."""
    where = graphs.folder(tools.work / "bare", {})
    loop: list[str | Path] = [
        sys.executable,
        HERE / "bare_loop.py",
        model,
        where / "run",
        str(len(graph)),
        str(parallel),
    ]
    return timed(loop, where)


def model_attempt(tools: Tools, script: str = graphs.SCRIPT) -> Path:
    """An attempt folder that our engine made, for the bare loop to copy; its script stays in the folder `ours`."""
    run_ours(tools, graphs.fan(1), script)
    kept = tools.work / "model"
    shutil.rmtree(kept, ignore_errors=True)
    shutil.copytree(our_run(tools), kept, ignore=shutil.ignore_patterns("bell"), symlinks=True)
    found = sorted(kept.glob("*/1/job.sh"))
    if not found:
        raise BenchError(f"no attempt below {kept}")
    return found[0].parent
