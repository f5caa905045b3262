"""`jupyter cc hosts` against a real sshd: what works there, what does not, and what to do about it."""

import getpass
import json

import pytest
from conftest import until, write
from sshd import sshd
from wsl import stand_in

from cc_notebook import Workflow


def test_a_host_is_checked(folder, tmp_path, store, cc):
    """Each thing that a job needs has its line; the settings come from hosts.yaml or from a workflow."""
    with sshd(tmp_path / "sshd") as config:
        store.mkdir()
        write(store, "hosts.yaml", f"box: {{ssh_config: {config}, workdir: {tmp_path}/remote}}\n")
        done = cc("hosts", "check", "box")
        assert done.returncode == 0, done.stdout + done.stderr
        lines = {line.split()[1]: line[0] for line in done.stdout.splitlines()}
        assert lines | {"papermill": "", "queue": ""} == dict.fromkeys(
            ["reach", "key", "shell", "workdir", "space", "python"], "✓"
        ) | {"papermill": "", "queue": ""}
        assert list(json.loads(cc("hosts", "list", "--json").stdout)) == ["box"]
        write(folder, "j.sh", "echo there > made\n")
        write(folder, "w.yaml", "workflow:\n  nodes: {j: {script: j.sh, kind: ssh, host: box}}\n")
        assert cc("run", "w.yaml").returncode == 0 and list((tmp_path / "remote").glob("*/files/made"))
        write(store, "hosts.yaml", f"box: {{ssh_config: {config}, workdir: /proc/nowhere, python: nopython}}\n")
        told = cc("hosts", "check", "box")
        assert told.returncode == 1 and "✗ workdir    /proc/nowhere: cannot be written" in told.stdout
        assert "– python     nopython is not there" in told.stdout
        assert cc("hosts", "login", "box").stdout == "box: connected\n"


def test_a_check_finds_what_a_job_would(folder, tmp_path, store, cc):
    """`setup` and the environment come first; a refused key, a failed `setup`, a missing `before` have their lines."""
    store.mkdir()
    base, env = tmp_path / "sshd", tmp_path / "an env"
    (env / "bin").mkdir(parents=True)
    with sshd(base) as config:

        def check(settings, code):
            write(store, "hosts.yaml", HOST.format(config=config, base=tmp_path, settings=settings))
            done = cc("hosts", "check", "box")
            assert done.returncode == code, done.stdout + done.stderr
            return {line.split()[1]: (line[0], line[13:]) for line in done.stdout.splitlines()}

        for name, words in (
            ("known", ("is not known", "is unknown")),
            ("authorized", ("it refuses", "permission den")),
        ):
            kept = (base / name).read_text()
            (base / name).write_text("")
            for transport, told in zip(("openssh", "paramiko"), words, strict=True):
                found = check(f"transport: {transport}", 1)
                assert list(found) == ["reach", "key"] and found["key"][0] == "✗" and told in found["key"][1]
            (base / name).write_text(kept)
        good = f"setup: 'cat; echo python no; export V=3.77', venv: {env}"
        found = check(good, 1)
        assert found["setup"] == ("✓", "ran") and found["venv"][0] == "✗"
        assert f"{env} has no python: make it there" in found["venv"][1]
        write(env / "bin", "python", "#!/bin/sh\necho Python $V\n").chmod(0o755)
        write(env / "bin", "python3", "#!/bin/sh\necho papermill 7.7\n").chmod(0o755)
        found = check(f"{good}, before: [open.sh, x], after: 'true'", 1)
        assert (found["venv"], found["python"]) == (("✓", str(env)), ("✓", "Python 3.77"))
        assert found["papermill"] == ("✓", "7.7") and found["after"][0] == "✓"
        assert found["before"][0] == "✗" and f"open.sh is no program in {folder}" in found["before"][1]
        write(folder, "open.sh", "#!/bin/sh\n").chmod(0o755)
        assert check(f"{good}, before: [open.sh, x]", 0)["before"] == (
            "✓",
            f"{folder}/open.sh; a check does not run it",
        )
        for setup, told in (("modul load gcc", "modul: not found"), ("if", "yntax error"), ("exit 3", "mend")):
            found = check(f"setup: '{setup}'", 1)
            assert found["setup"][0] == "✗" and told in found["setup"][1] and "mend 'setup:'" in found["setup"][1]
            assert found["reach"][0] == "✓" and "python" not in found


HOST = "box: {{ssh_config: {config}, workdir: {base}/there, {settings}}}\n"


def test_a_host_is_set_up(folder, tmp_path, store, cc):
    """`setup` and the host's `venv` come before each job there; a `setup` that fails fails the job, and says so."""
    store.mkdir()
    for venv in ("there-env", "own-env"):
        (tmp_path / venv / "bin").mkdir(parents=True)
    with sshd(tmp_path / "sshd") as config:
        setup = f"""setup: "module() {{ export LOADED=$2; }}\\nmodule load gcc", venv: {tmp_path}/there-env"""
        write(store, "hosts.yaml", HOST.format(config=config, base=tmp_path, settings=setup))
        nodes = f"a: {{exec: 'echo $LOADED $VIRTUAL_ENV'}}, b: {{exec: 'echo $VIRTUAL_ENV', venv: {tmp_path}/own-env}}"
        write(folder, "w.yaml", f"workflow: {{nodes: {{{nodes.replace('exec', 'kind: ssh, host: box, exec')}}}}}\n")
        assert cc("run", "w.yaml").returncode == 0
        assert cc("logs", "last", "a").stdout == f"gcc {tmp_path}/there-env\n"
        assert cc("logs", "last", "b").stdout == f"{tmp_path}/own-env\n"
        write(store, "hosts.yaml", HOST.format(config=config, base=tmp_path, settings="setup: 'true; false'"))
        assert cc("run", "w.yaml", "--new").returncode == 1
        assert cc("logs", "last", "a").stdout == "the host's 'setup' failed\n"


