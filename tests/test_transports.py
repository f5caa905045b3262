"""What a transport does of its own, on real parts: keys, configuration, cut lines, words of Windows."""

import os
import shutil
import signal
import subprocess
from concurrent.futures import ThreadPoolExecutor

import psutil
import pytest
from conftest import until, write
from sshd import sshd
from wsl import stand_in

from cc_notebook.errors import NotFoundError, UnavailableError
from cc_notebook.hosts import parts
from cc_notebook.hosts.transport import there
from cc_notebook.model import Host
from cc_notebook.transports import paramiko, wsl

KEYGEN = ["ssh-keygen", "-q", "-t", "ed25519"]


@pytest.fixture
def server(tmp_path):
    """A real sshd; its folder has keys, `client` and `known`."""
    with sshd(tmp_path / "sshd"):
        yield tmp_path / "sshd"


@pytest.fixture
def connect(server):
    """Lines by paramiko to hosts of the server's configuration, closed at the end."""
    made = []

    def line(name="box", **settings):
        for old in made:
            old.close()
        made.append(paramiko.connect(name, "", Host(ssh_config=str(server / "client"), **settings)))
        return made[-1]

    yield line
    for line in made:
        line.close()


def fingerprint(path):
    """The fingerprint of a public key, as ssh-keygen shows it."""
    return subprocess.check_output(["ssh-keygen", "-lf", path], text=True).split()[1]


def sessions(server):
    """The connections that the server has open."""
    return psutil.Process(int((server / "pid").read_text())).children(recursive=True)


def config(server, text):
    """Put something before the server's client configuration."""
    write(server, "client", text + (server / "client").read_text())


# ---- paramiko: who is there -----------------------------------------------------------------------------------------


def test_an_unknown_host_is_refused_with_its_fingerprint(server, connect):
    """Nothing is said to a machine whose key nobody has accepted."""
    write(server, "known", "")
    with pytest.raises(UnavailableError, match="host key is unknown") as told:
        connect().run(":\n", 30)
    assert fingerprint(server / "host.pub") in str(told.value)


def test_a_changed_host_key_is_refused_with_its_fingerprint(server, connect):
    """A machine that has become another one is refused, and the next step is told."""
    where = (server / "known").read_text().split()[0]
    write(server, "known", f"{where} {(server / 'id.pub').read_text()}")
    with pytest.raises(UnavailableError, match="host key has changed") as told:
        connect().run(":\n", 30)
    assert fingerprint(server / "host.pub") in str(told.value)
    assert f"ssh-keygen -R '{where}'" in str(told.value)


def test_one_of_several_known_keys_is_enough(server, connect):
    """Login nodes that share a name have a line each, perhaps of another sort; hashed names count like plain ones."""
    known = (server / "known").read_text()
    where = known.split()[0]
    for kind in ("rsa", "ed25519"):
        subprocess.run(["ssh-keygen", "-q", "-t", kind, "-N", "", "-f", server / kind], check=True)
    others = "".join(f"{where} {(server / f'{kind}.pub').read_text()}" for kind in ("rsa", "ed25519"))
    write(server, "known", f"# nodes\n@cert-authority *.edu {others.split(' ', 1)[1]}{others}{known}")
    subprocess.run(["ssh-keygen", "-q", "-H", "-f", server / "known"], check=True, capture_output=True)
    hashed = (server / "known").read_text()
    assert where not in hashed
    write(server, "known", f"nonsense\n{where} ssh-ed25519 nonsense\n{hashed}")
    assert connect().run("echo in\n", 30).out == "in\n"


def test_a_revoked_host_key_is_refused(server, connect):
    """A key that is marked as revoked is not good, also if another line knows it."""
    known = (server / "known").read_text()
    write(server, "known", known + f"@revoked * {known.split(' ', 1)[1]}")
    with pytest.raises(UnavailableError, match="revoked"):
        connect().run(":\n", 30)


def test_a_host_that_takes_no_key_says_so(server, connect):
    """The keys are not those that the machine knows: the next step is told."""
    write(server, "authorized", "")
    with pytest.raises(UnavailableError, match=r"permission denied for .*ssh-copy-id box"):
        connect().run(":\n", 30)


