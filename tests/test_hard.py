"""Hard surroundings: a full disk, enormous logs, other shells, hostile names, two clients, fresh processes."""

import json
import os
import resource
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from conftest import ended, engines, fill, kill_engine, need, until, write

from cc_notebook import Workflow, runs
from cc_notebook.errors import UnavailableError
from cc_notebook.hosts.base import job_folder


def peak_kb(run):
    """The engine's highest resident memory so far, in kB."""
    text = Path(f"/proc/{engines(run)[-1]}/status").read_text()
    return int(text.split("VmHWM:")[1].split()[0])


def test_full_disk_is_told_and_waited_for(small_disk, folder, monkeypatch):
    """With the store's disk full nothing fails and nothing is lost; with space again the run goes on by itself."""
    monkeypatch.setenv("CC_HOME", str(small_disk / "store"))
    flow = Workflow(name="w")
    flow.add_job("first", exec="touch up; while [ ! -e go ]; do sleep 0.05; done")
    for number in range(5):
        flow.add_job(f"next{number}", exec=f"echo {number} >> ledger", after="first")
    run = flow.run()
    until((folder / "up").exists)
    filler = small_disk / "filler"
    fill(filler)
    (folder / "go").touch()
    time.sleep(1.5)
    assert "is full" in run.note()
    assert run.state == "running" and not (folder / "ledger").exists()
    filler.unlink()
    run.wait(30)
    assert run.state == "done"
    assert sorted((folder / "ledger").read_text().split()) == list("01234")


def test_full_disk_at_the_start_leaves_nothing(small_disk, folder, cc):
    """A run that cannot be written is refused with a clear message, and no half of it stays."""
    environment = {**os.environ, "CC_HOME": str(small_disk / "store")}
    (small_disk / "store" / "runs").mkdir(parents=True)
    (small_disk / "store" / "register").mkdir()
    write(folder, "w.yaml", "workflow:\n  nodes:\n    a: {exec: 'true'}\n")
    fill(small_disk / "filler")
    done = cc("run", "w.yaml", env=environment)
    assert done.returncode == 2 and "No space left" in done.stderr and "Traceback" not in done.stderr
    assert list((small_disk / "store" / "runs").iterdir()) == []


def test_enormous_logs_need_little_memory(folder, every):
    """A sparse log of 10 GB (2 in the short run), a line of 300 MB, NULs, bad UTF-8: all is found in bounded memory."""
    write(
        folder,
        "big.sh",
        f"echo '# cloudmesh progress=20 before=1'\ntruncate -s {10 if every == 1 else 2}G \"$CC_JOB_DIR/log\"\n"
        "echo; echo '# cloudmesh progress=60 after=2'\ntouch sparse; while [ ! -e go ]; do sleep 0.1; done\n",
    )
    write(
        folder,
        "line.sh",
        "head -c 300000000 /dev/zero | tr '\\0' x\nprintf '\\n\\000\\377\\376 bad\\n'\n"
        "echo '# cloudmesh progress=80 last=3'\n",
    )
    flow = Workflow(name="w")
    flow.add_job("sparse", "big.sh")
    flow.add_job("line", "line.sh")
    run = flow.run(max_parallel=2)
    until(lambda: run.status("sparse")["progress"] == 60 and run.status("line")["state"] == "done", 90)
    assert peak_kb(run) < 100_000
    (folder / "go").touch()
    run.wait(100)
    assert run.state == "done"
    assert run.outputs() == {"sparse": {"before": 1, "after": 2}, "line": {"last": 3}}


def test_a_million_progress_lines(folder):
    """A job that reports without end costs a bounded number of events."""
    write(
        folder, "chatty.sh", "yes '# cloudmesh progress=50 n=1' | head -n 1000000\necho '# cloudmesh progress=51 n=2'\n"
    )
    flow = Workflow(name="w")
    flow.add_job("chatty", "chatty.sh")
    run = flow.run().wait()
    assert run.state == "done" and run.outputs("chatty") == {"n": 2}
    assert len(list(run.events())) < 40


def test_two_hundred_jobs_at_once_use_bounded_descriptors(folder):
    """Many parallel jobs need one descriptor each in the engine, and none afterwards."""
    flow = Workflow(name="w")
    for number in range(200):
        flow.add_job(f"j{number}", exec="while [ ! -e go ]; do sleep 0.5; done")
    run = flow.run(max_parallel=200)
    until(lambda: run.refresh().counts().get("running") == 200, 60)
    assert len(os.listdir(f"/proc/{engines(run)[-1]}/fd")) < 230
    (folder / "go").touch()
    assert run.wait(60).state == "done"


