"""A workflow from its file to the end, through the command line and the Python API."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import kill_engine, until, write

from cc_notebook import Workflow, runs
from cc_notebook.errors import InputError

DIAMOND = """\
workflow:
  params: {size: 3}
  nodes:
    fetch: {exec: 'echo "# cloudmesh status=running progress=50 rows=7"; echo fetched > data.txt'}
    left: {script: left.sh, args: ["{fetch.rows}", "two words"]}
    right: {script: right.py, env: {SIZE: "{params.size}"}}
    join: {exec: 'cat left.txt right.txt data.txt'}
  dependencies:
    - start, fetch, left, join, end
    - fetch, right, join
"""


@pytest.fixture
def diamond(folder):
    """The diamond workflow with its two scripts."""
    write(folder, "left.sh", 'echo "$1/$2" > left.txt\n')
    write(
        folder,
        "right.py",
        "import os\nfrom cc_notebook import progress\nprogress(30, half='a b')\n"
        "open('right.txt', 'w').write(os.environ['SIZE'] + os.environ['CC_JOB'])\nprogress(100)\n",
    )
    return write(folder, "w.yaml", DIAMOND)


def test_command_line_runs_a_diamond(diamond, folder, cc):
    """Shell, Python and commands run in order, with params, outputs and environment, and the exit code is 0."""
    done = cc("run", "w.yaml", "--param", "size=4")
    assert done.returncode == 0, done.stdout + done.stderr
    assert (folder / "left.txt").read_text() == "7/two words\n"
    assert (folder / "right.txt").read_text() == "4right"
    status = json.loads(cc("show", "last", "--json").stdout)
    assert status["state"] == "done" and status["progress"] == 100
    assert {name: job["state"] for name, job in status["jobs"].items()} == dict.fromkeys(
        ["start", "end", "fetch", "left", "right", "join"], "done"
    )
    assert status["jobs"]["fetch"]["outputs"] == {"rows": 7}
    assert status["jobs"]["right"]["outputs"] == {"half": "a b"}
    assert "7/two words" in cc("logs", "last", "join").stdout
    assert (folder / "w-runs" / status["run"] / "join.log").read_text().startswith("7/two words")


def test_failure_blocks_only_what_depends_on_it(folder, cc):
    """A failed job blocks its descendants only; the run ends failed, says why, and the exit code is 1."""
    write(
        folder,
        "w.yaml",
        """\
workflow:
  nodes:
    bad: {exec: exit 3}
    after-bad: {exec: touch never}
    good: {exec: 'true'}
    after-good: {exec: touch there}
    alarm: {exec: touch alarm, trigger: one_failed}
    calm: {exec: touch calm, trigger: one_failed}
    tidy: {exec: touch tidy, trigger: all_done}
  dependencies: ["bad, after-bad, tidy", "good, after-good", "bad, alarm", "good, calm"]
""",
    )
    done = cc("run", "w.yaml")
    assert done.returncode == 1
    assert " failed: bad (exit code 3), 1 not run because of it\n" in done.stdout
    assert {path.name for path in folder.iterdir()} >= {"there", "alarm", "tidy"}
    assert not (folder / "never").exists() and not (folder / "calm").exists()
    jobs = json.loads(cc("show", "last", "--json").stdout)["jobs"]
    assert jobs["bad"]["code"] == 3 and jobs["bad"]["reason"] == "exit code 3"
    assert jobs["after-bad"]["waiting"] == "blocked" and jobs["after-bad"]["reason"] == "blocked by 'bad'"
    assert jobs["calm"]["state"] == "skipped"
    assert "exit code 3" in cc("explain", "last", "bad").stdout


def test_one_failed_fires_only_when_no_retry_is_left(folder, cc):
    """What waits for a failure waits while the parent is tried again; it runs after the last try, or is skipped."""
    write(
        folder,
        "w.yaml",
        """
