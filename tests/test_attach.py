"""A run whose store is gone, or that another computer takes up, is rebuilt from its hosts (guarantee 12)."""

import os
import shutil
import signal
from collections import Counter

import pytest
from conftest import until, write
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
        os.kill(int(next(event.native_id for event in run.events() if event.type == "engine")), signal.SIGKILL)
        until(lambda: not run.engine_alive())
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
