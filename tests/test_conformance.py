"""One suite over every host: the local one, a remote one over a fake line, and a real sshd.

The fake runs everything here, with real processes, in a home of its own; it can be slow, refuse, or cut the line before
or after the script ran. What holds for one host must hold for all.
"""

import os
import random
import select
import shutil
import signal
import subprocess
import time
from contextlib import nullcontext
from pathlib import Path

import pytest
from conftest import until
from sshd import sshd

from cc_notebook import payload
from cc_notebook.errors import UnavailableError
from cc_notebook.hosts.base import Launch, Observation
from cc_notebook.hosts.local import LocalHost
from cc_notebook.hosts.remote import RemoteHost
from cc_notebook.hosts.transport import program
from cc_notebook.model import Host, Job
from cc_notebook.transports import openssh

RUN = "w-20260101-000000-abcd"


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
        if self.mood == "cut after" and trouble:
            raise UnavailableError("connection lost")
        return result

    def close(self):
        """Nothing is open."""


@pytest.fixture(autouse=True)
def short_grace(monkeypatch):
    """One second between TERM and KILL is enough for a test."""
    monkeypatch.setattr("cc_notebook.hosts.local.GRACE", 1.0)
    monkeypatch.setattr("cc_notebook.hosts.remote.GRACE", 1.0)


@pytest.fixture(params=["local", "fake", "slow", "refuses", "cut after", "in part", "ssh"])
def make_host(request, tmp_path):
    """Makes hosts of one sort; each call is a new client of the same machine, as after a crash of the first."""
    made = []
    home = tmp_path / "machine"
    (home / RUN).mkdir(parents=True)
    server = sshd(tmp_path / "sshd") if request.param == "ssh" else nullcontext()
    config = server.__enter__()

    def make():
        if request.param == "local":
            base = Path(__file__).parent.parent / "cc_notebook"
            (home / RUN / "stub").mkdir(exist_ok=True)
            shutil.copy(base / "report.py", home / RUN / "stub" / "cc_notebook.py")
            shutil.copy(base / "hosts" / "wrapper.sh", home / RUN / "wrapper.sh")
            host = LocalHost(home / RUN, tmp_path / "slots", 4, dict(os.environ), None)
        elif request.param == "ssh":
            host = RemoteHost(openssh.connect("box", "", Host(ssh_config=str(config))), str(home), RUN, 4)
        else:
            host = RemoteHost(Fake(request.param, seed=len(made)), str(home), RUN, 4)
        made.append(host)
        return host

    make.sort, make.home = request.param, home
    yield make
    for host in made:
        host.close()
    server.__exit__(None, None, None)


def launch(job, home, number=1):
    """What the engine would hand to a host."""
    attempt = payload.attempt_of(job, RUN, number)
    work = home / RUN / "files"
    work.mkdir(exist_ok=True)
    around = payload.Surroundings(RUN, str(work), "python3", values={})
    return Launch(attempt, payload.files(job, attempt, around, {"token": attempt.token}))


def start(host, *launches):
    """Start as the engine does: a place first."""
    for item in launches:
        assert host.reserve()
        host.start([item])


def watch(host, done, timeout=40.0):
    """Drive a host as the engine does until `done(observations)`; returns them all."""
    seen: list[Observation] = []
    deadline = time.monotonic() + timeout
    while not done(seen):
        assert time.monotonic() < deadline, seen
        select.select(host.wakers(), [], [], min(host.patience(), 0.5))
        seen += host.observe()
    return seen


def ended(number=1):
    """A condition for `watch`: so many attempts have ended."""
    return lambda seen: sum(bool(item.ending) for item in seen) >= number


