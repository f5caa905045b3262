"""What a transport does of its own, and how it is found: words and paths of Windows, packages of others."""

import os
import subprocess

import pytest
from conftest import write
from wsl import stand_in

from cc_notebook.errors import NotFoundError, UnavailableError
from cc_notebook.hosts import parts
from cc_notebook.hosts.transport import there
from cc_notebook.model import Host
from cc_notebook.transports import wsl

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
    for folder, names in (("transports", ["openssh", "wsl"]), ("queues", ["direct"])):
        for name in names:
            assert parts.part(folder, name).__doc__
    with pytest.raises(NotFoundError, match="did you mean 'openssh'"):
        parts.part("transports", "opensssh")