@pytest.mark.parametrize("shell", ["dash", "bash", "ksh", "busybox"])
def test_wrapper_in_other_shells(shell, folder, monkeypatch, tmp_path):
    """The wrapper claims, limits, reads outputs and records the end in every POSIX shell."""
    found = shutil.which(shell)
    need(shell, found)
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "sh").write_text(f"#!{found} {'sh' if shell == 'busybox' else ''}\n")
    (programs / "sh").unlink()
    text = f'#!/bin/dash\nexec {found} {"sh" if shell == "busybox" else ""} "$@"\n'
    (programs / "sh").write_text(text)
    (programs / "sh").chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    flow = Workflow(name="w")
    flow.add_job("good", exec="echo '# cloudmesh progress=50 x=1'")
    flow.add_job("bad", exec="exit 3")
    flow.add_job("shot", exec="kill -9 $$")
    flow.add_job("slow", exec="sleep 100", timeout=1)
    jobs = flow.run(max_parallel=4).wait(60).status()["jobs"]
    told = {name: (job["ending"], job["code"]) for name, job in jobs.items()}
    assert told == {"good": ("exit", 0), "bad": ("exit", 3), "shot": ("signal", 9), "slow": ("timeout", None)}
    assert jobs["good"]["outputs"] == {"x": 1}


def test_hostile_names_paths_and_arguments_run_nothing(tmp_path, monkeypatch):
    """Blanks, quotes, dollars and semicolons in folder, script, argument, environment and param are only text."""
    folder = tmp_path / 'it\'s; $(touch pwned) `touch pwned` "x"'
    folder.mkdir()
    monkeypatch.chdir(folder)
    evil = "$(touch pwned); `touch pwned` ' \" \\ | & > pwned *"
    write(folder, "s p.sh", 'printf "%s\\n" "$1" "$EVIL"\n')
    flow = Workflow(name="a $(touch pwned) b")
    flow.add_job("job $(touch pwned) ; x", "s p.sh", args=[evil], env={"EVIL": "{params.p}"}, params={"p": evil})
    run = flow.run().wait(30)
    assert run.state == "done", run.log("job $(touch pwned) ; x")
    assert run.log("job $(touch pwned) ; x") == f"{evil}\n{evil}\n"
    assert not list(tmp_path.rglob("pwned"))


def test_equal_names_in_two_workflows_do_not_touch(folder):
    """The same workflow twice at the same time, and another with equal job names: three runs with their own records."""
    found = []
    for name in ("w", "w", "v"):
        flow = Workflow(name=name)
        flow.add_job("same", exec="echo $CC_RUN; sleep 0.3")
        found.append(flow.run(new=True, max_parallel=4))
    for run in found:
        assert run.wait(30).log("same") == f"{run.id}\n"
    assert len({run.id for run in found}) == 3


def test_two_clients_and_two_engines(folder):
    """A second client in another process cancels; a second engine leaves at once; readers see one history."""
    flow = Workflow(name="w")
    flow.add_job("a", exec="touch up; sleep 100")
    run = flow.run()
    until((folder / "up").exists)
    second = subprocess.run([sys.executable, "-m", "cc_notebook.engine", run.folder], timeout=20, check=False)
    assert second.returncode == 0 and run.engine_alive()
    for _ in range(2):
        subprocess.run([sys.executable, "-m", "cc_notebook.cli", "cancel", run.id], timeout=30, check=False)
    run.wait(30)
    kinds = [event.type for event in run.events()]
    assert run.state == "cancelled" and kinds.count("engine") == 1 and kinds.count("cancel_run") == 1


def test_restarted_computer_is_told(folder):
    """A claim of an earlier boot makes the attempt failed with that reason; a retry is a new attempt."""
    flow = Workflow(name="w")
    flow.add_job("a", exec="touch up; sleep 100")
    flow.add_job("b", exec="true", after="a")
    run = flow.run()
    until((folder / "up").exists)
    until(lambda: run.status("a")["state"] == "running")
    kill_engine(run)
    claim = run.folder / job_folder("a") / "1" / "claim"
    pid, boot, _ = claim.read_text().split()
    os.kill(-int(pid), 9)
    claim.write_text(f"{pid} {'0' * 8}{boot[8:]} elsewhere\n")
    run.resume().wait(30)
    assert run.state == "failed" and run.status("a")["reason"] == "this computer was restarted"


def test_files_are_for_their_owner_only(folder, store):
    """Every folder of the store is 0700, every file 0600."""
    os.umask(0o022)
    flow = Workflow(name="w")
    flow.add_job("a", exec="true")
    run = flow.run().wait()
    found = [path for path in store.rglob("*") if not path.is_symlink()]
    open_ones = [path for path in found if path.stat().st_mode & 0o077]
    assert open_ones == [], open_ones
    assert run.state == "done"


