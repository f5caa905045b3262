"""Resources are slots: each gpu has one job at a time, over all runs of a user, whatever is killed."""

import os
import signal
from collections import Counter
from contextlib import nullcontext

import pytest
from conftest import until
from sshd import sshd

from cc_notebook import Workflow
from cc_notebook.errors import InputError

# a job that shows a gpu which another has too
USE = """
gpu="$GPUS/$CUDA_VISIBLE_DEVICES"
mkdir "$gpu" || echo twice >> "$GPUS/ledger"
while [ ! -e "$GPUS/go" ]; do sleep 0.05; done
sleep 0.05
rmdir "$gpu"
echo "$CUDA_VISIBLE_DEVICES" >> "$GPUS/ledger"
"""


def flow(name, place, number=10, **attributes):
    """Jobs of which each wants a gpu of a machine with two, and one that wants none and comes last."""
    w = Workflow(name=name)
    w._body["hosts"] = {"local": {"gpus": 2}}
    for job in range(number):
        w.add_job(f"j{job}", exec=USE, resources={"gpus": 1}, env={"GPUS": str(place)}, **attributes)
    w.add_job("plain", exec=f"echo plain >> '{place}/others'", **attributes)
    return w


def running(place):
    """The gpus in use."""
    return sorted(path.name for path in place.iterdir() if path.name.isdecimal())


def check(place, number):
    """Every job ran once, both gpus were used, and never two jobs had the same one."""
    seen = Counter((place / "ledger").read_text().split())
    assert set(seen) == {"0", "1"} and seen.total() == number


@pytest.fixture
def place(tmp_path):
    """Where jobs show which gpu they have."""
    path = tmp_path / "gpus"
    path.mkdir()
    return path


@pytest.mark.parametrize("kind", ["local", "ssh"])
def test_two_runs_share_two_gpus(folder, tmp_path, place, kind):
    """Twenty jobs of two runs use both gpus, never one twice; a job that wants none passes by those that wait."""
    server = sshd(tmp_path / "sshd") if kind == "ssh" else nullcontext()
    with server as config:
        where = {"local": {"gpus": 2}, "box": {"ssh_config": str(config), "gpus": 2, "workdir": str(tmp_path / "far")}}
        share(place, where, {"kind": "ssh", "host": "box"} if config else {})


def share(place, where, attributes):
    """Run it twice at the same time."""
    flows = [flow(name, place, **attributes) for name in ("one", "two")]
    for w in flows:
        w._body["hosts"] = where
    runs = [w.run(max_parallel=8) for w in flows]
    until(lambda: running(place) == ["0", "1"] and (place / "others").exists())
    until(lambda: (place / "others").read_text() == "plain\nplain\n")
    (place / "go").touch()
    assert [run.wait().state for run in runs] == ["done", "done"]
    check(place, 20)


def test_a_gpu_stays_with_its_job_when_the_engine_is_killed(folder, place):
    """SIGKILL of the engine and of a wrapper while their jobs have gpus: the next engine gives them to nobody else."""
    run = flow("killed", place).run(max_parallel=8)
    until(lambda: running(place) == ["0", "1"])
    jobs = until(lambda: [s for s in run.refresh().jobs.values() if s.state == "running" and s.native_id][1:])
    engine = [event.native_id for event in run.events() if event.type == "engine"][-1]
    os.kill(int(engine), signal.SIGKILL)
    os.kill(int(jobs[0].native_id.partition("@")[0]), signal.SIGKILL)
    until(lambda: not run.engine_alive())
    run.resume()
    other = flow("other", place, 2).run(max_parallel=8)
    until(lambda: other.refresh().jobs["plain"].state == "done")
    (place / "go").touch()
    assert other.wait().state == "done"
    assert run.wait().refresh().counts() == {"done": 10, "failed": 1}  # the one without its wrapper is lost
    check(place, 12)


def test_what_can_never_fit_is_told_at_the_start(folder, place, monkeypatch):
    """More gpus, processors or memory than there are is an error at once, with the numbers and what to do."""
    w = flow("big", place, 1)
    w.add_job("three", exec="true", resources={"gpus": 3})
    with pytest.raises(InputError, match=r"'three' can never start: it wants 3 gpus, and the machine has 2: ask for"):
        w.run()
    w = Workflow(name="many")
    w.add_job("cores", exec="true", resources={"cpus": 100_000})
    with pytest.raises(InputError, match="it wants 100000 cpus"):
        w.run()


def test_processors_and_memory_are_slots(folder, place):
    """Two jobs that together want more processors or memory than there are run one after the other."""
    w = Workflow(name="cpus")
    w._body["hosts"] = {"local": {"cpus": 3, "memory": "3G"}}
    text = f"mkdir {place}/busy && sleep 0.2 && rmdir {place}/busy"
    for job in range(2):
        w.add_job(f"c{job}", exec=text, resources={"cpus": 2})
    for job in range(2):
        w.add_job(f"m{job}", exec=text.replace("busy", "full"), resources={"memory": "2G"})
    assert w.run(max_parallel=3).wait().state == "done"


def test_a_host_without_gpus_says_so(folder, tmp_path):
    """What a host has is asked there: a job that wants more fails with the numbers, others of the host run."""
    with sshd(tmp_path / "sshd") as config:
        w = Workflow(name="none")
        w._body["hosts"] = {"box": {"ssh_config": str(config), "workdir": str(tmp_path / "far"), "memory": "4G"}}
        for name, resources in (("gpu", {"gpus": 1}), ("plain", {}), ("memory", {"memory": "3G"})):
            w.add_job(name, exec="true", kind="ssh", host="box", resources=resources)
        run = w.run().wait()
        states = {name: status.state for name, status in run.refresh().jobs.items()}
        assert states == {"gpu": "failed", "plain": "done", "memory": "done"}
        assert run.refresh().jobs["gpu"].reason.startswith("it wants 1 gpus, and the machine has 0: ask for less")
        w.add_job("more", exec="true", kind="ssh", host="box", resources={"memory": "5G"})
        with pytest.raises(InputError, match="'more' can never start: it wants 5368709120 bytes of memory"):
            w.run()
