"""`before` and `after` of a host: a fake VPN and a fake cloud, which really open and close a real sshd."""

import os
import signal
import subprocess
from contextlib import closing, suppress

import psutil
import pytest
from conftest import ended, engines, kill_engine, until, write
from sshd import Link, sshd

from cc_notebook import Workflow
from cc_notebook.errors import CCError

UP = """#!/bin/sh
# the fake cloud: starts a machine if there is none, and says where it is
echo up >> {log}
echo 'booting ...'
[ -e {base}/slow ] && while [ ! -e {base}/booted ]; do sleep 0.1; done
if ! kill -0 "$(cat {base}/cloud.pid 2> /dev/null)" 2> /dev/null; then
  {sshd} -f {base}/config -o PidFile={base}/cloud.pid
  while [ ! -s {base}/cloud.pid ]; do sleep 0.05; done
fi
echo "address=127.0.0.1"
"""
DOWN = """#!/bin/sh
echo "down $CC_ADDRESS" >> {log}
[ -e {base}/slow-down ] && while [ ! -e {base}/halted ]; do sleep 0.1; done
kill "$(cat {base}/cloud.pid)" && rm {base}/cloud.pid
"""


@pytest.fixture
def cloud(folder, tmp_path):
    """Scripts beside the workflow that start and stop the machine `box`, of which only the address is not known."""
    base = tmp_path / "sshd"
    with sshd(base, serve=False) as config:
        told = {"log": tmp_path / "cloud.log", "base": base, "sshd": "/usr/sbin/sshd"}
        for name, text in (("up.sh", UP), ("down.sh", DOWN)):
            write(folder, name, text.format(**told)).chmod(0o755)
        config.write_text(config.read_text().replace("Host box", "Host 127.0.0.1 box"))
        yield {"ssh_config": str(config), "workdir": str(tmp_path / "remote"), "before": "up.sh", "after": "down.sh"}


def flow(cloud, **jobs):
    """A workflow on the machine of the cloud."""
    w = Workflow(name="clouds")
    w._body["hosts"] = {"box": {**cloud, "address": "not-yet.invalid"}}
    for name, text in jobs.items():
        w.add_job(name, exec=text, kind="ssh", host="box")
    return w


def log(tmp_path):
    """What the cloud was asked."""
    path = tmp_path / "cloud.log"
    return path.read_text().splitlines() if path.exists() else []


@pytest.mark.parametrize(("text", "end"), [("true", "done"), ("exit 3", "failed")])
def test_a_cloud_machine_lives_as_long_as_its_jobs(cloud, tmp_path, text, end):
    """Started once before the first contact, stopped once after the last job, also when one failed; and journalled."""
    run = flow(cloud, first="true", second=text).run()
    assert run.wait().state == end
    assert log(tmp_path) == ["up", "down 127.0.0.1"] and not (tmp_path / "sshd" / "cloud.pid").exists()
    events = [(event.type, event.native_id) for event in run.events() if event.type.startswith(("open", "clos"))]
    assert events == [("opening", ""), ("opened", "127.0.0.1"), ("closing", "127.0.0.1"), ("closed", "")]
    run.retry("first").wait()
    assert log(tmp_path) == ["up", "down 127.0.0.1"] * 2


def test_a_vpn_is_up_as_long_as_its_jobs_run(folder, tmp_path):
    """Only `before` opens the way, `after` closes it, and a retry opens it again: the link of a network namespace."""
    with closing(Link()) as link, sshd(tmp_path / "sshd", link=link) as config:
        text = f"#!/bin/sh\necho $1 >> {tmp_path}/cloud.log\nexec ip -n {link.name} link set eth0 $1\n"
        write(folder, "vpn.sh", text).chmod(0o755)
        show = ["ip", "-n", link.name, "link", "show", "eth0"]
        link.set("down")
        vpn = {"before": ["vpn.sh", "up"], "after": ["vpn.sh", "down"]}
        w = flow({}, first="true", second="true")
        w._body["hosts"] = {"box": {"ssh_config": str(config), "workdir": str(tmp_path / "remote"), **vpn}}
        run = w.run()
        assert run.wait().state == "done"
        assert log(tmp_path) == ["up", "down"] and "state DOWN" in subprocess.check_output(show, text=True, timeout=10)
        assert run.retry("second").wait().state == "done" and log(tmp_path) == ["up", "down"] * 2