# ---- paramiko: the user's configuration -----------------------------------------------------------------------------


def test_a_locked_key_is_used_by_the_agent(server, connect, monkeypatch, tmp_path):
    """`IdentitiesOnly` with a key that has a passphrase, which the agent holds: that key, and no other."""
    agent = subprocess.Popen(["ssh-agent", "-D", "-a", tmp_path / "agent"], stdout=subprocess.DEVNULL)
    try:
        until((tmp_path / "agent").exists)
        monkeypatch.setenv("SSH_AUTH_SOCK", str(tmp_path / "agent"))
        subprocess.run(["ssh-add", "-q", server / "id"], check=True)
        subprocess.run(["ssh-keygen", "-q", "-p", "-N", "secret", "-f", server / "id"], check=True)
        assert connect().run("echo in\n", 30).out == "in\n"
        subprocess.run([*KEYGEN, "-N", "", "-f", server / "other"], check=True)
        text = (server / "client").read_text()
        write(server, "client", text.replace(f"{server}/id\n", f"{server}/other\n"))
        with pytest.raises(UnavailableError, match="permission denied"):
            connect().run(":\n", 30)
        config(server, "Host box\n  IdentitiesOnly no\n")
        assert connect().run("echo in\n", 30).out == "in\n"
    finally:
        agent.terminate()
        agent.wait()


@pytest.mark.parametrize(
    "way",
    [
        "ProxyJump box",
        "ProxyJump supercomputer-a,box",
        "ProxyCommand ssh -F {client} -W %h:%p box 2> /dev/null",
        "HostKeyAlias known-so",
    ],
)
def test_ways_to_a_host(server, connect, way):
    """Jumps over one or two hosts, a command of the user's own with its redirection, and another name for the key."""
    own = (server / "client").read_text().replace("Host box supercomputer-a", "Host far")
    config(server, f"Host far\n  {way.format(client=server / 'client')}\n{own}")
    write(server, "known", (server / "known").read_text() + f"known-so {(server / 'host.pub').read_text()}")
    line = connect("far")
    assert line.run("echo there\n", 30).out == "there\n"
    line.close()
    until(lambda: not living_children("ssh", "sh"))


def living_children(*names):
    """The processes of these names that this one has started."""
    return [child for child in psutil.Process().children() if child.name() in names and child.status() != "zombie"]


def test_match_and_include_count(server, connect):
    """What `ssh -G` resolves is used: an included file, and a `Match` that runs a command."""
    text = (server / "client").read_text().replace("Host box supercomputer-a", "Match originalhost odd exec true")
    write(server, "more", text)
    write(server, "client", f"Include {server}/more\n")
    assert connect("odd").run("echo there\n", 30).out == "there\n"


def test_without_the_ssh_program(server, connect, monkeypatch, tmp_path):
    """Where no ssh is installed, paramiko reads the configuration itself."""
    (tmp_path / "empty").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))
    write(server, "client", (server / "client").read_text())
    assert connect(address="box").run("echo there\n", 30).out == "there\n"
    assert not shutil.which("ssh")


# ---- paramiko: one connection, and its end --------------------------------------------------------------------------


def test_one_connection_for_everything(server, connect):
    """Calls one after the other use one connection; it is closed by `close`, and when nobody uses it."""
    line = connect()
    for _ in range(5):
        line.run(":\n", 30)
    assert len(sessions(server)) == 1
    line.close()
    until(lambda: not sessions(server))
    assert paramiko.connect("box", "", Host()) is paramiko.connect("box", "", Host())


def test_an_idle_connection_is_closed(server, connect, monkeypatch):
    """A connection that nobody uses for a while does not stay."""
    monkeypatch.setattr(paramiko, "KEEP", 2.0)
    connect().run(":\n", 30)
    until(lambda: not sessions(server))


