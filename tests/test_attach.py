"""A run whose store is gone, or that another computer takes up, is rebuilt from its hosts (guarantee 12)."""

import json
import os
import shutil
from collections import Counter

import psutil
import pytest
from conftest import kill_engine, until, write
from sshd import sshd

from cc_notebook import Workflow
from cc_notebook.errors import InputError

FLOW = """
workflow:
  params: {{sizes: [1, 2, 3]}}
  hosts:
    box: {{ssh_config: {config}, workdir: {base}/remote}}
    two: {{ssh_config: {config}, address: box, workdir: {base}/second}}
  nodes:
    make: {{script: make.sh, args: [7]}}
    first: {{script: use.sh, args: [first, "{{make.rows}}"], kind: ssh, host: box}}
    loop: {{script: use.sh, args: ["{{name}}", "{{size}}"], kind: ssh, host: two,
           foreach: {{size: "{{params.sizes}}"}}}}
    slow: {{script: wait.sh, kind: ssh, host: box}}
    last: {{script: use.sh, args: [last, "{{slow.found}}"], kind: ssh, host: box}}
    here: {{script: use.sh, args: [here, "{{last.rows}}"]}}
  dependencies:
    - make, first, loop, slow, last, here
"""


def start(folder, base, config):
    """A run in which `slow` waits for a file."""
    write(folder, "w.yaml", FLOW.format(base=base, config=config))
    write(folder, "make.sh", f'echo make >> {base}/ledger; echo "# cloudmesh progress=50 rows=$1"\n')
    write(folder, "use.sh", f'echo "$1" >> {base}/ledger; echo "# cloudmesh progress=50 rows=$2"\n')
    text = f"while [ ! -e {base}/go ]; do sleep 0.05; done; echo '# cloudmesh progress=50 found=9'\n"
    write(folder, "wait.sh", f"echo slow >> {base}/ledger; touch {base}/waits\n{text}")
    run = Workflow("w.yaml").run()
    until((base / "waits").exists)
    until(lambda: run.refresh().jobs["slow"].state == "running")
    return run


@pytest.mark.parametrize("other_computer", [False, True])
def test_attach_after_everything_was_lost(folder, tmp_path, store, cc, other_computer):
    """Engine killed, store deleted; also from another folder: states and outputs are back, each job ran once."""
    with sshd(tmp_path / "sshd") as config:
        run = start(folder, tmp_path, config)
        kill_engine(run)
        shutil.rmtree(store)
        if other_computer:
            other = tmp_path / "other"
            other.mkdir()
            for name in ("w.yaml", "make.sh", "use.sh", "wait.sh"):
                shutil.copy(folder / name, other / name)
            os.chdir(other)
            again = Workflow("w.yaml").attach(run.id)
        else:
            assert cc("attach", "w.yaml", "--run", run.id, "--detach").returncode == 0
            again = Workflow("w.yaml").attach(run.id)
        until(lambda: again.refresh().jobs["slow"].state == "running")
        known = ("make", "first", "loop[size=1]", "loop[size=3]")
        assert {again.refresh().jobs[name].state for name in known} == {"done"}
        assert again.outputs("make") == {"rows": 7} and again.outputs("loop[size=2]") == {"rows": 2}
        (tmp_path / "go").touch()
        assert again.wait().state == "done" and again.outputs("here") == {"rows": 9}
        ledger = Counter((tmp_path / "ledger").read_text().split())
        names = ["make", "first", "slow", "last", "here", *(f"loop[size={size}]" for size in (1, 2, 3))]
        assert ledger == Counter(names)


HERE = """
workflow:
  hosts: {{box: {{ssh_config: {config}, workdir: {base}/remote}}}}
  nodes:
    here: {{script: wait.sh, args: [go, {base}/pids]}}
    first: {{script: wait.sh, args: [first], kind: ssh, host: box}}
    second: {{script: wait.sh, args: [go], kind: ssh, host: box}}
  dependencies: ["first, second"]
"""


@pytest.mark.parametrize("where", ["gone", "another store", "another computer"])
def test_attach_while_a_job_runs_on_this_computer(folder, tmp_path, store, where, monkeypatch):
    """It runs as long as it runs, and no other try beside it; elsewhere the way to see it is told."""
    with sshd(tmp_path / "sshd") as config:
        write(folder, "w.yaml", HERE.format(base=tmp_path, config=config))
        text = f'echo $$ >> "${{2:-/dev/null}}"; while [ ! -e {tmp_path}/$1 ]; do sleep 0.05; done\n'
        write(folder, "wait.sh", text)
        run = Workflow("w.yaml").run()
        until(lambda: {run.refresh().jobs[name].state for name in ("here", "first")} == {"running"})
        (tmp_path / "first").touch()
        until(lambda: run.refresh().jobs["second"].state == "running")
        kill_engine(run)
        if where == "gone":
            shutil.rmtree(store)
        else:
            monkeypatch.setenv("CC_HOME", str(tmp_path / "other"))
            with pytest.raises(InputError, match=f"its store is on this computer: CC_HOME={store} jupyter cc resume"):
                Workflow("w.yaml").attach(run.id)
        if where == "another store":
            (tmp_path / "go").touch()
            monkeypatch.setenv("CC_HOME", str(store))
            assert Workflow("w.yaml").attach(run.id).wait().state == "done"
            return
        if where == "another computer":
            (file,) = (tmp_path / "remote").glob("*/run.json")
            spec = json.loads(file.read_text())
            file.write_text(json.dumps(spec | {"machine": "b0b@laptop"}))
        again = Workflow("w.yaml").attach(run.id)
        until(lambda: again.refresh().jobs["second"].state == "running")
        pids = (tmp_path / "pids").read_text().split()
        told = again.refresh().jobs["here"]
        if where == "another computer":
            assert told.state == "failed" and f"it ran on laptop, where jupyter cc show {run.id} may" in told.reason
        else:
            assert told.state == "running" and psutil.pid_exists(int(pids[0])) and len(pids) == 1
        (tmp_path / "go").touch()
        assert again.wait().state == "failed" and again.status("second")["state"] == "done"
        assert where != "gone" or again.status("here")["reason"] == "the attempt's folder is gone"
        assert again.retry("here").wait().state == "done"


