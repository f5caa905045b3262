"""Other computers, against a real sshd here: a crowd of jobs, reactions, round trips at rest, a log of a gigabyte.

The host's account has no profile. Each command that arrives is counted, and so are the bytes of each answer.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from statistics import median

from table import Row, limit
from tools import BenchError, Tools, cli, events, our_environment, text_of, until

sys.path.append(str(Path(__file__).parent.parent))  # the tests' sshd

COUNT = 'sh -c "$SSH_ORIGINAL_COMMAND" > {base}/out.$$; wc -c < {base}/out.$$ >> {base}/bytes; exec cat {base}/out.$$'
STAMP = 'date +%s.%N > "{base}/{name}"'


def remote(tools: Tools, jobs: int, seconds: float, megabytes: int) -> list[Row]:
    """Every row of other computers."""
    from sshd import sshd

    base = tools.work / "remote"
    base.mkdir(parents=True)
    forced = f"ForceCommand {COUNT.format(base=base)}\n"
    with sshd(base / "plain") as plain, sshd(base / "counted", more=forced) as counted:
        return [
            _crowd(tools, base, plain, jobs),
            *_reactions(tools, base, plain),
            _rest(tools, base, counted, seconds),
            _log(tools, base, counted, megabytes),
        ]


def _write(base: Path, name: str, config: Path, nodes: dict[str, dict[str, object]], edges: list[str]) -> str:
    host = {"ssh_config": str(config), "workdir": str(base / "far")}
    body = {"workflow": {"hosts": {"box": host}, "nodes": nodes, "dependencies": edges}}
    (base / f"{name}.yaml").write_text(json.dumps(body), encoding="utf-8")  # JSON is YAML
    return f"{name}.yaml"


def _run(tools: Tools, base: Path, file: str, *words: str) -> tuple[float, Path]:
    """Seconds of a run from its first to its last event, and its folder."""
    told = json.loads(text_of([*cli(), "run", file, "--json", *words], base, _home(tools)).splitlines()[-1])
    if told["state"] != "done":
        raise BenchError(f"{file} ended as {told['state']}")
    folder = tools.work / "remote-home" / "runs" / told["run"]
    found = events(folder)
    return _time(found[-1]) - _time(found[0]), folder


def _home(tools: Tools) -> dict[str, str]:
    return our_environment(tools) | {"CC_HOME": str(tools.work / "remote-home")}


def _time(event: dict[str, str]) -> float:
    return datetime.fromisoformat(event["at"]).timestamp()


def _crowd(tools: Tools, base: Path, config: Path, jobs: int) -> Row:
    """Jobs that sleep, twenty at a time, over ssh and here."""
    took = {}
    for name, where in (("here", {}), ("there", {"kind": "ssh", "host": "box"})):
        nodes = {f"j{number}": {"exec": "sleep 1", **where} for number in range(jobs)}
        took[name], _ = _run(tools, base, _write(base, name, config, nodes, []), "--max-parallel", "20")
    work = f"{jobs} jobs of `sleep 1`, 20 at a time, over ssh"
    ratio = took["there"] / took["here"]
    return Row(work, f"{took['there']:.1f} s", f"here {took['here']:.1f} s", [ratio], 1.3, "≤ 1.3 × here")


def _reactions(tools: Tools, base: Path, config: Path) -> Iterator[Row]:
    """From a job's end there to its event here, and from a local job's end to the start of one there."""
    there = {"kind": "ssh", "host": "box"}
    nodes: dict[str, dict[str, object]] = {"open": {"exec": "sleep 25", **there}}
    for number in range(5):
        nodes[f"here{number}"] = {"exec": f"sleep {3 + 4 * number}"}
        text = f"{STAMP.format(base=base, name=f's{number}')}; sleep 1; {STAMP.format(base=base, name=f'e{number}')}"
        nodes[f"far{number}"] = {"exec": text, **there}
    edges = [f"here{number}, far{number}" for number in range(5)]
    _, folder = _run(tools, base, _write(base, "react", config, nodes, edges), "--max-parallel", "20")
    done = {event["job"]: _time(event) for event in events(folder) if event["type"] == "done"}
    known = [done[f"far{number}"] - float((base / f"e{number}").read_text()) for number in range(5)]
    begun = [float((base / f"s{number}").read_text()) - done[f"here{number}"] for number in range(5)]
    yield limit("over ssh: from a job's end to its event here, median of 5", median(known), 0.5, "s", 2)
    yield limit("over ssh: from ready to started on a connected host, median of 5", median(begun), 0.3, "s", 2)


@contextmanager
def _counted(base: Path) -> Iterator[list[int]]:
    """Fills the list with the bytes of every answer meanwhile."""
    file, found = base / "bytes", list[int]()
    before = len(file.read_text().split()) if file.exists() else 0
    yield found
    found += map(int, file.read_text().split()[before:])


def _rest(tools: Tools, base: Path, config: Path, seconds: float) -> Row:
    """Round trips while ten jobs sleep, as many as ten minutes would have."""
    nodes = {f"j{number}": {"exec": f"sleep {seconds + 30}", "kind": "ssh", "host": "box"} for number in range(10)}
    file = _write(base, "rest", config, nodes, [])
    run = text_of([*cli(), "run", file, "--detach", "--max-parallel", "10"], base, _home(tools))
    folder = tools.work / "remote-home" / "runs" / run
    until(lambda: sum(event["type"] == "start" for event in events(folder)) == 10, "the jobs did not start")
    time.sleep(10)  # what follows the start is not rest
    with _counted(base) as answers:
        time.sleep(seconds)
    text_of([*cli(), "cancel", run], base, _home(tools))
    trips = len(answers) * 600 / seconds
    return limit(f"10 jobs at rest over ssh: round trips in ten minutes, from {seconds:.0f} s", trips, 70, "", 0)


def _log(tools: Tools, base: Path, config: Path, megabytes: int) -> Row:
    """The bytes that travel while a log grows that reports progress once in a megabyte."""
    line = f'yes {"x" * 99} | head -c 1000000; echo; echo "# cloudmesh progress=$((n * 100 / {megabytes}))"'
    text = f"n=0; while [ $n -lt {megabytes} ]; do n=$((n + 1)); {line}; done"
    nodes: dict[str, dict[str, object]] = {"big": {"exec": text, "kind": "ssh", "host": "box"}}
    with _counted(base) as answers:
        _run(tools, base, _write(base, "log", config, nodes, []))
    return limit(f"a log of {megabytes} MB over ssh: what travels in all", sum(answers) / 1000, 1000, "kB", 0)
