"""What can be wrong with another machine: a clear message and the next step, and it goes on once that is mended."""

import os
import shutil
import signal
from collections import Counter
from pathlib import Path

import pytest
from conftest import fill, need, until, write
from sshd import Link, Server, sshd

from cc_notebook import Workflow

NO_HASH = ("sha256sum", "shasum", "openssl", "python3")


def flow(folder, tmp_path, config, **jobs):
    """A workflow whose jobs run on the host `box`."""
    w = Workflow(name="w")
    w._body["hosts"] = {"box": {"ssh_config": str(config), "workdir": str(tmp_path / "remote")}}
    for name, attributes in jobs.items():
        w.add_job(name, **{"kind": "ssh", "host": "box", **attributes})
    return w


def spoil(base, what):
    """Make the client's side or the server's refuse; returns what mends it."""
    path = base / {"unknown": "known", "changed": "known", "refused": "authorized", "nowhere": "client"}[what]
    good = path.read_text()
    other = {
        "unknown": "",
        "changed": f"{good.split()[0]} {(base / 'id.pub').read_text()}",
        "refused": "",
        "nowhere": good.replace("HostName 127.0.0.1", "HostName nowhere.invalid"),
    }[what]
    path.write_text(other)
    return lambda: path.write_text(good)


@pytest.mark.parametrize(
    ("what", "told"),
    [
        ("unknown", "its key is not known: compare its fingerprint"),
        ("changed", "its key has changed (SHA256:"),
        ("refused", "it refuses your key: see ssh-copy-id"),
        ("nowhere", "there is no such host: see its 'address:'"),
    ],
)
def test_a_host_that_does_not_let_us_in(folder, tmp_path, what, told, cc):
    """What is wrong and what to do stand in the run's note, with the host's name; mended, the job runs."""
    with sshd(tmp_path / "sshd") as config:
        mend = spoil(tmp_path / "sshd", what)
        run = flow(folder, tmp_path, config, job={"exec": "true"}).run()
        note = until(run.note)
        assert note.startswith("box: not seen yet; ") and told in note
        assert run.status()["hosts"]["ssh:@box"]["told"] == note
        assert run.refresh().jobs["job"].state == "submitted"
        mend()
        assert run.wait().state == "done" and run.note() == ""


FORCED = {
    "banner": "echo 'Welcome!'; echo; echo 'cc-end'; exec sh -c \"$SSH_ORIGINAL_COMMAND\"",
    "csh": 'exec tcsh -f -c "$SSH_ORIGINAL_COMMAND"',
}


@pytest.mark.parametrize("what", sorted(FORCED))
def test_odd_logins(folder, tmp_path, what):
    """A profile that prints a banner, a csh as login shell: jobs run, and files arrive byte for byte both ways."""
    need("tcsh", shutil.which("tcsh"))
    data = os.urandom(200_000) + b"\ncc-data\n"
    (folder / "data.bin").write_bytes(data)
    with sshd(tmp_path / "sshd", more=f"ForceCommand {FORCED[what]}\n") as config:
        files = {"in": ["data.bin"], "out": ["copy.bin"]}
        run = flow(folder, tmp_path, config, job={"exec": "cp data.bin copy.bin; echo hello", "files": files}).run()
        assert run.wait().state == "done", run.explain("job")
        assert Path("w-runs", run.id, "copy.bin").read_bytes() == data
        assert run.log("job") == "hello\n"


def test_a_host_without_programs(folder, tmp_path):
    """No python, and nothing that makes hashes: each is told as what it is."""
    tools = tmp_path / "tools"
    tools.mkdir()
    for top in ("/bin", "/usr/bin"):
        for path in Path(top).iterdir():
            if path.name not in NO_HASH and not (tools / path.name).exists():
                (tools / path.name).symlink_to(path)
    write(folder, "p.py", "print(1)\n")
    forced = f'PATH={tools} exec sh -c "$SSH_ORIGINAL_COMMAND"'
    with sshd(tmp_path / "sshd", more=f"ForceCommand {forced}\n") as config:
        jobs = {"python": {"script": "p.py"}, "out": {"exec": "echo > made", "files": {"out": ["made"]}}}
        run = flow(folder, tmp_path, config, **jobs).run().wait()
        reasons = {name: status.reason for name, status in run.refresh().jobs.items()}
        assert reasons["python"].startswith("exit code 127 (a program was not found")
        assert reasons["out"] == "there is no sha256sum, shasum or openssl on the host: install one of them"