LATER = """
workflow:
  hosts: {{box: {{ssh_config: {config}, workdir: {base}/remote}}}}
  nodes:
    first: {{script: tell.sh, args: [first], kind: ssh, host: box}}
    ended: {{script: tell.sh, args: [ended]}}
    lives: {{script: tell.sh, args: [lives, {base}/go]}}
  dependencies: ["first, ended", "first, lives"]
"""


@pytest.mark.parametrize("moved", [False, True])
def test_a_job_of_this_computer_of_which_no_host_knows_is_not_run_again(folder, tmp_path, store, monkeypatch, moved):
    """It began after the last start on a host; the link to its log is left, so it is seen as gone, or alive."""
    with sshd(tmp_path / "sshd") as config:
        write(folder, "w.yaml", LATER.format(base=tmp_path, config=config))
        wait = 'while [ ! -e "${2:-/}" ]; do sleep 0.05; done'
        write(folder, "tell.sh", f"echo $1 >> {tmp_path}/ledger; {wait}\n")
        run = Workflow("w.yaml").run()
        until(lambda: [run.refresh().jobs[name].state for name in ("ended", "lives")] == ["done", "running"])
        kill_engine(run)
        shutil.rmtree(store)
        if moved:
            monkeypatch.setenv("CC_HOME", str(tmp_path / "other"))
        again = Workflow("w.yaml").attach(run.id)
        until(lambda: again.refresh().jobs["ended"].state == "failed")
        assert again.status("ended")["reason"] == "the attempt's folder is gone"
        assert again.status("lives")["state"] == "submitted" and not again.finished
        assert Counter((tmp_path / "ledger").read_text().split()) == Counter(["first", "ended", "lives"])
        (tmp_path / "go").touch()
        assert again.wait().state == "failed" and again.retry().wait().state == "done"
        assert Counter((tmp_path / "ledger").read_text().split()) == Counter(["first", *["ended", "lives"] * 2])


def test_an_attach_closes_the_way_that_it_opened(folder, tmp_path, store):
    """`before` opens it to look for the run there; where the run needs it no more, `after` closes it again."""
    with sshd(tmp_path / "sshd") as config:
        way = {"before": "way.sh up", "after": "way.sh x"}
        host = {"ssh_config": str(config), "workdir": str(tmp_path / "remote"), **way}
        write(folder, "way.sh", f"#!/bin/sh\necho $1 >> {tmp_path}/ways\n").chmod(0o755)
        body = {"hosts": {"box": host}, "nodes": {"a": {"exec": "true", "kind": "ssh", "host": "box"}}}
        write(folder, "w.yaml", json.dumps({"workflow": body}))
        run = Workflow("w.yaml").run().wait()
        shutil.rmtree(store)
        with pytest.raises(InputError, match="no host of the workflow knows"):
            Workflow("w.yaml").attach("w-20260101-000000-abcde")
        assert (tmp_path / "ways").read_text().split() == ["up", "x"] * 2
        assert Workflow("w.yaml").attach(run.id).wait().state == "done"
        again = ["up", "up", "x"]  # by `attach`, and by the engine, of which the host has not heard that it was ended
        assert (tmp_path / "ways").read_text().split() == ["up", "x"] * 2 + again


def test_what_no_host_knows(folder, tmp_path, cc):
    """A wrong id, and a host that cannot be reached, are told in one line."""
    with sshd(tmp_path / "sshd") as config:
        write(folder, "w.yaml", FLOW.format(base=tmp_path, config=config))
        for name in ("make.sh", "use.sh", "wait.sh"):
            write(folder, name, "")
        done = cc("attach", "w.yaml", "--run", "w-20260101-000000-abcde")
        assert done.returncode == 2 and "no host of the workflow knows a run 'w-2026" in done.stderr
    write(folder, "v.yaml", "workflow: {nodes: {a: {exec: 'true', kind: ssh, host: nowhere.invalid}}}\n")
    with pytest.raises(InputError, match=r"ssh:@nowhere\.invalid cannot be reached: .*no such host"):
        Workflow("v.yaml").attach("v-20260101-000000-abcde")
