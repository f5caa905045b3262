"""The conformance suite over every host: the local one, a remote one over a fake line, a real sshd, a stand-in for WSL.

The fake line runs everything here, with real processes, in a home of its own; it can be slow, refuse, or cut the line
before or after the script ran. What holds for one host must hold for all.
"""

import os
import random
import shutil
import subprocess
import sys
import time
import tomllib
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest
from conftest import until, write
from sshd import sshd
from wsl import stand_in

from cc_notebook.conformance.machine import RUN, Machine, claimed, ended, start, watch
from cc_notebook.conformance.suite import Hosts, Lines
from cc_notebook.errors import UnavailableError
from cc_notebook.hosts.local import LocalHost
from cc_notebook.hosts.parts import part
from cc_notebook.hosts.remote import RemoteHost
from cc_notebook.hosts.slots import Slots
from cc_notebook.hosts.transport import program
from cc_notebook.model import Host, Job

PROGRAM = Path(__file__).parent.parent / "cc_notebook"
MOODS = ["good", "slow", "refuses", "cut after", "in part"]
TRANSPORTS = ["openssh", "paramiko", "wsl"]


class Fake:
    """A line to this machine, by sh, that misbehaves as it is told."""

    def __init__(self, mood="good", seed=0):
        self.line, self.mood, self.chance, self.calls = program(["sh"]), mood, random.Random(seed), 0

    def run(self, script, timeout):
        """Run the script; or not, or without its answer."""
        self.calls += 1
        trouble = self.mood == "always cut" or self.chance.random() < 0.4
        if self.mood == "slow":
            time.sleep(0.1)
        if self.mood in ("refuses", "always cut") and trouble:
            raise UnavailableError("connection refused")
        if self.mood == "in part" and trouble:
            return self.line.run(script[: self.chance.randrange(len(script))], timeout)
        result = self.line.run(script, timeout)
        if self.mood == "always cut" or (self.mood == "cut after" and trouble):
            raise UnavailableError("connection lost")
        return result

    def close(self):
        """Nothing is open."""


def local(home, slots):
    """The host for this computer, with what an engine lays beside a run."""
    (home / RUN / "stub").mkdir(exist_ok=True)
    shutil.copy(PROGRAM / "report.py", home / RUN / "stub" / "cc_notebook.py")
    shutil.copy(PROGRAM / "hosts" / "wrapper.sh", home / RUN / "wrapper.sh")
    return LocalHost(home / RUN, Slots(slots, 4, Host()), dict(os.environ), None)


def remote(line, home, limit=4):
    """A host behind a line."""
    return RemoteHost(line, Host(workdir=str(home)), RUN, limit, None, None)


@pytest.fixture
def home(tmp_path):
    """A folder that stands for a machine's disk."""
    path = tmp_path / "machine"
    (path / RUN).mkdir(parents=True)
    return path


@pytest.fixture
def machine(request, tmp_path, home, monkeypatch):
    """A machine of one sort; `client` is a new client of it, as after a crash of the first."""
    made, sort = [], request.param

    def client():
        if sort == "local":
            made.append(local(home, tmp_path / "slots"))
        else:
            made.append(remote(Fake(sort, seed=len(made)) if sort in MOODS else new(), home))
        return made[-1]

    with ExitStack() as after:
        if sort == "wsl":
            monkeypatch.setenv("PATH", str(stand_in(tmp_path / "windows")), prepend=":")
        config = after.enter_context(sshd(tmp_path / "sshd")) if sort in ("openssh", "paramiko") else None

        def new():
            if sort not in TRANSPORTS:
                return program(["sh"])
            return part("transports", sort).connect("box", "", Host(ssh_config=config and str(config)))

        line = new()
        after.callback(line.close)
        yield Machine(line, str(home), client)
        for host in made:
            host.close()


@pytest.mark.parametrize("machine", ["sh", *TRANSPORTS], indirect=True)
class TestLines(Lines):
    """Every transport."""


@pytest.mark.parametrize("machine", ["local", *MOODS, *TRANSPORTS], indirect=True)
class TestHosts(Hosts):
    """Every host."""


def test_line_down_changes_no_job(home):
    """While the line is down nothing is told about an attempt; afterwards its end is seen."""
    line = Fake()
    host = remote(line, home)
    start(host, Machine(program(["sh"]), str(home), None).launch(Job(name="a", exec="sleep 0.5")))
    watch(host, claimed)
    line.mood = "always cut"
    until(lambda: "connection" in host.trouble)
    assert host.observe() == []
    line.mood = "good"
    assert watch(host, ended())[-1].code == 0
    host.close()


def test_an_input_travels_once(home, tmp_path):
    """Each content crosses the line once for all jobs of a run, and again only if its answer or the file got lost."""
    line, data = Fake(), write(tmp_path, "data.csv", "a wörd\r\n" * 5000)
    machine, real, sent = Machine(program(["sh"]), str(home), None), line.line.run, []
    host = remote(line, home)

    def run(script, timeout):
        sent.append(script.count("a wörd\r\n" * 5000))
        result = real(script, timeout)
        if sent[-1] and sum(sent) == 1:
            raise UnavailableError("the answer is lost")
        return result

    def job(name):
        launch = machine.launch(Job(name=name, exec='cksum < data.csv >> "$CC_RUN_DIR/sums"; echo mine > data.csv'))
        start(host, replace(launch, inputs={str(data): "data.csv"}))
        assert watch(host, ended())[-1].code == 0
        return sum(sent)

    line.line.run = run
    assert [job("a"), job("b"), job("c")] == [2, 2, 2]
    shutil.rmtree(home / RUN / "inputs")
    assert [job("d"), job("e")] == [3, 3]
    assert len(set((home / RUN / "sums").read_text().splitlines())) == 1
    host.close()


def test_one_round_trip_for_any_number_of_jobs(home):
    """Twenty attempts on one host cost no more round trips than one."""
    line = Fake()
    host, machine = remote(line, home, 20), Machine(program(["sh"]), str(home), None)
    host.start([machine.launch(Job(name=f"j{number}", exec="sleep 0.5")) for number in range(20)])
    watch(host, ended(20))
    host.close()
    assert line.calls < 20


def test_the_suite_runs_for_others(tmp_path):
    """Anybody's transport is tested by its name, or as module:function, from the installed package; a bad one fails."""
    write(
        tmp_path,
        "mine.py",
        """\
from cc_notebook.hosts.transport import program

def good(name, user, host):
    return program(["sh"])

def bad(name, user, host):
    line = program(["sh"])
    line.put = lambda script, file, timeout: line.run(script, timeout)
    return line
""",
    )
    words = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--pyargs", "cc_notebook.conformance"]
    plugin = "cc_notebook.conformance.options"  # an installed package has it by entry point
    assert (
        plugin in tomllib.loads((PROGRAM.parent / "pyproject.toml").read_text())["project"]["entry-points"]["pytest11"]
    )
    words += ["-p", plugin, "-k", "bytes or progress", "--rootdir", tmp_path]
    path = os.pathsep.join([str(tmp_path), str(PROGRAM.parent)])
    env = {**os.environ, "PYTHONPATH": path, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    for name, told in (("good", "2 passed"), ("bad", "1 failed, 1 passed")):
        command = [*words, f"--transport=mine:{name}"]
        done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=60)
        assert told in done.stdout, done.stdout + done.stderr
