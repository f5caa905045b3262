"""One workflow over this computer and two ssh hosts: the engine is killed, lines are cut, and it ends right."""

import json
import random
import signal
import sys
import time
from collections import Counter
from contextlib import ExitStack, closing
from pathlib import Path

import nbformat
import pytest
from conftest import engines, kill_engine, until, write
from sshd import Link, Server, sshd

from cc_notebook import Workflow

FLOW = """
workflow:
  hosts:
    box: {{ssh_config: {one}, workdir: {base}/first, python: {python}}}
    two: {{ssh_config: {two}, address: box, workdir: {base}/second, python: {python}}}
  nodes:
    make:   {{script: make.sh, args: [{base}]}}
    left:   {{script: left.py, args: [{base}], kind: ssh, host: box, files: {{in: [numbers.txt], out: [left.txt]}}}}
    right:  {{script: right.sh, args: [{base}], kind: ssh, host: two}}
    page:   {{script: page.ipynb, params: {{total: "{{left.total}}"}}, kind: ssh, host: two, files: {{in: [left.txt]}}}}
    report: {{script: report.py, args: [{base}, "{{page.double}}", "{{right.word}}"]}}
  dependencies:
    - make, left, page, report
    - make, right, report
"""
LEDGER = "with open(sys.argv[1] + '/ledger', 'a') as f:\n    print('{}', file=f)\n"
WAIT = "while [ ! -e {}/go ]; do sleep 0.05; done"


@pytest.fixture
def two_hosts(tmp_path):
    """Two real ssh servers, each with its keys and port; their configurations for clients and themselves."""
    with sshd(tmp_path / "one", serve=False) as one, sshd(tmp_path / "two", serve=False) as two:
        servers = [Server(tmp_path / "one"), Server(tmp_path / "two")]
        for server in servers:
            server.start()
        yield one, two, servers
        for server in servers:
            server.stop()


def workflow(folder, base, one, two):
    """Scripts, Python and a notebook, here and on both hosts; `left` and `right` wait for the file `go`."""
    write(folder, "w.yaml", FLOW.format(one=one, two=two, base=base, python=sys.executable))
    write(folder, "make.sh", "echo make >> $1/ledger; seq 4 > numbers.txt\n")
    tell = "echo '# cloudmesh progress=9 word=hello'\n"
    write(folder, "right.sh", f"echo right >> $1/ledger; {WAIT.format('$1')}; {tell}")
    total = "total = sum(map(int, open('numbers.txt')))\nopen('left.txt', 'w').write(str(total))\n"
    waits = "while not os.path.exists(sys.argv[1] + '/go'):\n    time.sleep(0.05)\n"
    told = "print(f'# cloudmesh progress=50 total={total}', flush=True)\n"
    write(folder, "left.py", f"import os, sys, time\n{LEDGER.format('left')}{told.join([total, waits])}")
    cells = [
        nbformat.v4.new_code_cell("total = 0", metadata={"tags": ["parameters"]}),
        nbformat.v4.new_code_cell(f"print('page', file=open('{base}/ledger', 'a'))"),
        nbformat.v4.new_code_cell("from cc_notebook import progress\nassert open('left.txt').read() == str(total)"),
        nbformat.v4.new_code_cell("progress(80, double=2 * total)"),
    ]
    about = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata=about), folder / "page.ipynb")
    write(folder, "report.py", f"import sys\n{LEDGER.format('report')}print('report', *sys.argv[2:])\n")
    return Workflow("w.yaml")


def check(run, base):
    """Every job ran once and the results are here."""
    assert run.wait(timeout=100).state == "done", run.note()
    assert Counter((base / "ledger").read_text().split()) == Counter(["make", "left", "right", "page", "report"])
    assert run.log("report") == "report 20 hello\n"
    results = Path("w-runs", run.id)
    assert (results / "left.txt").read_text() == "10" and json.loads((results / "page.ipynb").read_text())


def test_the_laptop_is_closed_and_opened(folder, tmp_path, two_hosts):
    """Killed while both hosts work, one line down, one server frozen; opened again, all is known and goes on."""
    one, two, servers = two_hosts
    run = workflow(folder, tmp_path, one, two).run()
    until(lambda: all(run.refresh().jobs[name].state == "running" for name in ("left", "right")))
    kill_engine(run)
    servers[0].stop()
    servers[1].signal(signal.SIGSTOP)
    (tmp_path / "go").touch()
    run.resume()
    assert until(run.note).startswith("box: seen ")
    servers[0].start()
    until(lambda: run.refresh().jobs["left"].state == "done")
    servers[1].signal(signal.SIGCONT)
    check(run, tmp_path)


def test_the_laptop_is_closed_and_its_network_is_gone(folder, tmp_path):
    """Killed while both hosts work, the links to both down; opened without network, then with it: all is known."""
    with ExitStack() as after:
        links = [after.enter_context(closing(Link(number))) for number in (0, 1)]
        places = [(tmp_path / name, link) for name, link in zip(("one", "two"), links, strict=True)]
        one, two = [after.enter_context(sshd(base, link=link)) for base, link in places]
        run = workflow(folder, tmp_path, one, two).run()
        until(lambda: all(run.refresh().jobs[name].state == "running" for name in ("left", "right")))
        kill_engine(run)
        for link in links:
            link.set("down")
        (tmp_path / "go").touch()
        run.resume()
        note = until(lambda: (told := run.note()).count(": seen ") == 2 and told, 60)
        assert "box: seen " in note and "two: seen " in note
        assert run.refresh().jobs["left"].state == "running"
        for link in links:
            link.set("up")
        check(run, tmp_path)


def test_killed_at_any_moment_of_remote_starts(folder, tmp_path, two_hosts, every):
    """The engine is killed and lines are cut at moments spread over the whole run: each job runs once."""
    one, two, servers = two_hosts
    (tmp_path / "go").touch()
    run, chance = workflow(folder, tmp_path, one, two).run(), random.Random(1)
    for number in range(max(8, 80 // every)):
        until(lambda wanted=number: run.finished or engines(run)[wanted:])
        time.sleep(chance.uniform(0, 0.6))  # a moment of the sweep, not a wait for something
        kill_engine(run)
        if number % 3 == 2:
            servers[number % 2].stop()
            servers[number % 2].start()
        run.resume()
    check(run, tmp_path)