workflow:
  nodes:
    flaky: {exec: 'echo try >> tries; test $(wc -l < tries) -ge 3', retry: {max: 2, delay: 0.2}}
    calm: {exec: touch calm, trigger: one_failed, after: flaky}
    bad: {exec: 'echo bad >> ledger; exit 1', retry: {max: 2, delay: 0.2}}
    alarm: {exec: echo alarm >> ledger, trigger: one_failed, after: bad}
""",
    )
    assert cc("run", "w.yaml", "--max-parallel", 4).returncode == 1
    assert (folder / "ledger").read_text().split() == ["bad", "bad", "bad", "alarm"]
    jobs = json.loads(cc("show", "last", "--json").stdout)["jobs"]
    assert (jobs["flaky"]["attempt"], jobs["flaky"]["state"], jobs["calm"]["state"]) == (3, "done", "skipped")
    assert not (folder / "calm").exists()


def test_retry_takes_the_script_as_it_is_now(folder, cc):
    """`retry` runs the failed job again with the mended script, then its descendants, and tells that it changed."""
    write(folder, "a.sh", "exit 1\n")
    write(
        folder,
        "w.yaml",
        "workflow:\n  nodes:\n    a: {script: a.sh}\n    b: {exec: 'true'}\n  dependencies: ['a, b']\n",
    )
    assert cc("run", "w.yaml").returncode == 1
    write(folder, "a.sh", "exit 0\n")
    assert cc("retry", "last").returncode == 0
    status = json.loads(cc("show", "last", "--json").stdout)
    assert status["state"] == "done" and status["jobs"]["a"]["attempt"] == 2 and status["jobs"]["a"]["changed"]
    assert "changed since attempt 1" in cc("show", "last").stdout
    assert cc("retry", "last").returncode == 2


def test_retries_make_new_attempts(folder):
    """`retry: {max: 2}` tries three times in folders of their own; a listed ending is needed if there is a list."""
    write(folder, "a.sh", 'echo $CC_ATTEMPT >> tries; [ "$(wc -l < tries)" = 3 ]\n')
    flow = Workflow(name="w")
    flow.add_job("a", "a.sh", retry={"max": 2})
    flow.add_job("b", exec="exit 5", retry={"max": 3, "on": ["timeout"]})
    run = flow.run().wait()
    jobs = run.status()["jobs"]
    assert jobs["a"]["state"] == "done" and jobs["a"]["attempt"] == 3
    assert len(set((folder / "tries").read_text().split())) == 3
    assert jobs["b"]["state"] == "failed" and jobs["b"]["attempt"] == 1
    assert [(run.folder / run.log_path("a", n)).exists() for n in (1, 2, 3)] == [True] * 3


def test_timeout_and_signal_are_told(folder):
    """A time limit ends the whole tree of a job; a signal and a missing program are told as such."""
    flow = Workflow(name="w")
    flow.add_job("slow", exec="sleep 100 & sleep 100", timeout=1)
    flow.add_job("shot", exec="kill -9 $$")
    flow.add_job("typo", exec="no-such-program")
    run = flow.run(max_parallel=3).wait()
    jobs = run.status()["jobs"]
    assert jobs["slow"]["ending"] == "timeout" and "time limit of 1 s" in jobs["slow"]["reason"]
    assert (jobs["shot"]["ending"], jobs["shot"]["code"]) == ("signal", 9)
    assert (jobs["typo"]["ending"], jobs["typo"]["code"]) == ("exit", 127)
    assert not processes_with(jobs["slow"], run)


def processes_with(job, run):
    """The processes that carry the token of any attempt of this run."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            environment = Path(f"/proc/{pid}/environ").read_bytes()
        except OSError:
            continue
        if f"CC_ATTEMPT=cc-{run.id}".encode() in environment:
            found.append(int(pid))
    return found