def test_an_input_that_cannot_be_read_fails_its_own_job_only(folder, tmp_path):
    """The other jobs of the host run, and nobody says that the host cannot be reached."""
    (folder / "odd").symlink_to("/proc/self/mem")
    with sshd(tmp_path / "sshd") as config:
        jobs = {"bad": {"exec": "true", "files": {"in": ["odd"]}}, "good": {"exec": "true"}}
        run = flow(folder, tmp_path, config, **jobs).run().wait()
        assert {name: status.state for name, status in run.refresh().jobs.items()} == {"bad": "failed", "good": "done"}
        assert "odd cannot be read here" in run.refresh().jobs["bad"].reason
        assert not any(event.type == "host" for event in run.events())


def test_cancel_reaches_a_transfer(folder, tmp_path):
    """A job whose input is still on its way is cancelled at once, another job of the host is not held up by it."""
    with open(folder / "huge.bin", "wb") as file:
        file.truncate(1 << 30)
    with sshd(tmp_path / "sshd") as config:
        jobs = {"big": {"exec": "true", "files": {"in": ["huge.bin"]}}, "small": {"exec": "true"}}
        run = flow(folder, tmp_path, config, **jobs).run()
        until(lambda: run.refresh().jobs["small"].state == "done")
        assert run.refresh().jobs["big"].state == "submitted"
        run.cancel("big")
        assert run.wait(timeout=60).state == "cancelled"


def test_half_open_and_restarted(folder, tmp_path):
    """A frozen server is told with its age, a restarted one is found again; the job that ran meanwhile is known."""
    base = tmp_path / "sshd"
    with sshd(base, serve=False) as config:
        server = Server(base)
        server.start()
        try:
            text = f"echo ran >> {tmp_path}/ledger; while [ ! -e {tmp_path}/go ]; do sleep 0.1; done"
            run = flow(folder, tmp_path, config, job={"exec": text}).run()
            until(lambda: run.refresh().jobs["job"].state == "running")
            server.signal(signal.SIGSTOP)
            note = until(run.note, timeout=60)
            assert note.startswith("box: seen ") and "no answer within 30 s" in note
            assert run.refresh().jobs["job"].state == "running"
            server.stop()
            (tmp_path / "go").touch()
            server.start()
            assert run.wait(timeout=60).state == "done" and (tmp_path / "ledger").read_text() == "ran\n"
        finally:
            server.stop()


@pytest.fixture
def link():
    """A link to a network namespace, another computer for the network."""
    made = Link()
    yield made
    made.close()


@pytest.mark.parametrize(("transport", "long"), [("openssh", False), ("openssh", True), ("paramiko", True)])
def test_the_link_is_down(folder, tmp_path, link, transport, long):
    """Cut while one job runs there and another starts, for seconds, or until that is told: each job runs once."""
    with sshd(tmp_path / "sshd", link=link) as config:
        wait = "while [ ! -e {} ]; do sleep 0.1; done"
        texts = {"first": "true", "during": wait.format(tmp_path / "go"), "started": "true", "last": "true"}
        jobs = {name: {"exec": f"echo {name} >> {tmp_path}/ledger; {text}"} for name, text in texts.items()}
        w = flow(folder, tmp_path, config, **jobs, here={"kind": "local", "host": "", "exec": wait.format("cut")})
        w._body["hosts"]["box"]["transport"] = transport
        for edge in ("first, during, last", "here, started, last"):
            w.add_dependencies(edge)
        run = w.run()
        until(lambda: run.refresh().jobs["during"].state == "running")
        link.set("down")
        (folder / "cut").touch()
        until(lambda: run.refresh().jobs["started"].state == "submitted")
        (tmp_path / "go").touch()
        until(lambda: [*(tmp_path / "remote").glob("*/during-*/1/state.exit.0")])
        assert run.refresh().jobs["during"].state == "running"
        if long:
            assert until(run.note, 60).startswith("box: seen ")
        link.set("up")
        assert run.wait(timeout=90).state == "done", run.note()
        assert Counter((tmp_path / "ledger").read_text().split()) == Counter(list(jobs))


def test_the_host_is_restarted(folder, tmp_path, link):
    """All its processes killed at once and another boot: what had no record failed for that, what had is done."""
    base, boot = tmp_path / "sshd", write(tmp_path, "boot", "first\n")
    link.boots(boot)
    with sshd(base, serve=False, link=link) as config:
        server = Server(base, link)
        server.start()
        jobs = {"cut": {"exec": "sleep 600"}, "ended": {"exec": f"until [ -e {tmp_path}/go ]; do sleep 0.1; done"}}
        run = flow(folder, tmp_path, config, **jobs).run()
        until(lambda: all(job.state == "running" for job in run.refresh().jobs.values()))
        link.set("down")
        (tmp_path / "go").touch()
        until(lambda: [*(tmp_path / "remote").glob("*/ended-*/1/state.exit.0")])
        link.kill()
        server.process.wait()
        write(tmp_path, "boot", "second\n")
        link.set("up")
        server.start()
        assert run.wait(timeout=90).state == "failed"
        told = {name: (job.state, job.reason) for name, job in run.refresh().jobs.items()}
        assert told == {"cut": ("failed", "the host was restarted"), "ended": ("done", "")}
        run.retry("cut")
        until(lambda: run.refresh().jobs["cut"].state == "running")
        run.cancel()
        assert run.wait().state == "cancelled"
        server.stop()