def test_exit_codes_times_and_outputs(make_host):
    """A success, an exit code, a signal and a time limit are told with claim, times and the last outputs."""
    host = make_host()
    jobs = [
        Job(name="good", exec="echo '# cloudmesh progress=40 x=1'; echo '# cloudmesh progress=60 x=2 y=\"z\"'"),
        Job(name="bad name ü", exec="exit 7"),
        Job(name="shot", exec="kill -9 $$"),
        Job(name="slow", exec="sleep 60 & sleep 60", timeout=1),
    ]
    start(host, *(launch(job, make_host.home) for job in jobs))
    seen = watch(host, ended(4))
    last = {item.job: item for item in seen if item.ending}
    told = {name: (item.ending, item.code) for name, item in last.items()}
    assert told == {"good": ("exit", 0), "bad name ü": ("exit", 7), "shot": ("signal", 9), "slow": ("timeout", None)}
    assert last["good"].report.outputs == {"x": 2, "y": "z"}
    for name in told:
        claim = last[name].claim or next(item.claim for item in seen if item.job == name and item.claim)
        assert claim.pid > 1 and last[name].ended >= last[name].started > time.time() - 100


def test_progress_is_seen_while_it_runs(make_host):
    """Progress and outputs come before the end, from the log alone."""
    host = make_host()
    start(host, launch(Job(name="p", exec="echo '# cloudmesh progress=30 k=5'; sleep 2"), make_host.home))
    seen = watch(host, lambda seen: any(item.report.progress == 30 for item in seen))
    assert not any(item.ending for item in seen)
    watch(host, ended())


def test_started_twice_runs_once(make_host):
    """Two clients that both start an attempt, and one that starts it again: the ledger has one line."""
    item = launch(Job(name="once", exec='echo ran >> "$CC_RUN_DIR/ledger"; sleep 0.3'), make_host.home)
    first, second = make_host(), make_host()
    start(first, item)
    start(second, item)
    watch(first, ended())
    watch(second, ended())
    third = make_host()
    start(third, item)
    assert watch(third, ended())[-1].ending == "exit"
    assert (make_host.home / RUN / "ledger").read_text() == "ran\n"


def test_taken_over_by_another_client(make_host):
    """A client goes away while the attempt runs; the next one sees its end."""
    first = make_host()
    item = launch(Job(name="over", exec="sleep 1; exit 4"), make_host.home)
    start(first, item)
    watch(first, lambda seen: any(found.claim for found in seen))
    first.close()
    second = make_host()
    second.watch([item.attempt])
    assert watch(second, ended())[-1].code == 4


def test_cancel_ends_the_tree(make_host, tmp_path):
    """Everything of the attempt is gone when `cancelled` is told: also what left the session and ignores TERM."""
    text = f"setsid sh -c 'trap \"\" TERM; touch {tmp_path}/up; while :; do sleep 1; done' & sleep 100 & sleep 100"
    host = make_host()
    item = launch(Job(name="tree", exec=text), make_host.home)
    start(host, item)
    watch(host, lambda seen: any(found.claim for found in seen) and (tmp_path / "up").exists())
    host.cancel([item.attempt])
    assert watch(host, ended())[-1].ending == "cancelled"
    assert living(item.attempt.token) == []


def test_cancelled_before_the_claim_never_runs(make_host):
    """Cancelled before any wrapper claimed it, an attempt ends and its code never runs."""
    host = make_host()
    item = launch(Job(name="never", exec='touch "$CC_RUN_DIR/ran"'), make_host.home)
    folder = make_host.home / RUN / item.attempt.folder
    folder.mkdir(parents=True)
    (folder / "room").touch()
    host.watch([item.attempt])
    host.cancel([item.attempt])
    assert watch(host, ended())[-1].ending == "cancelled"
    assert not (make_host.home / RUN / "ran").exists()