def test_no_control_codes_reach_the_terminal(folder, cc):
    """Escape codes in outputs, reasons and logs are shown as marks; piped logs stay as they are."""
    write(
        folder, "w.yaml", 'workflow:\n  nodes:\n    a: {exec: "printf \'\\\\033[31mred\'; exit 1", label: "x\\e[2Jy"}\n'
    )
    cc("run", "w.yaml")
    shown = cc("show", "last").stdout + cc("explain", "last", "a").stdout
    assert "\033" not in shown
    assert cc("logs", "last", "a").stdout == "\033[31mred"


def test_finished_run_resumes_fast_and_quietly(folder, cc):
    """Resume of a finished run does nothing, starts no engine and exits with 0."""
    write(folder, "w.yaml", "workflow:\n  nodes:\n    a: {exec: 'true'}\n")
    run = cc("run", "w.yaml", "--json")
    run_id = json.loads(run.stdout)["run"]
    before = (runs.home() / "runs" / run_id / "events.jsonl").read_bytes()
    assert cc("resume").returncode == 0 and cc("resume", run_id).returncode == 0
    assert (runs.home() / "runs" / run_id / "events.jsonl").read_bytes() == before


def test_memory_limit_is_enforced(folder):
    """`resources: {memory: …}` stops a job that wants more."""
    write(folder, "hog.py", "x = bytearray(2_000_000_000)\n")
    flow = Workflow(name="w")
    flow.add_job("hog", "hog.py", resources={"memory": "500M"})
    run = flow.run().wait()
    assert run.state == "failed" and "MemoryError" in run.log("hog")
    assert resource.getrlimit(resource.RLIMIT_AS)[0] == resource.RLIM_INFINITY


def test_a_damaged_run_does_not_stand_in_the_way(folder, cc, store):
    """With one run's files damaged the others are listed, resumed and started; the damaged one is told clearly."""
    write(folder, "w.yaml", "workflow:\n  nodes:\n    a: {exec: 'true'}\n")
    first, second = (json.loads(cc("run", "w.yaml", "--json").stdout)["run"] for _ in range(2))
    third = json.loads(cc("run", "w.yaml", "--json").stdout)["run"]
    (store / "runs" / first / "run.json").write_text("{")
    (store / "runs" / first / "events.jsonl").write_text('{"type":"engine","seq":1}\n')
    (store / "runs" / second / "events.jsonl").write_text("no json\n")
    listed = cc("runs")
    assert listed.returncode == 0 and third in listed.stdout
    assert "cannot be read" in listed.stderr and "damaged" in listed.stderr
    assert cc("resume").returncode == 0
    assert cc("run", "w.yaml").returncode == 0
    for run in (first, second):
        shown = cc("show", run)
        assert shown.returncode == 2 and "Traceback" not in shown.stderr


def test_the_runs_of_a_workflow_are_its_own(folder, cc, store):
    """Those of its file, and of the time before that; no other folder's, no other file's, and no damaged one."""
    body = "workflow:\n  nodes:\n    a: {exec: 'true'}\n"
    unsaved = Workflow(name="w")
    unsaved.add_job("a", exec="true")
    first = unsaved.run().wait()
    write(folder, "w.yaml", body)
    second, damaged = (Workflow("w.yaml").run(new=True).wait() for _ in range(2))
    (folder / "other").mkdir()
    other = Workflow(write(folder / "other", "w.yaml", body)).run().wait()
    (damaged.folder / "run.json").write_text("{")
    assert [run.id for run in Workflow("w.yaml").runs()] == [second.id, first.id]
    assert [run.id for run in Workflow(name="w").runs()] == [first.id]
    assert "done" in Workflow("w.yaml").table and Workflow("w.yaml").job("a").get_status() == "done"
    (second.folder / "events.jsonl").unlink()
    assert Workflow("w.yaml").newest().id == second.id and Workflow("w.yaml").job("a").get_status() == "ready"
    assert Workflow(name="w").remove_workflow() == 1 and not first.folder.exists()
    assert Workflow("other/w.yaml").remove_workflow() == 1 and not other.folder.exists()
    assert second.folder.exists() and damaged.folder.exists()