def test_what_is_shown_of_a_host_has_its_age(folder, tmp_path, cc):
    """When it last answered is known also of one that can be reached, and told once it is minutes ago."""
    with sshd(tmp_path / "sshd") as config:
        run = flow(folder, tmp_path, config, job={"exec": f"while [ ! -e {tmp_path}/go ]; do sleep 0.1; done"}).run()
        until(lambda: run.refresh().jobs["job"].state == "running")
        assert run.status()["hosts"]["ssh:@box"]["told"].startswith("box: seen ") and run.note() == ""
        engine = next(int(event.native_id) for event in run.events() if event.type == "engine")
        os.kill(engine, signal.SIGSTOP)
        (answer,) = (run.folder / "seen").iterdir()
        os.utime(answer, (0, answer.stat().st_mtime - 250))
        assert run.note() == "box: seen 4 min ago" and "box: seen 4 min ago" in cc("show", run.id).stdout
        os.kill(engine, signal.SIGKILL)
        until(lambda: not run.engine_alive())
        assert run.note() == f"no engine works on it: jupyter cc resume {run.id}; box: seen 4 min ago"
        run.resume()
        until(lambda: run.note() == "")
        (tmp_path / "go").touch()
        assert run.wait().state == "done"


def test_a_host_whose_disk_is_full(folder, tmp_path, small_disk):
    """What does not fit is told with the file and the reason, nothing half stays; with space it goes on by itself."""
    (folder / "data.bin").write_bytes(os.urandom(600_000))
    fill(small_disk / "full")
    with sshd(tmp_path / "sshd") as config:
        w = flow(folder, tmp_path, config, job={"exec": "cksum < data.bin", "files": {"in": ["data.bin"]}})
        w._body["hosts"]["box"]["workdir"] = str(small_disk / "runs")
        run = w.run()
        note = until(run.note)
        assert "data.bin" in note and "No space left on device" in note
        (small_disk / "full").unlink()
        assert run.wait(timeout=60).state == "done"


@pytest.mark.parametrize("small", ["script", "founded"])
def test_a_host_whose_disk_is_full_for_what_is_small(folder, tmp_path, small_disk, small):
    """A script that does not fit, or a run that does not begin there: told with the place, the room, a next step."""
    write(folder, "job.sh", "wc -c < job.sh\n" + "# " * 9000)
    with sshd(tmp_path / "sshd") as config:
        first = f"while [ ! -e {tmp_path}/full ]; do sleep 0.05; done"
        w = flow(folder, tmp_path, config, first={"exec": first}, job={"script": "job.sh", "after": "first"})
        w._body["hosts"]["box"]["workdir"] = str(small_disk / "runs")
        if small == "founded":
            fill(small_disk / "full")
        run = w.run()
        if small == "script":
            until(lambda: run.refresh().jobs["first"].state == "running")
            fill(small_disk / "full")
        (tmp_path / "full").touch()
        note = until(lambda: "no space" in (told := run.note()) and told)
        assert "no space left there: make room, then it goes on, or set 'workdir:' of this host (" in note
        assert next(event.reason for event in run.events() if event.type == "host") in note
        (small_disk / "full").unlink()
        assert run.wait(timeout=20).state == "done" and run.note() == ""
        assert "".join(run.log("job").split()) == str((folder / "job.sh").stat().st_size)
        (there,) = (small_disk / "runs").iterdir()
        pieces = sorted((there / "journal").iterdir())
        whole = "".join(piece.read_text() for piece in pieces)
        assert whole and (run.folder / "events.jsonl").read_text().startswith(whole)


def test_nothing_is_left_of_how_a_large_file_travelled(folder, tmp_path):
    """Its content is kept for the run's other jobs, by its hash; the folder from which the start took it goes."""
    (folder / "data.bin").write_bytes(os.urandom(100_000))
    with sshd(tmp_path / "sshd") as config:
        run = flow(folder, tmp_path, config, job={"exec": "cksum < data.bin", "files": {"in": ["data.bin"]}}).run()
        assert run.wait().state == "done"
        (kept,) = (tmp_path / "remote" / run.id / "inputs").iterdir()
        assert kept.is_file()