def test_this_computer_is_set_up(folder, cc):
    """`local` among the hosts stands for this computer, and its `setup` comes before each job here."""
    hosts, nodes = "hosts: {local: {setup: 'export LOADED=gcc'}}", "nodes: {a: {exec: 'echo $LOADED'}}"
    write(folder, "w.yaml", f"workflow: {{{hosts}, {nodes}}}\n")
    assert cc("run", "w.yaml").returncode == 0 and cc("logs", "last", "a").stdout == "gcc\n"
    assert cc("hosts", "list").stdout.startswith("local  setup=export LOADED=gcc")
    write(folder, "w.yaml", "workflow: 7\n")
    assert cc("hosts", "list").stdout.startswith("none; ") and cc("hosts", "list", "--file", "w").returncode == 2


def test_a_shared_folder_is_used_in_place(folder, tmp_path, store, cc):
    """Of a host with the same files nothing travels: jobs there and here work in the workflow's own folder."""
    store.mkdir()
    with sshd(tmp_path / "sshd") as config:
        write(store, "hosts.yaml", HOST.format(config=config, base=tmp_path, settings="shared: true"))
        files = "files: {in: [in.txt], out: [out.txt]}"
        nodes = f"a: {{script: a.sh, kind: ssh, host: box, {files}}}, b: {{exec: cat out.txt, after: a}}"
        write(folder, "w.yaml", f"workflow: {{nodes: {{{nodes}}}}}\n")
        write(folder, "a.sh", "tr a-z A-Z < in.txt > out.txt\npwd\n")
        write(folder, "in.txt", "hello\n")
        done = cc("run", "w.yaml")
        assert done.returncode == 0, done.stdout + done.stderr
        assert cc("logs", "last", "b").stdout == "HELLO\n" and cc("logs", "last", "a").stdout == f"{folder}\n"
        assert not list((tmp_path / "there").rglob("in.txt")) and not list(folder.glob("w-runs/*/out.txt"))


@pytest.mark.parametrize("name", ["me@corp@box", "ü" * 70, "a:b/../c"])
def test_a_host_of_any_name(folder, tmp_path, cc, name):
    """Whatever its name is: the run tells it by that, and knows when it answered."""
    with sshd(tmp_path / "sshd") as config:
        host = {"ssh_config": str(config), "address": "box", "workdir": f"{tmp_path}/remote"}
        node = {"exec": "true", "kind": "ssh", "host": name, "user": getpass.getuser()}
        write(folder, "w.yaml", json.dumps({"workflow": {"hosts": {name: host}, "nodes": {"a": node}}}))
        done = cc("run", "w.yaml")
        assert done.returncode == 0, done.stdout + done.stderr
        (known,) = json.loads(cc("show", "last", "--json").stdout)["hosts"].values()
        assert known["seen"] and known["told"].startswith(f"{name}: seen ")
        nodes = {"a": node | {"user": "no@body"}}
        write(folder, "w.yaml", json.dumps({"workflow": {"hosts": {name: host}, "nodes": nodes}}))
        run = Workflow("w.yaml").run()
        assert until(run.note).startswith(f"{name}: not seen yet; ")
        run.cancel()


def test_a_host_that_cannot_be_reached(folder, store, cc):
    """What ssh said, and the next step; a mistake in hosts.yaml has its line."""
    store.mkdir()
    write(store, "hosts.yaml", "box: {address: 127.0.0.1, port: 9}\n")
    done = cc("hosts", "check", "box")
    assert done.returncode == 1 and done.stdout.startswith("✗ reach") and "try: ssh box" in done.stdout
    write(store, "hosts.yaml", "box: {adress: x}\n")
    assert "hosts.yaml:1:7: box.adress" in cc("hosts", "list").stderr


@pytest.mark.parametrize("transport", ["paramiko", "wsl"])
def test_a_host_is_checked_by_its_transport(transport, tmp_path, store, cc, monkeypatch):
    """`transport` counts for the check too; to log in by hand is for openssh alone."""
    monkeypatch.setenv("PATH", str(stand_in(tmp_path / "windows")), prepend=":")
    with sshd(tmp_path / "sshd") as config:
        store.mkdir()
        write(
            store, "hosts.yaml", f"box: {{ssh_config: {config}, workdir: {tmp_path}/there, transport: {transport}}}\n"
        )
        done = cc("hosts", "check", "box")
        assert done.returncode == 0 and f"✓ reach      answers, by {transport}" in done.stdout, done.stdout
        done = cc("hosts", "login", "box")
        assert done.returncode == 2 and f"'transport: {transport}' does not log in by hand" in done.stderr
        write(store, "hosts.yaml", "box: {transport: opnessh}\n")
        assert "there is no transport 'opnessh'; did you mean 'openssh'?" in cc("hosts", "check", "box").stderr