def test_a_damaged_journal_is_told_each_time(folder, cc, store):
    """No later look makes a state of what is left of it; a journal that contradicts its run is damaged too."""
    write(folder, "w.yaml", "workflow:\n  nodes:\n    a: {exec: 'true'}\n")
    for odd in (b"garbage", b'{"type":"start","seq":3,"job":"other"}'):
        run = runs.find(json.loads(cc("run", "w.yaml", "--json").stdout)["run"])
        journal = run.folder / "events.jsonl"
        lines = journal.read_bytes().split(b"\n")
        journal.write_bytes(b"\n".join([*lines[:2], odd, *lines[3:]]))
        for _ in range(2):
            with pytest.raises(UnavailableError, match=r"events.jsonl is damaged.*put back a copy"):
                run.refresh()
        resumed = cc("resume", run.id)
        assert resumed.returncode == 2 and "is damaged" in resumed.stderr
    journal.write_bytes(b"garbage\n")
    assert "is damaged" in cc("clean", "--yes").stdout and run.folder.exists() and cc("runs").returncode == 0


def test_what_is_missing_beside_a_run_is_no_reason_to_stop(folder, cc, store):
    """A run without its engine's log, and a damaged entry of the register: the others are told as ever."""
    write(folder, "w.yaml", "workflow:\n  nodes:\n    a: {exec: sleep 60}\n")
    run = runs.find(cc("run", "w.yaml", "--detach").stdout.strip())
    kill_engine(run)
    (run.folder / "engine.log").unlink()
    (store / "register" / "deadbeef.json").write_text('{"na')
    assert run.id in cc("runs").stdout and "no engine works on it" in cc("show", run.id).stdout
    assert "w.yaml" in cc("workflow", "list").stdout
    assert cc("cancel", run.id).returncode == 0 and run.wait(30).state == "cancelled"


@pytest.mark.parametrize("what", ["logs", "events"])
def test_following_ends_with_the_engine(what, folder, cc):
    """Nothing more comes where no engine is left: that is said, with exit code 4."""
    write(folder, "w.yaml", "workflow:\n  nodes:\n    a: {exec: 'echo begun; sleep 60'}\n")
    run = runs.find(cc("run", "w.yaml", "--detach").stdout.strip())
    until(lambda: "begun" in run.log("a"))
    kill_engine(run)
    told = cc(what, run.id, *["a"][: what == "logs"], "--follow")
    assert told.returncode == 4 and "no engine works on it" in told.stderr, told
    run.cancel().wait(30)


START = "import sys; from cc_notebook import Workflow; {}input(); print(w.{})"


def together(count, before, act):
    """What so many processes print that do something with `w` at the same moment."""
    words = [sys.executable, "-c", START.format(before, act)]
    pipe = subprocess.PIPE
    all_ = [subprocess.Popen([*words, str(n)], stdin=pipe, stdout=pipe, stderr=pipe, text=True) for n in range(count)]
    for one in all_:
        one.stdin.write("\n")
        one.stdin.flush()
    return [one.communicate(timeout=60) for one in all_]


def test_started_at_the_same_moment_it_runs_once(folder):
    """Threads and processes that start a workflow together get one run."""
    write(folder, "w.yaml", "workflow:\n  nodes:\n    a: {exec: 'while [ ! -e go ]; do sleep 0.1; done'}\n")
    flow = Workflow("w.yaml")
    with ThreadPoolExecutor(4) as pool:
        begun = {run.id for run in pool.map(lambda _: flow.run(), range(4))}
    told = together(3, "w = Workflow('w.yaml'); ", "run().id")
    (folder / "go").touch()
    assert begun | {out.strip() for out, _ in told} == {run.id for run in runs.all_runs()} and len(begun) == 1, told


def test_saved_at_the_same_moment_nothing_is_lost(folder):
    """Of processes that change a workflow together, those that are told it went well are in the file."""
    more = "".join(f"    j{number}: {{exec: 'true'}}\n" for number in range(300))  # a save takes its time
    write(folder, "w.yaml", f"workflow:\n  nodes:\n{more}")
    begin = "w = Workflow('w.yaml'); w.add_job('k' + sys.argv[1], exec='true'); "
    told = together(5, begin, "save().name")
    saved = {f"k{number}" for number, (out, _) in enumerate(told) if out.strip() == "w.yaml"}
    assert {name for name in Workflow("w.yaml").nodes if name[0] == "k"} == saved and saved, told
    assert all("was changed on disk" in err for out, err in told if not out), told


def test_job_that_removes_its_own_folder_is_ended_before_it_is_lost(folder):
    """Nothing of an attempt goes on unseen: a try that follows never runs beside it."""
    flow = Workflow(name="w")
    flow.add_job("a", exec='echo $$ >> pids; rm -rf "$CC_JOB_DIR"; sleep 60', retry=1)
    run = flow.run().wait(60)
    assert run.state == "failed" and run.status("a")["attempt"] == 2
    assert "folder is gone" in run.status("a")["reason"]
    for pid in (folder / "pids").read_text().split():
        assert ended(pid)
