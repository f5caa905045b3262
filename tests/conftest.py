"""Fixtures for every test: a store of its own, workflow folders, and `--every` for the sweeps."""

import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

REQUIRE_REAL = bool(os.environ.get("CC_REQUIRE_REAL"))
# `jupyter` is the one of the environment that is tested, also where that is not activated (`make test`)
os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])


def pytest_addoption(parser):
    """`--every=1` visits every point of a sweep."""
    parser.addoption("--every", type=int, default=10, help="visit every N-th point of a sweep")


@pytest.fixture
def every(request):
    """The stride of sweeps."""
    return request.config.getoption("--every")


@pytest.fixture(autouse=True)
def store(tmp_path, monkeypatch):
    """A store of its own for each test."""
    home = tmp_path / "store"
    monkeypatch.setenv("CC_HOME", str(home))
    return home


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty workflow folder that is the current one; `folder.joinpath("w.yaml")` is where the workflow goes."""
    path = tmp_path / "work"
    path.mkdir()
    monkeypatch.chdir(path)
    return path


@pytest.fixture
def cc(folder):
    """Run the command line in the workflow folder, as a user's shell would."""

    def call(*words, **options):
        command = [sys.executable, "-m", "cc_notebook.cli", *map(str, words)]
        return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=110, **options)

    return call


def need(program, found):
    """Skip visibly, or fail where the real parts are required, if a program is missing."""
    if not found and REQUIRE_REAL:
        pytest.fail(f"{program} is required (CC_REQUIRE_REAL) and not there: run tests/setup.sh")
    if not found:
        pytest.skip(f"{program} is not installed: run tests/setup.sh")


def engines(run):
    """The pid of each engine that the run has had."""
    return [int(event.native_id) for event in run.events() if event.type == "engine"]


def kill_engine(run):
    """SIGKILL to the engine that works on the run, if there is one, as soon as it has said who it is; jobs go on."""

    def gone():
        for pid in engines(run)[-1:]:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return engines(run) and not run.engine_alive()

    until(gone)


def until(condition, timeout=20.0):
    """Wait for a condition of another process; fail with what it last said."""
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        if result := condition():
            return result
        time.sleep(0.01)
    raise AssertionError(f"still {condition()!r} after {timeout} s")


def write(folder: Path, name: str, text: str) -> Path:
    """A file in the workflow folder."""
    path = folder / name
    path.write_text(text)
    return path


def ended(pid):
    """True if a process is gone, or a zombie that nobody has waited for yet."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "ZX"
    except OSError:
        return True


@pytest.fixture
def small_disk(tmp_path):
    """A tmpfs of 2 MB, unmounted at the end."""
    path = tmp_path / "small"
    path.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "none", path], capture_output=True, check=False)
    need("mount (as root)", mounted.returncode == 0)
    yield path
    for _ in range(50):
        if subprocess.run(["umount", path], capture_output=True, check=False).returncode == 0:
            return
        time.sleep(0.1)
    raise AssertionError(f"{path} is still in use")


def fill(path):
    """Write until the last byte of the disk is taken."""
    for size in (65536, 128):
        with open(path, "ab", buffering=0) as file, suppress(OSError):
            while file.write(b"x" * size):
                pass
    assert os.statvfs(path).f_bavail == 0


def chromium():
    """The system's Chromium, by its path."""
    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    need("chromium", found)
    return found


@pytest.fixture
def browser():
    """The system's Chromium; for one test only, since its loop would be in the way of others."""
    sync_playwright = pytest.importorskip("playwright.sync_api").sync_playwright
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=chromium(), args=["--no-sandbox", "--disable-gpu"])
        yield started
        started.close()