def test_cancel_ends_the_whole_tree_and_nothing_else(folder):
    """Depth 3, a child in a session of its own that ignores TERM and cleaned nothing: all gone; a bystander lives."""
    bystander = subprocess.Popen(["sleep", "60"])
    write(
        folder,
        "deep.sh",
        "sh -c 'sh -c \"sleep 300; true\"; true' &\n"
        "setsid sh -c 'trap \"\" TERM; echo up > up; while :; do sleep 1; done' &\nwait\n",
    )
    flow = Workflow(name="w")
    flow.add_job("deep", "deep.sh")
    flow.add_job("later", exec="touch later", after="deep")
    run = flow.run()
    until((folder / "up").exists)
    assert len(processes_with(None, run)) >= 4
    run.cancel().wait()
    status = run.status()
    assert status["state"] == "cancelled" and status["jobs"]["later"]["state"] == "cancelled"
    assert status["jobs"]["deep"]["reason"] == "cancelled by the user"
    assert processes_with(None, run) == []
    assert bystander.poll() is None
    bystander.kill()
    bystander.wait()


def test_cancel_one_job_lets_the_others_finish(folder):
    """Cancelling one job blocks its descendants; what does not depend on it ends as usual."""
    flow = Workflow(name="w")
    flow.add_job("long", exec="touch up; sleep 300")
    flow.add_job("child", exec="touch child", after="long")
    flow.add_job("other", exec="true")
    run = flow.run(max_parallel=2)
    until((folder / "up").exists)
    run.cancel("long").wait()
    jobs = run.status()["jobs"]
    assert (jobs["long"]["state"], jobs["other"]["state"]) == ("cancelled", "done")
    assert jobs["child"]["waiting"] == "blocked"
    assert run.state == "cancelled" and run.cancel() is run
    with pytest.raises(InputError, match="ended already"):
        run.pause()


def test_pause_starts_nothing_new_and_resume_goes_on(folder):
    """While paused the running job ends and the next does not start; after resume the run ends."""
    flow = Workflow(name="w")
    flow.add_job("a", exec="touch up; while [ ! -e go ]; do sleep 0.05; done")
    flow.add_job("b", exec="touch b", after="a")
    run = flow.run()
    until((folder / "up").exists)
    run.pause()
    (folder / "go").touch()
    until(lambda: run.status("a")["state"] == "done")
    assert run.state == "paused" and not (folder / "b").exists()
    run.resume().wait(20)
    assert run.state == "done" and (folder / "b").exists()


def test_second_start_attaches(folder, cc):
    """Starting the same text and params again attaches to the unfinished run; --new and other params do not."""
    write(
        folder,
        "w.yaml",
        "workflow:\n  params: {n: 1}\n  nodes:\n    a: {exec: 'while [ ! -e go ]; do sleep 0.05; done'}\n",
    )
    first = cc("run", "w.yaml", "--detach").stdout.strip()
    again = cc("run", "w.yaml", "--detach")
    assert again.stdout.strip() == first and "attached" in again.stderr
    other = cc("run", "w.yaml", "--detach", "--param", "n=2").stdout.strip()
    new = cc("run", "w.yaml", "--detach", "--new").stdout.strip()
    assert len({first, other, new}) == 3
    (folder / "go").touch()
    assert cc("resume").returncode == 0
    assert [json.loads(cc("show", run, "--json").stdout)["state"] for run in (first, other, new)] == ["done"] * 3
    assert cc("resume").returncode == 0


def test_limit_counts_over_all_runs(folder):
    """Two runs at the same time never run more jobs together than the limit."""
    busy = "n=$(ls -d busy.* 2>/dev/null | wc -l); echo $n >> seen; mkdir busy.$$; sleep 0.1; rmdir busy.$$"
    found = []
    for name in ("one", "two"):
        flow = Workflow(name=name)
        for number in range(6):
            flow.add_job(f"j{number}", exec=busy)
        found.append(flow.run(max_parallel=2))
    for run in found:
        run.wait(60)
    assert [run.state for run in found] == ["done", "done"]
    assert max(map(int, (folder / "seen").read_text().split())) <= 1


