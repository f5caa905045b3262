"""The Jupyter server extension: who gets an answer, and that installing the package enables it."""

import asyncio
import json
import os
import socket
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

pytest.importorskip("pytest_jupyter", reason="needs the test extra: pip install -e '.[test]'")
import cc_jupyter
from jupyter_server.auth.authorizer import Authorizer
from sshd import listens
from tornado.httpclient import HTTPClientError

import cc_notebook
from cc_notebook import Workflow

pytest_plugins = ["pytest_jupyter.jupyter_server"]

ROOT = Path(__file__).parent.parent


class OnlyContents(Authorizer):
    """Lets everybody do everything with notebooks and files, and nothing with this extension."""

    def is_authorized(self, handler, user, action, resource):
        return (action, resource) != ("read", "cc_jupyter")


@pytest.fixture
def jp_server_config():
    return {"ServerApp": {"jpserver_extensions": {"cc_jupyter": True}}}


async def test_the_extension_tells_its_version(jp_fetch):
    """With the server's token the route below the base URL answers as JSON."""
    answer = await jp_fetch("cc", "api", "version")
    assert answer.code == 200
    assert answer.headers["Content-Type"].startswith("application/json")
    assert json.loads(answer.body) == {"version": cc_notebook.__version__}


async def test_a_stranger_is_refused(jp_fetch):
    """Without a token the answer is 403 as JSON, not the login page."""
    with pytest.raises(HTTPClientError) as refused:
        await jp_fetch("cc", "api", "version", headers={"Authorization": ""})
    assert refused.value.code == 403
    assert "message" in json.loads(refused.value.response.body)


async def test_the_servers_authorizer_decides(jp_serverapp, jp_fetch):
    """A known user whom the authorizer refuses the resource `cc_jupyter` gets 403, and still has the rest."""
    jp_serverapp.web_app.settings["authorizer"] = OnlyContents(parent=jp_serverapp)
    assert (await jp_fetch("api", "contents")).code == 200
    with pytest.raises(HTTPClientError) as refused:
        await jp_fetch("cc", "api", "version")
    assert refused.value.code == 403


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel as a user gets it, built from these sources."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--wheel-dir", str(folder), str(ROOT)]
    built = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=110)
    if built.returncode and "hatchling" in built.stderr and not os.environ.get("CC_REQUIRE_REAL"):
        pytest.skip("the wheel cannot be built: pip finds no hatchling")
    assert built.returncode == 0, built.stderr
    return next(folder.glob("*.whl"))


def test_the_wheel_holds_everything(wheel):
    """Both packages with their scripts and the license are in the wheel; tests and caches are not."""
    names = zipfile.ZipFile(wheel).namelist()
    sources = [*(ROOT / "cc_notebook").rglob("*"), *(ROOT / "jupyter_extension" / "cc_jupyter").rglob("*")]
    for source in sources:
        if source.is_file() and not any(part.startswith((".", "__pycache__")) for part in source.parts):
            start = ROOT / "jupyter_extension" if "cc_jupyter" in source.parts else ROOT
            assert source.relative_to(start).as_posix() in names
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert {name.split("/")[0].split("-")[0] for name in names} == {"cc_notebook", "cc_jupyter"}


def test_installing_the_wheel_enables_the_extension(wheel, tmp_path):
    """Jupyter lists the extension as enabled, and can load it, in an environment into which pip put the wheel."""
    python, libraries = tmp_path / "bin" / "python", Path(sysconfig.get_path("purelib", vars={"base": str(tmp_path)}))
    run(sys.executable, "-m", "venv", "--without-pip", tmp_path)
    run(sys.executable, "-m", "pip", "--python", python, "install", "-q", "--no-deps", wheel)
    dependencies = sysconfig.get_path("purelib")  # they come from here; what is installed here as editable does not
    (libraries / "dependencies.pth").write_text(dependencies)

    listed = run(python, "-m", "jupyter_server.extension.serverextension", "list").splitlines()
    told = [line for line in listed if line.split()[:1] == ["cc_jupyter"]]
    assert len(told) == 2 and "enabled" in told[0] and "OK" in told[1], listed


def run(*words):
    """Run a program outside the sources; its output, if it succeeds."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    options = {"capture_output": True, "text": True, "stdin": subprocess.DEVNULL, "timeout": 110}
    ended = subprocess.run([str(word) for word in words], cwd="/", env=environment, **options)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout + ended.stderr


BOARD = """
workflow:
  nodes:
    board: {exec: 'exec PYTHON -m http.server --bind 127.0.0.1 "$PORT"', env: {PORT: "{port}"}, port: NUMBER}
"""


async def test_a_job_that_serves_http_is_reached_through_the_server(jp_serverapp, jp_fetch, folder):
    """With jupyter-server-proxy and the server's login, as long as the job runs; it ends with its run."""
    proxy = pytest.importorskip("jupyter_server_proxy")
    proxy._load_jupyter_server_extension(jp_serverapp)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    text = BOARD.replace("PYTHON", sys.executable).replace("NUMBER", str(port))
    (folder / "board.yaml").write_text(text)
    (folder / "index.html").write_text("hello from the job")
    run = await asyncio.to_thread(lambda: Workflow("board.yaml").run())
    told = {}
    while "serves" not in told or not listens(port):
        told = json.loads((await jp_fetch("cc", "api", "runs", run.id, "jobs", "board")).body)
    assert told["serves"] == f"proxy/{port}/"
    assert (await jp_fetch("proxy", str(port), "/")).body == b"hello from the job"
    with pytest.raises(HTTPClientError) as refused:
        await jp_fetch("proxy", str(port), "/", headers={"Authorization": ""}, follow_redirects=False)
    assert refused.value.code in (302, 403)
    await asyncio.to_thread(lambda: run.cancel().wait(30))
    assert not listens(port) and "serves" not in run.status("board")


def test_the_launcher_of_jupyterlab_has_a_tile(wheel):
    """jupyter-server-proxy finds it in the installed package, and takes it; it points at our page."""
    config = pytest.importorskip("jupyter_server_proxy.config")
    entries = next(name for name in zipfile.ZipFile(wheel).namelist() if name.endswith("entry_points.txt"))
    assert (
        "[jupyter_serverproxy_servers]\ncc-notebook = cc_jupyter:launcher"
        in zipfile.ZipFile(wheel).read(entries).decode()
    )
    tile = config.ServerProcess(name="cc-notebook", **cc_jupyter.launcher()).launcher_entry
    assert tile.enabled and tile.path_info == "cc/"