def test_cancelled_and_killed_it_is_stopped_all_the_same(cloud, tmp_path):
    """SIGKILL of the engine while the machine boots, then a cancel: it is started again and stopped at the end."""
    (tmp_path / "sshd" / "slow").touch()
    run = flow(cloud, job="sleep 60").run()
    until(lambda: log(tmp_path))
    kill_engine(run)
    (tmp_path / "sshd" / "booted").touch()
    run.resume()
    until(lambda: run.refresh().jobs["job"].state == "running")
    run.cancel()
    assert run.wait().state == "cancelled"
    assert log(tmp_path) == ["up", "up", "down 127.0.0.1"]


def test_the_next_engine_uses_the_way_that_is_open(cloud, tmp_path):
    """An engine killed in the middle: the next one runs `before` only if the way has been closed meanwhile."""
    run = flow(cloud, job=f"while [ ! -e {tmp_path}/go ]; do sleep 0.1; done").run()
    for number in (0, 1):
        until(lambda: run.refresh().jobs["job"].state == "running")
        assert log(tmp_path) == ["up"]
        kill_engine(run)
        if number:
            server = psutil.Process(int((tmp_path / "sshd" / "cloud.pid").read_text()))
            for process in (*server.children(recursive=True), server):
                with suppress(psutil.NoSuchProcess):
                    process.kill()
            (tmp_path / "sshd" / "cloud.pid").unlink()
        run.resume()
    until(lambda: len(log(tmp_path)) == 2)
    (tmp_path / "go").touch()
    assert run.wait().state == "done" and log(tmp_path) == ["up", "up", "down 127.0.0.1"]


def test_a_slow_way_keeps_nothing_else_waiting(cloud, tmp_path):
    """While it opens, and while it closes, other hosts' jobs start and requests are answered; its own jobs wait."""
    base = tmp_path / "sshd"
    for name in ("slow", "slow-down"):
        (base / name).touch()
    w = flow(cloud, far="true")
    w.add_job("here", exec="true")
    run = w.run()
    until(lambda: run.refresh().jobs["here"].state == "done" and log(tmp_path))
    assert log(tmp_path) == ["up"] and run.refresh().jobs["far"].state == "submitted"
    (base / "booted").touch()
    until(lambda: len(log(tmp_path)) == 2)
    run.add_job("again", after="far", exec="true", kind="ssh", host="box")
    run.add_job("meanwhile", after="far", exec="true")
    until(lambda: run.refresh().jobs["meanwhile"].state == "done")
    assert run.refresh().jobs["again"].state == "ready" and log(tmp_path) == ["up", "down 127.0.0.1"]
    (base / "halted").touch()
    assert run.wait().state == "done" and log(tmp_path) == ["up", "down 127.0.0.1"] * 2


def test_killed_while_the_way_is_closed(cloud, tmp_path):
    """SIGKILL of the engine while `after` works: the next one runs it again, and then the run has ended."""
    base = tmp_path / "sshd"
    run = flow(cloud, job="true").run()
    (base / "slow-down").touch()
    until(lambda: len(log(tmp_path)) == 2)
    kill_engine(run)
    (base / "halted").touch()
    assert run.resume().wait().state == "done" and log(tmp_path) == ["up", *["down 127.0.0.1"] * 2]


def test_a_retry_waits_until_an_earlier_engine_s_closing_has_ended(cloud, tmp_path):
    """All killed while `after` works, then a retry: nothing starts on a machine that is being switched off."""
    base, down = tmp_path / "sshd", "down 127.0.0.1"
    (base / "slow-down").touch()
    run = flow(cloud, job="true").run()
    until(lambda: len(log(tmp_path)) == 2)
    engine = psutil.Process(engines(run)[-1])
    for process in (engine, *engine.children(recursive=True)):
        process.kill()
    until(lambda: not run.engine_alive())
    run.retry("job")
    run.add_job("here", exec="true")
    until(lambda: "here" in (jobs := run.refresh().jobs) and jobs["here"].state == "done")
    until(lambda: len(log(tmp_path)) > 2)
    assert run.refresh().jobs["job"].state == "ready" and log(tmp_path) == ["up", down, down]
    (base / "halted").touch()
    assert run.wait().state == "done" and log(tmp_path) == ["up", down, down, "up", down]
    ways = [event.type for event in run.events() if event.type.startswith(("open", "clos"))]
    assert ways == ["opening", "opened", "closing", "closed"] * 2


