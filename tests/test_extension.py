"""The Jupyter server extension: who gets an answer, and that installing the package enables it."""

import json
import os
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

pytest.importorskip("pytest_jupyter", reason="needs the test extra: pip install -e '.[test]'")
from jupyter_server.auth.authorizer import Authorizer
from tornado.httpclient import HTTPClientError

import cc_notebook

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