def test_sequential_topological_and_own_scheduler(folder):
    """`run_topo` runs one at a time in the given order; `scheduler: module:function` is called."""
    write(
        folder,
        "mine.py",
        "def last_first(runnable, running, free):\n    return list(reversed(runnable))[:min(free, 1 - len(running))]\n",
    )
    flow = Workflow(name="w")
    for name in "abc":
        flow.add_job(name, exec=f"echo {name} >> order")
    assert flow.run_topo(order=["c", "a", "b"], show=False).state == "done"
    assert (folder / "order").read_text().split() == ["c", "a", "b"]
    with pytest.raises(InputError, match="order"):
        flow.run_topo(order=["c", "a"])
    path = flow.save()
    path.write_text(path.read_text().replace("workflow:\n", "workflow:\n  scheduler: mine:last_first\n", 1))
    assert Workflow(path).run().wait().state == "done"
    assert (folder / "order").read_text().split()[3:] == ["c", "b", "a"]


def test_from_and_only(folder):
    """`from_` runs a job and its descendants, `only` the named jobs, and unknown names are refused."""
    flow = Workflow(name="w")
    for name in "abcd":
        flow.add_job(name, exec=f"echo {name} >> ran")
    flow.add_dependencies("a, b, c")
    assert flow.run(from_="b").wait().state == "done"
    assert flow.run(only="d").wait().state == "done"
    assert (folder / "ran").read_text().split() == ["b", "c", "d"]
    with pytest.raises(InputError, match="did you mean"):
        Workflow(flow.save()).run(from_="bb")


def test_an_engine_that_is_killed_has_its_own_exit_code(folder, cc):
    """The command that waits says once what to do, and ends with 4; `resume` goes on, and ends as the run does."""
    write(folder, "w.yaml", "workflow: {nodes: {a: {exec: 'until [ -e go ]; do sleep 0.05; done'}}}\n")
    words = [sys.executable, "-m", "cc_notebook.cli", "run", "w.yaml"]
    waiting = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    run = until(lambda: next((run for run in runs.all_runs() if run.refresh().counts().get("running")), None))
    kill_engine(run)
    out, _ = waiting.communicate(timeout=60)
    assert waiting.returncode == 4 and out.count("no engine works on it") == 1 and f"cc resume {run.id}" in out
    (folder / "go").touch()
    assert cc("resume").returncode == 0


def test_what_programs_read(folder, cc):
    """`--json` of what checks, explains and steers: fields in the place of sentences, and the same exit codes."""
    text = "workflow:\n  nodes:\n    a: {exec: 'sleep 60'}\n"
    text += "    b: {exec: x, after: a, when: 'a.n > 1', foreach: {x: [1]}}\n"
    write(folder, "w.yaml", text)
    plan = {row["name"]: row["reason"] for row in json.loads(cc("run", "w.yaml", "--dry-run", "--json").stdout)}
    assert list(plan) == ["a", "b", "b[x=1]"] and plan["b[x=1]"] == "when a.n > 1"
    assert json.loads(cc("validate", "w.yaml", "--json").stdout) == {"jobs": 2, "dependencies": 1, "problems": []}
    run = Workflow(folder / "w.yaml").run()
    assert json.loads(cc("pause", "last", "--json").stdout)["state"] == "paused"
    told = json.loads(cc("explain", "last", "b", "--json").stdout)
    assert (told["job"], told["state"]) == ("b", "ready") and told["explained"].startswith("b is ready")
    assert json.loads(cc("cancel", "last", "--json").stdout)["run"] == run.id
    assert run.wait(30).state == "cancelled"
    write(folder, "w.yaml", text.replace("after", "aftre"))
    wrong = cc("validate", "w.yaml", "--json")
    problem = json.loads(wrong.stdout)["problems"][0]
    assert wrong.returncode == 2 and (problem["line"], problem["column"]) == (4, 18) and "'after'" in problem["hint"]


def test_a_retry_tells_of_a_file_that_has_changed(folder, cc):
    """What stands in the workflow file is fixed when a run begins; who mends it there is told to start another run."""
    path = write(folder, "w.yaml", "workflow: {nodes: {a: {exec: 'false'}}}\n")
    cc("run", "w.yaml")
    assert "has changed since" not in cc("retry", "last").stderr
    path.write_text("workflow: {nodes: {a: {exec: 'true'}}}\n")
    again = cc("retry", "last")
    assert "the workflow file has changed since: `jupyter cc run` starts a new run" in again.stderr
    assert again.returncode == 1