def test_a_closing_that_outlives_its_engine_ends_before_the_way_is_opened_again(cloud, tmp_path):
    """Only the engine is killed, `after` goes on: a retry waits for it, and the new machine is not the one it stops."""
    base, down = tmp_path / "sshd", "down 127.0.0.1"
    (base / "slow-down").touch()
    run = flow(cloud, job="true").run()
    until(lambda: len(log(tmp_path)) == 2)
    (closing_way,) = psutil.Process(engines(run)[-1]).children()
    kill_engine(run)
    (base / "slow-down").unlink()  # the next `after` would not wait, and `before` come at once
    run.retry("job")
    run.add_job("here", exec="true")
    until(lambda: "here" in (jobs := run.refresh().jobs) and jobs["here"].state == "done")
    for _ in range(3):  # a second for whatever does not wait
        run.add_job(f"more{_}", exec="sleep 0.3", after=f"more{_ - 1}" if _ else "here")
    until(lambda: "more2" in (jobs := run.refresh().jobs) and jobs["more2"].state == "done")
    assert not ended(closing_way.pid) and log(tmp_path) == ["up", down] and run.refresh().jobs["job"].state == "ready"
    (base / "halted").touch()
    assert run.wait().state == "done" and log(tmp_path) == ["up", down, down, "up", down]
    assert ended(closing_way.pid)


@pytest.mark.parametrize("stubborn", [False, True])
def test_a_cancel_ends_a_slow_before(cloud, folder, tmp_path, stubborn):
    """It has ten minutes, but not when nobody waits for it any more; one job of two is still somebody."""
    trap = "trap '' TERM\n" * stubborn
    write(folder, "up.sh", f"#!/bin/sh\n{trap}sleep 300 &\necho $$ $! > {tmp_path}/pids\nwait\nsleep 300\n")
    run = flow(cloud, first="true", second="true").run()
    pids = list(map(int, until((tmp_path / "pids").exists) and until((tmp_path / "pids").read_text).split()))
    processes = [psutil.Process(pid) for pid in pids]
    run.cancel("first")
    run.add_job("here", exec="true")
    until(lambda: "here" in (jobs := run.refresh().jobs) and jobs["here"].state == "done")
    assert all(process.is_running() for process in processes) and run.state != "cancelled"
    assert run.cancel().wait(60).state == "cancelled" and log(tmp_path) == ["down "]
    assert not any(process.is_running() and process.status() != "zombie" for process in processes)


def test_a_way_that_does_not_open_is_told(cloud, folder, tmp_path):
    """The command's last words stand in the run's note, the job waits, and it goes on when the command succeeds."""
    good = (folder / "up.sh").read_text()
    write(folder, "up.sh", "#!/bin/sh\necho no such account\nexit 4\n")
    run = flow(cloud, job="true").run()
    told = until(run.note)
    assert told.startswith("box: not seen yet; before: ") and "exit code 4: no such account" in told
    write(folder, "new.sh", good).chmod(0o755)
    (folder / "new.sh").rename(folder / "up.sh")  # whole: an empty one would succeed, and open nothing
    assert run.wait().state == "done"


def test_without_a_way_a_cancel_ends_the_run(cloud, folder):
    """Where no way was ever open nothing can have begun, so nobody has to be asked there."""
    write(folder, "up.sh", "#!/bin/sh\necho no route >&2; kill -9 $$\n").chmod(0o755)
    run = flow(cloud, a="echo a").run()
    assert "was killed by signal 9: no route" in until(lambda: "before: " in run.note() and run.note())
    assert run.cancel().wait(30).state == "cancelled" and run.status("a")["state"] == "cancelled"


def test_a_machine_that_does_not_stop_is_told(cloud, folder, tmp_path):
    """The run ends, and says that `after` failed: perhaps something costs money."""
    write(folder, "down.sh", "#!/bin/sh\necho quota\nexit 5\n")
    run = flow(cloud, job="true").run().wait()
    assert run.state == "done" and run.note().startswith("box: after: ") and "exit code 5: quota" in run.note()
    os.kill(int((tmp_path / "sshd" / "cloud.pid").read_text()), signal.SIGTERM)
    with pytest.raises(CCError):
        flow(cloud | {"before": 7}, job="true").run()
