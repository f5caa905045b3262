"""SIGKILL of the real engine at every counted write, fsync, rename, open, mkdir and spawn: one resume mends it.

The jobs themselves write the ledger of what ran. `killer/sitecustomize.py` counts in the engine's own process and sends
it SIGKILL before the N-th operation, or in the middle of the N-th write.
"""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import write

from cc_notebook import Workflow, process, runs
from cc_notebook.journal import Reader
from cc_notebook.state import RunState

KILLER = Path(__file__).parent / "killer"
LEDGER = 'echo "$CC_JOB $CC_ATTEMPT" >> ledger'


def flow_of(folder):
    """Six jobs: a marker, a fan-out, a join, one that fails once and is tried again."""
    write(folder, "twice.sh", f"{LEDGER}\n[ -e tried ] || {{ touch tried; exit 1; }}\n")
    flow = Workflow(name="w")
    for name in ("a", "b", "c"):
        flow.add_job(name, exec=LEDGER)
    flow.add_job("twice", "twice.sh", retry=1)
    flow.add_job("last", exec=f"{LEDGER}; echo '# cloudmesh progress=70 x=1'")
    flow.add_dependencies("start, a, last")
    flow.add_dependencies("start, b, c, last")
    flow.add_dependencies("start, twice, last")
    return flow


def engine(run, kill_at="", half=""):
    """Run the engine in the foreground, to be killed at the given operation; returns the exit status."""
    environment = {**os.environ, "PYTHONPATH": str(KILLER), "CC_KILL_AT": str(kill_at), "CC_KILL_HALF": str(half)}
    environment["CC_KILL_COUNT"] = str(run.folder.parent / "count")
    command = [sys.executable, "-m", "cc_notebook.engine", str(run.folder)]
    return subprocess.run(command, env=environment, capture_output=True, timeout=60).returncode


def new_run(folder, monkeypatch):
    """A run that no engine has seen yet."""
    monkeypatch.setattr(process, "start", lambda folder: None)
    for name in ("ledger", "tried"):
        (folder / name).unlink(missing_ok=True)
    return flow_of(folder).run(max_parallel=2, new=True)


def check(run, folder):
    """Every job ran once per attempt, by its own ledger; the end is done; live state equals replayed state."""
    ledger = (folder / "ledger").read_text().splitlines()
    assert len(ledger) == len(set(ledger)), f"something ran twice: {sorted(ledger)}"
    assert sorted(line.split()[0] for line in ledger) == ["a", "b", "c", "last", "twice", "twice"], ledger
    view = RunState(run.spec.workflow)
    for event in Reader(run.folder / "events.jsonl").new():
        view.feed(event)
    assert view.ended == "done", (view.ended, view.reason)
    assert view.jobs["last"].outputs == {"x": 1} and view.jobs["twice"].attempt == 2
    assert (view.jobs, view.seq) == (run.refresh().jobs, run.refresh().seq)


@pytest.fixture
def operations(folder, monkeypatch):
    """How many operations an undisturbed engine makes."""
    run = new_run(folder, monkeypatch)
    assert engine(run, kill_at=10**6) == 0
    check(run, folder)
    return int((run.folder.parent / "count").read_text())