def test_explain_names_proofs_that_are_there(folder):
    """A marker has no folder to be shown; a parent that is blocked is told as blocked."""
    flow = Workflow(name="w")
    flow.add_job("a", exec="false")
    flow.add_job("b", exec="true")
    flow.add_job("alarm", exec="true", trigger="all_done")
    flow.add_dependencies("start, a, b, alarm")
    run = flow.run().wait()
    told = {name: run.explain(name) for name in ("start", "a", "alarm")}
    assert "proof" not in told["start"] and "parents: b (blocked)" in told["alarm"]
    assert (Path(told["a"].partition("proof: ")[2].strip()) / "state.exit.1").exists()


def test_dry_run_executes_nothing(diamond, folder, cc, store):
    """A dry run shows the order and leaves neither a run nor a file."""
    out = cc("run", "w.yaml", "--dry-run")
    assert out.returncode == 0 and out.stdout.index("fetch") < out.stdout.index("join")
    assert not (folder / "data.txt").exists() and list((store / "runs").iterdir()) == []
    assert Workflow("w.yaml").run_parallel(dryrun=True) is None


def test_operators_graph_and_table(folder):
    """`a >> [b, c] >> d` builds the graph that networkx sees; the table names every job."""
    flow = Workflow(name="w")
    a, b, c, d = (flow.add_job(name, exec="true") for name in "abcd")
    a >> [b, c] >> d
    assert set(flow.graph.edges) == {("a", "b"), ("a", "c"), ("b", "d"), ("c", "d")}
    assert flow.sequential_order() == ["a", "b", "c", "d"]
    assert all(name in flow.table for name in "abcd")
    flow.run_parallel(show=False)
    assert flow.table.count("done") == 4


def test_tools_own_lines_report_progress(folder):
    """`progress: "Epoch {n}/{total}"` reads what a tool prints anyway."""
    flow = Workflow(name="w")
    flow.add_job("train", exec="echo 'Epoch 1/4'; echo 'Epoch 2/4 loss=1'; exit 1", progress="Epoch {n}/{total}")
    assert flow.run().wait().status("train")["progress"] == 50


def test_mark_by_hand(folder):
    """A state set by hand lets the children go, is shown as such, and is refused for a living job."""
    flow = Workflow(name="w")
    flow.add_job("a", exec="exit 1")
    flow.add_job("b", exec="touch b", after="a")
    flow.add_job("c", exec="touch up; sleep 100")
    run = flow.run(max_parallel=2)
    until(lambda: run.status("a")["state"] == "failed" and (folder / "up").exists())
    run.mark("a", "done")
    until((folder / "b").exists)
    assert run.status("a")["by_hand"] and "by hand" in run.explain("a")
    with pytest.raises(InputError, match="cancel it first"):
        run.mark("c", "done")
    run.cancel().wait()


def test_isolated_and_environment(folder, monkeypatch):
    """An isolated attempt works in a folder of its own with its inputs; local jobs inherit the caller's environment."""
    monkeypatch.setenv("MINE", "inherited")
    write(folder, "in.txt", "input")
    write(folder, "a.sh", 'cat in.txt; echo "$MINE" "$PWD"; touch made; ls "$CC_JOB_DIR" "$CC_RUN_DIR" > /dev/null\n')
    flow = Workflow(name="w")
    flow.add_job("a", "a.sh", isolated=True, files={"in": ["in.txt"]})
    run = flow.run().wait()
    assert run.state == "done", run.log("a")
    assert "input" in run.log("a") and "inherited" in run.log("a") and "/files" in run.log("a")
    assert not (folder / "made").exists()