def test_a_silent_machine_is_given_up(server, connect, monkeypatch):
    """Half-open: the machine takes what is sent and says nothing. Asked in vain it is given up; later all is well."""
    monkeypatch.setattr(paramiko, "PING", 1.0)
    line, stopped = connect(), []
    with open("/dev/zero", "rb") as endless, ThreadPoolExecutor() as pool:
        call = pool.submit(line.put, f"touch {server}/up; cat > /dev/null", endless, 3600)
        until((server / "up").exists)
        for process in sessions(server):
            process.send_signal(signal.SIGSTOP)
            stopped.append(process)
        with pytest.raises(UnavailableError, match="no answer within 1 s"):
            call.result()
    assert line.run("echo again\n", 30).out == "again\n"
    for process in stopped:
        process.send_signal(signal.SIGCONT)


def test_a_connection_that_fell_silent_is_replaced(server, connect, monkeypatch):
    """After a journey the old connection says nothing: the next call opens another one by itself."""
    monkeypatch.setattr(paramiko, "PING", 1.0)
    line = connect()
    line.run(":\n", 30)
    stopped = sessions(server)
    for process in stopped:
        process.send_signal(signal.SIGSTOP)
    assert line.run("echo again\n", 30).out == "again\n"
    for process in stopped:
        process.send_signal(signal.SIGCONT)


def test_a_host_that_allows_one_session(tmp_path):
    """`MaxSessions 1`: a second call is told to wait, and does no harm to the first."""
    with sshd(tmp_path / "sshd", "MaxSessions 1") as config, ThreadPoolExecutor() as pool:
        line = paramiko.connect("box", "", Host(ssh_config=str(config)))
        call = pool.submit(line.run, f"touch {tmp_path}/up; while [ ! -e {tmp_path}/go ]; do sleep 0.1; done\n", 30)
        until((tmp_path / "up").exists)
        with pytest.raises(UnavailableError, match="opens no other session"):
            line.run(":\n", 30)
        (tmp_path / "go").touch()
        assert call.result().code == 0
        line.close()


def test_a_dead_connection_is_replaced(server, connect):
    """The server's session was killed while nobody used it: the next call opens another, and runs once."""
    line = connect()
    line.run(":\n", 30)
    for process in sessions(server):
        process.kill()
    until(lambda: not sessions(server))
    assert line.run(f"echo ran >> {server}/ledger\n", 30).code == 0
    assert (server / "ledger").read_text() == "ran\n"


def test_cut_while_it_runs(server, connect):
    """Whether a script ran is not known when its connection was killed: an error, never half an answer."""
    line = connect()
    text = f"echo half; touch {server}/up; sleep 60\n"
    with ThreadPoolExecutor() as pool:
        call = pool.submit(line.run, text, 30)
        until((server / "up").exists)
        for process in sessions(server):
            process.kill()
        with pytest.raises(UnavailableError, match="cut"):
            call.result()


# ---- WSL ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def windows(tmp_path, monkeypatch):
    """A stand-in for wsl.exe on PATH; drive C: is the folder `drive` in it."""
    monkeypatch.setenv("PATH", str(stand_in(tmp_path / "windows")), prepend=":")
    return tmp_path / "windows"


def test_words_of_windows_are_understood(windows):
    """wsl.exe tells its own troubles in UTF-16 and on the standard output: they are an error, with the next step."""
    with pytest.raises(UnavailableError, match=r"no distribution with the supplied name.*wsl.exe --list"):
        wsl.connect("nowhere", "", Host()).run(":\n", 30)
    done = subprocess.run(["wsl.exe", "--list"], capture_output=True, check=True)
    assert "Ubuntu-24.04  Running" in wsl.decode(done.stdout)
    assert wsl.connect("", "me", Host()).run('echo "$USER in $PWD"\n', 30).out == "me in /\n"


