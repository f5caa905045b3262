"""What the extension does by itself: it resumes runs when its server starts, and keeps the server while a run works."""

import logging
import os
import subprocess
import sys

import pytest

pytest.importorskip("pytest_jupyter", reason="needs the test extra: pip install -e '.[test]'")
from cc_jupyter import living
from conftest import kill_engine, until
from test_service import Server

from cc_notebook import Workflow, runs, store

LOG = logging.getLogger("living")


@pytest.fixture
def slow(folder):
    """A run whose only job waits for the file `go`, with its engine."""
    flow = Workflow(name="slow")
    flow.add_job("a", exec="while [ ! -e go ]; do sleep 0.05; done")
    return flow.run()


def started(run):
    return until(lambda: run.refresh().jobs["a"].state == "running")


def test_a_server_that_starts_resumes_what_has_lost_its_engine(slow, folder, tmp_path):
    """The run ends well after the server's start, with nobody asking; the job was started once."""
    started(slow)
    kill_engine(slow)
    (tmp_path / "other").mkdir()
    server = Server(tmp_path / "other", store.home())
    try:
        until(lambda: slow.engine_alive())
        (folder / "go").touch()
        assert slow.wait(30).state == "done" and slow.refresh().jobs["a"].attempt == 1
        assert "resuming the run slow-" in server.log.read_text()
    finally:
        server.stop()


def test_what_may_not_be_resumed_stays(slow, folder, monkeypatch, caplog):
    """Not a paused run, not one of another computer, not one whose engines die three times without anything new."""
    started(slow)
    slow.pause()
    kill_engine(slow)
    living.resume(LOG)
    assert not slow.engine_alive()
    slow.resume()
    until(lambda: slow.engine_alive() and not slow.refresh().paused)
    kill_engine(slow)
    with monkeypatch.context() as elsewhere:
        elsewhere.setattr(store, "machine_id", lambda: "another")
        living.resume(LOG)
    assert not slow.engine_alive()
    for _ in range(3):
        living.resume(LOG)
        kill_engine(slow)
    living.resume(LOG)
    assert not slow.engine_alive()
    slow.resume()  # somebody has looked
    (folder / "go").touch()
    assert slow.wait(30).state == "done"
    living.resume(LOG)
    assert not slow.engine_alive() and not caplog.records


def test_a_damaged_run_stands_in_no_way(slow, folder, caplog):
    """What cannot be read is left out; what cannot be resumed is logged, and the next one is."""
    started(slow)
    kill_engine(slow)
    other = runs.home() / "runs" / "damaged-20260101-000000-00000"
    other.mkdir()
    (other / "run.json").write_text("{")
    (slow.folder / "engine.log").unlink()
    (slow.folder / "engine.log").mkdir()
    living.resume(LOG)
    assert "cannot be resumed" in caplog.text and not slow.engine_alive()
    (slow.folder / "engine.log").rmdir()
    living.resume(LOG)
    (folder / "go").touch()
    assert slow.wait(30).state == "done"


def test_only_a_run_that_works_keeps_the_server(slow, folder):
    """A running one does, a paused one while a job of it runs; one that has ended does not."""
    started(slow)
    assert living.works()
    slow.pause()
    assert living.works()
    (folder / "go").touch()
    until(lambda: slow.refresh().jobs["a"].state == "done")
    until(lambda: not living.works())
    slow.resume().wait(30)
    until(lambda: not living.works())


SHORT = """
import sys
from tornado import ioloop
from cc_jupyter import living
from jupyter_server.serverapp import main
real = ioloop.PeriodicCallback
ioloop.PeriodicCallback = lambda call, milliseconds: real(call, milliseconds / 200)  # a minute is 0.3 s
living.PERIOD = 0.1
main()
"""


def test_a_server_that_ends_when_nobody_needs_it_waits_for_a_run(slow, folder, tmp_path):
    """With Jupyter's own time limit for idle servers it lives as long as the run, and no longer."""
    words = [sys.executable, "-c", SHORT, "--no-browser", "--allow-root", "--port=0", "--ServerApp.port_retries=0"]
    words += ["--ServerApp.jpserver_extensions={'cc_jupyter': True}", "--ServerApp.shutdown_no_activity_timeout=1"]
    folders = {f"JUPYTER_{name}_DIR": str(tmp_path / name) for name in ("CONFIG", "RUNTIME", "DATA")}
    environment = os.environ | folders
    with open(tmp_path / "log", "w") as log:
        server = subprocess.Popen(words, env=environment, stdout=log, stderr=log, cwd=tmp_path)
    try:
        until(lambda: "is running at" in (tmp_path / "log").read_text())
        with pytest.raises(subprocess.TimeoutExpired):
            server.wait(4)  # four times its limit
        (folder / "go").touch()
        slow.wait(30)
        server.wait(30)
        assert "shutting down" in (tmp_path / "log").read_text()
    finally:
        server.kill()