@pytest.mark.timeout(1500)
def test_killed_anywhere_and_resumed(folder, monkeypatch, operations, every):
    """Killed before any operation, one resume brings the run to its end and everything ran once."""
    assert operations > 60
    for point in range(1 + every // 3, operations + 1, every):
        run = new_run(folder, monkeypatch)
        killed = engine(run, kill_at=point)
        assert killed in (-9, 0), f"point {point}"
        assert engine(run) == 0, f"point {point}"
        check(run, folder)


@pytest.mark.timeout(1500)
def test_killed_in_the_middle_of_a_write(folder, monkeypatch, operations, every):
    """Half a line, half a script: what was torn does not count, and the run ends right."""
    for point in range(1 + every // 3, operations // 2, 2 * every):
        run = new_run(folder, monkeypatch)
        engine(run, half=point)
        assert engine(run) == 0, f"write {point}"
        check(run, folder)


@pytest.mark.timeout(1500)
def test_killed_again_during_the_recovery(folder, monkeypatch, operations, every):
    """The engine that recovers is killed too, at points of its own, before a third one ends the run."""
    for point in range(operations // 4, operations, max(8, 3 * every)):
        for second in range(3, 40, max(4, 2 * every)):
            run = new_run(folder, monkeypatch)
            engine(run, kill_at=point)
            engine(run, kill_at=second)
            assert engine(run) == 0, f"points {point}, {second}"
            check(run, folder)


GROWING = f"""
workflow:
  params: {{gs: [1, 2]}}
  nodes:
    fetch: {{exec: '{LEDGER}; echo "# cloudmesh progress=50 xs=[1,2]"'}}
    each: {{exec: '{LEDGER}', foreach: {{x: "{{fetch.xs}}"}}, when: "x < 2", after: fetch}}
    again: {{exec: '{LEDGER}; echo "# cloudmesh progress=50 n=$N"', env: {{N: "{{iteration}}"}},
             repeat: {{until: "again.n >= 2", max: 4}}}}
    part: {{workflow: part.yaml, foreach: {{g: "{{params.gs}}"}}, after: fetch}}
    more: {{exec: '{LEDGER}; echo "nodes: {{new: {{exec: echo new 1 >> ledger}}}}" > "$CC_JOB_DIR/add.yaml"'}}
    last: {{exec: '{LEDGER}', after: [each, again, part, more]}}
"""
GROWN = ["again#1", "again#2", "each[x=1]", "fetch", "last", "more", "new"]
GROWN += [f"part[g={g}]/{job}" for g in (1, 2) for job in ("one", "two")]


@pytest.mark.timeout(1500)
def test_killed_anywhere_while_the_run_grows(folder, monkeypatch, every):
    """A loop, a repeat, a condition, sub-workflows and jobs that join: one resume ends the run, and all ran once."""
    monkeypatch.setattr(process, "start", lambda folder: None)
    write(folder, "w.yaml", GROWING)
    nodes = f"{{one: {{exec: '{LEDGER}'}}, two: {{exec: '{LEDGER}', after: one}}}}"
    write(folder, "part.yaml", f"workflow: {{params: {{g: 0}}, nodes: {nodes}}}\n")

    def visit(point):
        (folder / "ledger").unlink(missing_ok=True)
        run = Workflow(folder / "w.yaml").run(max_parallel=2, new=True)
        assert engine(run, kill_at=point) in (-9, 0), point
        count = (run.folder.parent / "count").read_text()
        assert engine(run) == 0 and run.refresh().ended == "done", (point, run.refresh().reason)
        ran = sorted(line.split()[0] for line in (folder / "ledger").read_text().splitlines())
        assert ran == GROWN and run.refresh().jobs["each[x=2]"].state == "skipped", (point, ran)
        return int(count)

    operations = visit(10**6)
    assert operations > 100
    for point in range(1 + every // 3, operations, every**2):
        visit(point)


def test_running_job_is_untouched_by_the_death_of_its_engine(folder, monkeypatch):
    """The engine dies while a job runs; the job goes on, and the next engine takes it over, once."""
    monkeypatch.setattr(process, "start", lambda folder: None)
    flow = Workflow(name="w")
    flow.add_job("slow", exec=f"{LEDGER}; sleep 1.5; echo '# cloudmesh progress=100 answer=42'")
    run = flow.run()
    command = [sys.executable, "-m", "cc_notebook.engine", str(run.folder)]
    first = subprocess.Popen(command)
    deadline = time.monotonic() + 20
    while not (folder / "ledger").exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    first.kill()
    first.wait()
    subprocess.run(command, check=True, timeout=30)
    assert run.state == "done" and run.outputs("slow") == {"answer": 42}
    assert len((folder / "ledger").read_text().splitlines()) == 1
    assert run.status("slow")["attempt"] == 1


def test_request_survives_the_death_of_the_engine(folder, monkeypatch):
    """A request that was accepted is carried out by the next engine, and only once."""
    monkeypatch.setattr(process, "start", lambda folder: None)
    monkeypatch.setattr(runs.Run, "_answer", lambda self, request: None)
    flow = Workflow(name="w")
    flow.add_job("a", exec=LEDGER)
    run = flow.run().pause().cancel()
    for point in (8, 10, 12):
        engine(run, kill_at=point)
    assert engine(run) == 0
    assert run.state == "cancelled" and not (folder / "ledger").exists()
    kinds = [json.loads(line)["type"] for line in (run.folder / "events.jsonl").read_text().splitlines()]
    assert kinds.count("pause") == 1 and list((run.folder / "requests").iterdir()) == []


@pytest.mark.timeout(1500)
def test_killed_client_leaves_old_or_new(folder, monkeypatch, every):
    """`jupyter cc run` killed at any of its operations: the next command works, and nothing ran twice in any run."""
    monkeypatch.undo()
    monkeypatch.chdir(folder)
    monkeypatch.setenv("CC_HOME", str(folder.parent / "store"))
    write(folder, "w.yaml", f"workflow:\n  nodes:\n    a: {{exec: '{LEDGER}'}}\n    b: {{exec: 'true', after: a}}\n")
    command = [sys.executable, "-m", "cc_notebook.cli", "run", "w.yaml", "--new", "--detach"]
    environment = {**os.environ, "PYTHONPATH": str(KILLER), "CC_KILL_PROGRAM": "cc_notebook.cli"}
    for point in range(1 + every // 3, 75, max(1, every // 2)):
        subprocess.run(
            command, env={**environment, "CC_KILL_AT": str(point)}, capture_output=True, timeout=60, check=False
        )
        assert subprocess.run([*command[:3], "resume"], capture_output=True, timeout=60, check=False).returncode == 0, (
            point
        )
    assert runs.all_runs() and all(run.state == "done" for run in runs.all_runs())
    ledger = (folder / "ledger").read_text().splitlines()
    assert len(ledger) == len(set(ledger)) == len(runs.all_runs())