def test_a_workflow_runs_in_wsl(windows, folder, cc):
    """`kind: wsl`: `host` is a distribution, a working directory of Windows is translated there, files come back."""
    write(folder, "make.sh", "echo data > made.txt; cat big.bin > copy.bin; echo '# cloudmesh progress=50 a=1'\n")
    (folder / "big.bin").write_bytes(bytes(range(256)) * 1000)
    write(
        folder,
        "w.yaml",
        """\
workflow:
  hosts: {box: {workdir: 'C:\\Users\\me\\my runs'}}
  nodes:
    make: {script: make.sh, kind: wsl, host: box, files: {in: [big.bin], out: [made.txt, copy.bin]}}
    use: {exec: 'cat made.txt', kind: wsl, host: box, after: make}
""",
    )
    done = cc("run", "w.yaml")
    assert done.returncode == 0, done.stdout + done.stderr
    assert cc("logs", "last", "use").stdout == "data\n"
    assert (next(folder.glob("w-runs/*/copy.bin"))).read_bytes() == (folder / "big.bin").read_bytes()
    assert list((windows / "drive" / "Users" / "me" / "my runs").glob("*/files/made.txt"))


def test_without_wsl_nothing_starts(folder, cc):
    """A job for WSL where there is no wsl.exe is refused before anything starts."""
    write(folder, "w.yaml", "workflow:\n  nodes:\n    a: {exec: 'true', kind: wsl, host: Ubuntu}\n")
    done = cc("run", "w.yaml")
    assert done.returncode == 2 and "Ubuntu: wsl.exe is not there" in done.stderr and "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("path", "seen"),
    [
        (r"C:\Users\a b", "/mnt/c/Users/a b"),
        ("d:/x", "/mnt/d/x"),
        (r"\\wsl.localhost\Ubuntu\home\me", "/home/me"),
        (r"\\wsl$\Ubuntu\home\me", "/home/me"),
        ("/data/it's", "/data/it's"),
        ("~/x y", f"{os.environ.get('HOME')}/x y"),
    ],
)
def test_paths_of_windows(path, seen):
    """A path of Windows becomes what WSL usually calls it, where wslpath is not there to say."""
    assert subprocess.check_output(["sh", "-c", f"printf %s {there(path)}"], text=True) == seen


# ---- found by name --------------------------------------------------------------------------------------------------


def test_parts_of_other_packages(folder, tmp_path, cc, monkeypatch):
    """A transport and a queue of an installed package are found by their entry points and used by their names."""
    site = tmp_path / "site"
    (site / "tiny-1.dist-info").mkdir(parents=True)
    write(site / "tiny-1.dist-info", "METADATA", "Metadata-Version: 2.1\nName: tiny\nVersion: 1\n")
    points = "[cc_notebook.transports]\ntiny = tiny_line\n[cc_notebook.queues]\nmarked = tiny_queue\n"
    write(site / "tiny-1.dist-info", "entry_points.txt", points)
    write(
        site,
        "tiny_line.py",
        "from cc_notebook.hosts.transport import program\n\n"
        "def connect(name, user, host):\n    return program(['env', f'REACHED={name}', 'sh'])\n",
    )
    write(
        site,
        "tiny_queue.py",
        "from cc_notebook.queues import direct\n\n"
        "def submit(token):\n    return 'export MARK=marked\\n' + direct.submit(token)\n",
    )
    monkeypatch.setenv("PYTHONPATH", str(site), prepend=os.pathsep)
    text = f"""\
workflow:
  hosts: {{odd: {{transport: tiny, queue: marked, workdir: {tmp_path}/odd}}}}
  nodes: {{j: {{exec: 'echo "$REACHED $MARK"', kind: ssh, host: odd}}}}
"""
    write(folder, "w.yaml", text)
    done = cc("run", "w.yaml")
    assert done.returncode == 0, done.stdout + done.stderr
    assert cc("logs", "last", "j").stdout == "odd marked\n"
    write(folder, "w.yaml", text.replace("transport: tiny", "transport: tini"))
    done = cc("run", "w.yaml")
    assert done.returncode == 2 and "there is no transport 'tini'; did you mean 'tiny'?" in done.stderr


def test_every_part_is_there():
    """The files of the folders are what a host's settings may name."""
    for folder, names in (("transports", ["openssh", "paramiko", "wsl"]), ("queues", ["direct"])):
        for name in names:
            assert parts.part(folder, name).__doc__
    with pytest.raises(NotFoundError, match="did you mean 'openssh'"):
        parts.part("transports", "opensssh")