def test_shebang_and_venv(folder, monkeypatch):
    """A script's own interpreter line counts; a venv's Python and a conda environment's name are used."""
    write(folder, "b.sh", "#!/usr/bin/env bash\na=(1 2 3); echo ${#a[@]}\n")
    write(folder, "p.py", "import os, sys\nprint(sys.prefix, os.environ.get('VIRTUAL_ENV'), *sys.argv[1:])\n")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder / "env"], check=True)
    write(folder, "conda", '#!/bin/sh\necho "conda $*"\n').chmod(0o755)
    flow = Workflow(name="w")
    flow.add_job("bash", "b.sh")
    flow.add_job("python", "p.py", venv="env", args="x 'y z'")
    monkeypatch.setenv("CONDA_EXE", str(folder / "conda"))
    flow.add_job("conda", "p.py", venv="science")
    run = flow.run().wait()
    assert run.state == "done", run.status()
    assert run.log("bash") == "3\n"
    assert run.log("python") == f"{folder}/env {folder}/env x y z\n"
    assert run.log("conda") == "conda run --no-capture-output -n science python ./p.py\n"


def test_interrupt_detaches(folder):
    """Ctrl-C in a program that waits leaves the run going and says how to come back."""
    write(folder, "w.yaml", "workflow:\n  nodes:\n    a: {exec: 'touch up; while [ ! -e go ]; do sleep 0.05; done'}\n")
    command = [sys.executable, "-m", "cc_notebook.cli", "run", "w.yaml"]
    signal.signal(signal.SIGINT, signal.default_int_handler)  # tests in a shell's background inherit that it is ignored
    child = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True
    )
    assert "a running" in child.stdout.readline()  # it waits, and loads nothing any more
    child.send_signal(signal.SIGINT)
    _, err = child.communicate(timeout=20)
    assert child.returncode == 130 and "goes on" in err
    (folder / "go").touch()
    assert runs.find("last").wait(20).state == "done"


def test_in_a_thread_and_in_a_running_event_loop(folder):
    """The API works in a thread and inside a running event loop, as in a notebook's cell."""
    import asyncio
    from concurrent.futures import ThreadPoolExecutor

    flow = Workflow(name="w")
    flow.add_job("a", exec="true")

    async def cell():
        return flow.run_parallel(show=False).state

    with ThreadPoolExecutor() as pool:
        assert pool.submit(asyncio.run, cell()).result(30) == "done"
    assert asyncio.run(cell()) == "done"


def test_follow_and_logs_follow(folder, cc):
    """`logs --follow` prints what comes until the job has ended."""
    write(folder, "w.yaml", "workflow:\n  nodes:\n    a: {exec: 'for i in 1 2 3; do echo line $i; sleep 0.2; done'}\n")
    run = cc("run", "w.yaml", "--detach").stdout.strip()
    assert cc("logs", run, "a", "--follow").stdout == "line 1\nline 2\nline 3\n"
    assert time.time() and cc("runs").stdout.startswith(run)


def test_what_is_left_out_is_taken_over_with_its_outputs(folder):
    """`only`, `from_` and `Job.run` find the outputs of earlier runs, also in conditions; without one they say so."""
    flow = Workflow(name="w")
    flow.add_job("fetch", exec="echo fetch >> ran; echo '# cloudmesh progress=50 rows=7'")
    flow.add_job("use", exec='echo "use $ROWS" >> ran', env={"ROWS": "{fetch.rows}"}, when="fetch.rows > 3")
    flow.add_job("last", exec="echo last >> ran")
    flow.add_dependencies("start, fetch, use, last")
    with pytest.raises(InputError, match="run the whole workflow once, or begin with --from fetch"):
        flow.run(only="use")
    assert flow.run().wait().state == "done"
    again = flow.run(only="use").wait()
    assert again.state == "done" and set(again.status()["jobs"]) == {"start", "fetch", "use"}
    assert flow.run(from_="use").wait().state == flow["use"].run().wait().state == "done"
    assert (folder / "ran").read_text().splitlines() == [
        *("fetch", "use 7", "last"),
        *("use 7", "use 7", "last", "use 7"),
    ]
