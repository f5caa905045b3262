"""Requests at awkward moments: while a retry waits, while paused, on what is blocked, and bad surroundings of a job."""

import os
import time

import pytest
from conftest import until, write

from cc_notebook import Workflow
from cc_notebook.errors import InputError


def flow(**jobs):
    """A workflow of commands, or of whole attribute mappings."""
    made = Workflow(name="w")
    for name, job in jobs.items():
        made.add_job(name, **(job if isinstance(job, dict) else {"exec": job}))
    return made


def states(run):
    """The state of each job."""
    return {name: job["state"] for name, job in run.status()["jobs"].items()}


def test_a_paused_run_does_not_end_with_jobs_to_skip(folder):
    """What is to be skipped waits for the end of the pause too, and then its children run."""
    made = flow(
        a="while [ ! -e go ]; do sleep 0.05; done",
        alarm={"exec": "true", "trigger": "one_failed", "after": "a"},
        z={"exec": "touch z", "trigger": "none_failed", "after": "alarm"},
    )
    run = made.run().pause()
    (folder / "go").touch()
    until(lambda: states(run)["a"] == "done")
    time.sleep(0.3)
    assert run.state == "paused"
    run.resume().wait(30)
    assert states(run) == {"a": "done", "alarm": "skipped", "z": "done"} and (folder / "z").exists()


def test_cancel_of_a_waiting_job(folder):
    """A job that waits for its parent is cancelled; the end of the parent does not start it."""
    made = flow(a="while [ ! -e go ]; do sleep 0.05; done", b={"exec": "touch b", "after": "a"})
    made.add_job("c", exec="true", after="b", trigger="all_done")
    run = made.run().cancel("b")
    (folder / "go").touch()
    run.wait(30)
    assert states(run) == {"a": "done", "b": "cancelled", "c": "done"} and not (folder / "b").exists()


def test_cancel_of_a_blocked_job_counts_once(folder):
    """A blocked parent that is cancelled too is one ended parent, not two."""
    made = flow(a="false", d="while [ ! -e go ]; do sleep 0.05; done", b={"exec": "true", "after": "a"})
    made.add_job("c", exec="[ -e go ]", after=["b", "d"], trigger="all_done")
    run = made.run(max_parallel=2)
    until(lambda: states(run)["a"] == "failed")
    run.cancel("b")
    time.sleep(0.3)
    assert states(run)["c"] == "ready"
    (folder / "go").touch()
    assert states(run.wait(30))["c"] == "done"


@pytest.mark.parametrize("steer", ["retry a", "mark", "retry itself", "retry another"])
def test_steering_while_a_retry_waits(folder, steer):
    """A reset or a mark during the delay of a retry neither starts anything twice nor too early."""
    write(folder, "b.sh", "echo b >> ledger; [ -e ok ]\n")
    made = flow(a="echo a >> ledger", b={"script": "b.sh", "retry": {"max": 1, "delay": 1}, "after": "a"}, x="exit 1")
    run = made.run(max_parallel=2)
    until(lambda: run.status("b")["ending"] == "exit" and states(run)["b"] == "ready" and states(run)["x"] == "failed")
    (folder / "ok").touch()
    act = {
        "retry a": lambda: run.retry("a"),
        "mark": lambda: run.mark("b", "done"),
        "retry itself": lambda: run.retry("b"),
    }
    act.get(steer, lambda: run.retry("x"))()
    run.wait(30)
    assert run.state == "failed" and states(run)["b"] == "done" and "engine" not in run.note()
    ledger = (folder / "ledger").read_text().split()
    assert ledger == {"retry a": ["a", "b", "a", "b"], "mark": ["a", "b"]}.get(steer, ["a", "b", "b"])


def test_marked_ready_after_a_cancel_runs(folder):
    """A job of a cancelled run that is set to ready by hand runs; a run that ended while paused can be retried."""
    run = flow(a="sleep 20").run().cancel().wait(30)
    write(folder, "ok", "")
    assert run.mark("a", "ready").state in ("running", "done")
    until(lambda: states(run)["a"] == "running")
    run.cancel().wait(30)
    other = flow(a="while [ ! -e go ]; do sleep 0.05; done; [ -e really ]").run()
    until(lambda: states(other)["a"] == "running")  # else it would wait for the pause's end
    other.pause()
    (folder / "go").touch()
    until(lambda: other.state == "failed")
    (folder / "really").touch()
    assert other.retry().wait(30).state == "done"


def test_a_missing_input_fails_its_job_only(folder):
    """An input that is no file fails its job with the name; the others run, also with one place."""
    made = flow(mk="true", h={"exec": "true", "after": "mk"})
    made.add_job("g", exec="cat data.csv", isolated=True, files={"in": ["data.csv"]}, after="mk")
    run = made.run(max_parallel=1).wait(30)
    assert states(run) == {"mk": "done", "h": "done", "g": "failed"} and "data.csv" in run.status("g")["reason"]


def test_a_fifo_in_the_place_of_a_log_stops_nothing(folder):
    """A job that replaces its log by a FIFO hurts only itself."""
    made = flow(a='rm "$CC_JOB_DIR/log"; mkfifo "$CC_JOB_DIR/log"; sleep 1', b={"exec": "true", "after": "a"})
    assert flow and made.run().wait(30).state == "done"


def test_jobs_have_the_users_umask(folder):
    """Files that a job makes have the permissions that they would have without us."""
    run = flow(a="umask > mask").run().wait(30)
    mine = os.umask(0o022)
    os.umask(mine)
    assert run.state == "done" and int((folder / "mask").read_text(), 8) == mine


def test_a_scheduler_that_fails_cancels_the_run_with_its_reason(folder):
    """The engine outlives the user's own scheduler and tells what it raised."""
    write(folder, "mine.py", "def broken(runnable, running, free):\n    return 1 / 0\n")
    made = flow(a="true")
    path = made.save()
    path.write_text(path.read_text().replace("workflow:\n", "workflow:\n  scheduler: mine:broken\n", 1))
    run = Workflow(path).run().wait(30)
    assert run.state == "cancelled"
    assert any("ZeroDivisionError" in event.reason for event in run.events())
    path.write_text(path.read_text().replace("mine:broken", "mine:absent"))
    with pytest.raises(InputError, match="cannot be loaded"):
        Workflow(path).run(new=True)


def test_a_path_without_programs_hurts_the_payload_only(folder):
    """`env: {PATH: …}` reaches the payload; the wrapper still claims and records, and the log says what was wrong."""
    made = flow(
        a={"exec": "no-such-program", "env": {"PATH": "/nowhere"}}, b={"exec": 'echo "$PWD_OF"', "env": {"PWD_OF": "x"}}
    )
    run = made.run().wait(30)
    assert run.status("a")["ending"] == "exit" and run.status("a")["code"] == 127 and run.log("a")
    assert run.log("b") == "x\n"