def test_wrapper_killed_is_lost_only_when_its_payload_is_gone(make_host, tmp_path):
    """SIGKILL of the wrapper: not lost while the payload lives, lost afterwards, never done."""
    host = make_host()
    command = f"echo $PPID > {tmp_path}/wrapper; while [ ! -e {tmp_path}/go ]; do sleep 0.1; done"
    start(host, launch(Job(name="orphan", exec=command), make_host.home))
    seen = watch(host, lambda seen: any(item.claim for item in seen))
    until((tmp_path / "wrapper").exists)
    os.kill(next(item.claim for item in seen if item.claim).pid, signal.SIGKILL)
    deadline = time.monotonic() + 1.5
    assert not any(item.ending for item in watch(host, lambda seen: time.monotonic() > deadline))
    (tmp_path / "go").touch()
    assert watch(host, ended())[-1].ending == "lost"


def test_stopped_process_is_not_a_failure(make_host, tmp_path):
    """A wrapper that is stopped for a while is neither lost nor failed; continued, it ends as usual."""
    host = make_host()
    command = f"while [ ! -e {tmp_path}/go ]; do sleep 0.05; done"
    start(host, launch(Job(name="stopped", exec=command), make_host.home))
    pid = next(item.claim.pid for item in watch(host, lambda seen: any(item.claim for item in seen)) if item.claim)
    os.kill(pid, signal.SIGSTOP)
    (tmp_path / "go").touch()
    deadline = time.monotonic() + 1.5
    assert not any(item.ending for item in watch(host, lambda seen: time.monotonic() > deadline))
    os.kill(pid, signal.SIGCONT)
    assert watch(host, ended())[-1].code == 0


def test_another_process_with_the_same_pid_is_not_the_job(make_host):
    """A claim whose pid now belongs to somebody else is lost, and the somebody is never signalled."""
    bystander = subprocess.Popen(["sleep", "60"], start_new_session=True)
    item = launch(Job(name="reused", exec="true"), make_host.home)
    folder = make_host.home / RUN / item.attempt.folder
    folder.mkdir(parents=True)
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    (folder / "room").touch()
    (folder / "claim").write_text(f"{bystander.pid} {boot} {os.uname().nodename}\n")
    host = make_host()
    host.watch([item.attempt])
    assert watch(host, ended())[-1].ending == "lost"
    other = make_host()
    other.watch([item.attempt])
    other.cancel([item.attempt])
    watch(other, ended())
    assert bystander.poll() is None
    bystander.kill()
    bystander.wait()


def living(token):
    """The processes that carry an attempt's token."""
    found = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        try:
            if f"CC_ATTEMPT={token}".encode() in path.read_bytes():
                found.append(path.parent.name)
        except OSError:
            continue
    return found


def test_line_down_changes_no_job(tmp_path):
    """While the line is down nothing is told about an attempt; afterwards its end is seen."""
    home = tmp_path / "machine"
    (home / RUN).mkdir(parents=True)
    line = Fake()
    host = RemoteHost(line, str(home), RUN, 4)
    start(host, launch(Job(name="a", exec="sleep 0.5"), home))
    watch(host, lambda seen: any(item.claim for item in seen))
    line.mood = "always cut"
    time.sleep(1.5)
    assert host.observe() == [] and "refused" in host.trouble
    line.mood = "good"
    assert watch(host, ended())[-1].code == 0
    host.close()


def test_one_round_trip_for_any_number_of_jobs(tmp_path):
    """Twenty attempts on one host cost no more round trips than one."""
    home = tmp_path / "machine"
    (home / RUN).mkdir(parents=True)
    line = Fake()
    host = RemoteHost(line, str(home), RUN, 20)
    host.start([launch(Job(name=f"j{number}", exec="sleep 0.5"), home) for number in range(20)])
    watch(host, ended(20))
    host.close()
    assert line.calls < 20


def test_job_that_removes_its_own_folder_runs_once(make_host, tmp_path):
    """An attempt's folder is never made again: what removed its own is told as lost, and ran one time."""
    host = make_host()
    start(host, launch(Job(name="gone", exec=f'echo ran >> {tmp_path}/ran; rm -rf "$CC_JOB_DIR"'), make_host.home))
    assert watch(host, ended())[-1].ending == "lost"
    assert (tmp_path / "ran").read_text() == "ran\n"
