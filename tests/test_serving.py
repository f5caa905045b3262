"""`jupyter cc start`, `stop`, `status`, `view`, and the article's Figure 12 on the service that they start."""

import json
import os
import random
import shutil
import socket
import ssl
import stat
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

pytest.importorskip("jupyter_server", reason="needs the extra: pip install -e '.[server]'")
import requests
from conftest import chromium, until
from sshd import listens, sshd
from test_house import EXAMPLE, README

from cc_notebook import Workflow, client, serving

FOUND = """import sys; from cc_notebook.client import RESTWorkflow
assert RESTWorkflow().list_workflows() == [] and "jupyter_server" not in sys.modules"""
SCRIPT = '#!/bin/sh\nprintf \'%s\' "$1" > "$OPENED"\n'


def free_port():
    """A port at which nobody listens, and which no connection to somewhere gets by chance."""
    for port in random.sample(range(20000, 30000), 100):
        with socket.socket() as free, suppress(OSError):
            free.bind(("127.0.0.1", port))
            return port
    raise AssertionError("no free port")


@pytest.fixture
def service(cc, folder, monkeypatch):
    """The command line with folders of its own for Jupyter, a browser that notes what it is to open, and a port."""
    for name in ("CONFIG", "RUNTIME", "DATA"):
        monkeypatch.setenv(f"JUPYTER_{name}_DIR", str(folder.parent / name))
    (folder.parent / "CONFIG").mkdir()
    (folder.parent / "browser").write_text(SCRIPT)
    (folder.parent / "browser").chmod(0o700)
    monkeypatch.setenv("BROWSER", str(folder.parent / "browser"))
    monkeypatch.setenv("OPENED", str(folder.parent / "opened"))

    def call(*words, code=0):
        done = cc(*words)
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout + done.stderr

    call.port, call.folder = free_port(), folder.parent / "store" / "service"
    yield call
    if serving.running():
        cc("stop")
    assert serving.running() is None


def ask(told, path, token=None):
    """An answer of the service to its owner, or to somebody with another token."""
    token = Path(told["token_file"]).read_text() if token is None else token
    return requests.get(f"{told['url']}{path}", headers={"Authorization": f"token {token}"}, timeout=30)


def test_it_starts_tells_where_it_is_and_stops(service, folder):
    """It answers its owner alone; a second start says where it is; after the stop nobody answers."""
    assert "not running" in service("status", code=1)
    assert json.loads(service("status", "--json", code=1)) == {"running": False}
    assert "not running" in service("stop", code=2) and "not running" in service("view", code=2)
    service("start", "--port", service.port, "--no-browser")
    told = json.loads(service("status", "--json"))
    assert told["running"] and told["url"] == f"http://127.0.0.1:{service.port}" and told["root"] == str(folder)
    assert ask(told, "/cc/api/version").ok and ask(told, "/cc/api/version", "wrong").status_code == 403
    assert requests.get(told["url"], timeout=9).url.startswith(f"{told['url']}/login?next=%2Fcc")
    subprocess.run([sys.executable, "-c", FOUND], check=True, timeout=60)  # a program finds it without loading a server
    assert told["url"] in service("start", "--port", free_port()) and serving.running()["pid"] == told["pid"]
    service("stop")
    with pytest.raises(requests.ConnectionError):
        ask(told, "/cc/api/version")
    assert "not running" in service("stop", code=2)


def test_the_token_is_in_one_file_for_its_owner(service):
    """It is new for each start, and in no command line, log, output or URL; what holds it is for its owner alone."""
    said = service("start", "--port", service.port) + service("status") + service("status", "--json")
    told = serving.running()
    token = Path(told["token_file"]).read_text()
    processes = [path.read_bytes() for path in Path("/proc").glob("[0-9]*/cmdline")]
    assert token not in said + (service.folder / "log").read_text()
    assert not [words for words in processes if token.encode() in words]
    assert {stat.S_IMODE(path.stat().st_mode) for path in service.folder.iterdir()} == {0o600}
    assert stat.S_IMODE(service.folder.stat().st_mode) == 0o700
    service("stop")
    service("start", "--port", service.port, "--no-browser")
    assert Path(told["token_file"]).read_text() != token


def test_view_logs_the_browser_in_without_a_token_in_a_url(service):
    """It opens a file for the owner alone, whose form logs in; the page that it leads to is the service's."""
    service("start", "--port", service.port)
    opened = until(lambda: Path(os.environ["OPENED"]).exists() and Path(os.environ["OPENED"]).read_text())
    page = Path(opened.removeprefix("file://"))
    token = (service.folder / "token").read_text()
    assert opened == page.as_uri() and token not in opened and token in page.read_text()
    pytest.importorskip("playwright.sync_api")
    words = [sys.executable, "-c", BROWSE, chromium(), opened, serving.running()["url"]]
    done = subprocess.run(words, capture_output=True, text=True, timeout=90)
    assert done.returncode == 0, done.stderr
    urls = json.loads(done.stdout)
    assert f"{serving.running()['url']}/cc/" in urls and not [url for url in urls if token in url]


BROWSE = """
import json, sys
from playwright.sync_api import sync_playwright
with sync_playwright() as play:
    browser = play.chromium.launch(executable_path=sys.argv[1], args=["--no-sandbox", "--disable-gpu"])
    page, urls = browser.new_page(), []
    page.on("request", lambda request: urls.append(request.url))
    page.goto(sys.argv[2])
    page.wait_for_url(sys.argv[3] + "/cc**")
    assert page.context.request.get(sys.argv[3] + "/cc/api/version").ok
    print(json.dumps(urls))
"""


def test_what_an_ended_service_has_left_is_not_believed(service):
    """Files that name a living process and a server that listens: nothing is signalled or asked, and a start works."""
    with socket.create_server(("127.0.0.1", 0)) as other, subprocess.Popen(["sleep", "60"]) as stranger:
        try:
            url = f"http://127.0.0.1:{other.getsockname()[1]}"
            left = {"pid": stranger.pid, "url": url, "path": "", "root": "/"}
            (serving.folder() / "service.json").write_text(json.dumps(left))
            (serving.folder() / "token").write_text("old")
            assert "not running" in service("status", code=1) and "not running" in service("stop", code=2)
            assert "not running" in service("workflow", "service", "list", code=2)
            service("start", "--port", service.port, "--no-browser")
            assert serving.running()["pid"] != stranger.pid
            service("stop")
            assert stranger.poll() is None
            other.setblocking(False)
            with pytest.raises(BlockingIOError):
                other.accept()
        finally:
            stranger.kill()


def test_killed_it_can_be_started_again(service):
    """SIGKILL leaves its files, and nothing believes them."""
    service("start", "--port", service.port, "--no-browser")
    os.kill(serving.running()["pid"], 9)
    until(lambda: serving.running() is None)
    service("start", "--port", service.port, "--no-browser")


def test_two_starts_at_once_are_one_service(service, folder):
    """One wins, and both tell where it is."""
    words = [sys.executable, "-m", "cc_notebook.cli", "start", "--no-browser", "--port"]
    both = [
        subprocess.Popen([*words, str(port)], cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        for port in (service.port, free_port())
    ]
    said = [start.communicate(timeout=60)[0] for start in both]
    assert [start.returncode for start in both] == [0, 0]
    assert all(serving.running()["url"] in text for text in said), said


def test_what_keeps_it_from_starting_is_told(service):
    """A port that is taken: one line with the reason and where more is told, exit code 2."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        said = service("start", "--port", taken.getsockname()[1], code=2)
    assert said.startswith("error: the service did not start") and "not available" in said and "log" in said


OPEN = """
from jupyter_server.auth import IdentityProvider
class Open(IdentityProvider):
    auth_enabled = False
c.ServerApp.identity_provider_class = Open
"""


def test_a_public_address_needs_a_login(service, folder):
    """A configuration that lets everybody in is refused there; one that only takes the token away gets a token here."""
    config = folder.parent / "CONFIG" / "jupyter_server_config.py"
    config.write_text(OPEN)
    said = service("start", "--port", service.port, "--host", "0.0.0.0", "--no-browser", code=2)
    assert "asks nobody to log in" in said and serving.running() is None
    config.write_text("c.IdentityProvider.token = ''\nc.ServerApp.token = ''\nc.ServerApp.open_browser = True\n")
    service("start", "--port", service.port, "--host", "0.0.0.0", "--no-browser")
    told = serving.running() | {"url": f"http://127.0.0.1:{service.port}"}
    assert requests.get(f"{told['url']}/cc/api/version", timeout=9).status_code == 403
    assert ask(told, "/cc/api/version").ok
    assert not Path(os.environ["OPENED"]).exists()


def test_c_is_for_a_container(service, folder):
    """`-c` stays in the foreground, listens at every address, and ends with its process."""
    words = [sys.executable, "-m", "cc_notebook.cli", "start", "-c", "--port", str(service.port)]
    with subprocess.Popen(words, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            told = until(lambda: serving.running() or process.poll())
            assert told["pid"] == process.pid
            until(lambda: listens(service.port))
            assert ask(told | {"url": f"http://127.0.0.2:{service.port}"}, "/cc/api/version").ok
        finally:
            process.terminate()
        process.wait(30)
    assert serving.running() is None


def test_stop_leaves_runs_going(service, folder):
    """A run that the service has started ends well without it, and `stop` says that it goes on."""
    go = folder / "go"
    (folder / "slow.yaml").write_text(
        f"workflow: {{nodes: {{a: {{exec: 'while [ ! -e {go} ]; do sleep 0.05; done'}}}}}}"
    )
    service("start", "--port", service.port, "--no-browser")
    rest = client.RESTWorkflow()
    assert rest.url == f"{serving.running()['url']}/cc/api"
    rest.upload_workflow("slow.yaml")
    run = rest.run_workflow("slow")["run"]
    assert "runs that go on: 1" in service("stop")
    go.touch()
    assert Workflow(filename=folder.parent / "store" / "workflows" / "slow" / "slow.yaml").newest().wait(30).id == run
    assert "done" in service("runs")


def test_the_articles_figure_12(service, folder):
    """`workflow service add`, `list` and `run` as they are printed act on the service; a failed run has exit code 1."""
    assert "not running" in service("workflow", "service", "list", code=2)
    (folder / "a.sh").write_text("cat data\n")
    (folder / "data").write_text("hello\n")
    (folder / "flow.yaml").write_text("workflow: {nodes: {a: {script: a.sh, files: {in: [data]}}}}")
    service("start", "--port", service.port, "--no-browser")
    call = ("workflow", "service")
    assert "there are no workflows" in service(*call, "list")
    assert service(*call, "add", "--name=demo", "flow.yaml") == "demo: uploaded\n"
    service(*call, "add", "--name=demo", "--job=b", "exec=true", "after=a", "timeout=10m")
    service(*call, "add", "--name=demo", "--job=b", "timeout=", "retry=1")
    assert service(*call, "list") == "demo\n" and service(*call, "list", "--name=demo") == "a\nb\n"
    assert service(*call, "list", "--name=demo", "--job=b") == "name: b\nexec: true\nafter: a\nretry: 1\n"
    assert "done" in service(*call, "run", "--name=demo")
    service(*call, "add", "--name=demo", "--job=c", "exec=exit 3")
    assert "c failed" in service(*call, "run", "--name=demo", code=1)
    assert "nobody" in service(*call, "run", "--name=nobody", code=2)
    for missing in ("missing.yaml", "missing.zip"):
        assert f"{missing} cannot be read: No such file" in service(*call, "add", "--name=demo", missing, code=2)
    assert "KEY=VALUE" in service(*call, "add", "--name=demo", "--job=d", "exec", code=2)
    assert "did you mean" in service(*call, "list", "--name=demos", code=2)


def test_behind_tls(service, folder):
    """With a certificate in the Jupyter configuration it speaks TLS alone, and the commands know."""
    key, certificate = folder.parent / "key.pem", folder.parent / "certificate.pem"
    words = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    words += ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(certificate)]
    subprocess.run(words, check=True, capture_output=True, timeout=60)
    config = {"ServerApp": {"certfile": str(certificate), "keyfile": str(key)}}
    (folder.parent / "CONFIG" / "jupyter_server_config.json").write_text(json.dumps(config))
    service("start", "--port", service.port, "--no-browser")
    told = serving.running()
    assert told["url"] == f"https://127.0.0.1:{service.port}"
    with socket.create_connection(("127.0.0.1", service.port), 9) as line:
        trusted = ssl.create_default_context(cafile=str(certificate))
        assert trusted.wrap_socket(line, server_hostname="127.0.0.1").version() == "TLSv1.3"
    os.environ["REQUESTS_CA_BUNDLE"] = str(certificate)
    try:
        assert client.RESTWorkflow().list_workflows() == []
    finally:
        del os.environ["REQUESTS_CA_BUNDLE"]
    service("stop")


def test_the_readmes_way_to_a_cloud_machine(service, folder, tmp_path):
    """The README's commands, with a real sshd as the cloud machine: start, tunnel, an answer here, stop."""
    text = next(text for comments, _, text in EXAMPLE.findall(README) if "cloud" in comments)
    commands = [line.removeprefix("$ ").partition("     ")[0] for line in text.splitlines()]
    outer, kept = (
        free_port(),
        ("CC_HOME", "PYTHONPATH", "JUPYTER_CONFIG_DIR", "JUPYTER_RUNTIME_DIR", "JUPYTER_DATA_DIR"),
    )
    there = "; ".join(f"export {key}='{os.environ[key]}'" for key in kept if key in os.environ)
    with sshd(tmp_path / "sshd") as config:
        config.write_text(config.read_text().replace("Host box", "Host cloud"))
        tools = tmp_path / "tools"
        tools.mkdir()
        (tools / "jupyter").write_text(f'#!/bin/sh\nshift\nexec {sys.executable} -m cc_notebook.cli "$@"\n')
        line = f"cd {folder}; PATH={tools}:$PATH; {there}; "
        ssh = f'#!/bin/sh\ncase $# in 2) exec {shutil.which("ssh")} -F {config} "$1" "{line}$2";; esac\n'
        (tools / "ssh").write_text(f'{ssh}exec {shutil.which("ssh")} -F {config} "$@"\n')
        for tool in tools.iterdir():
            tool.chmod(0o700)
        environment = os.environ | {"PATH": f"{tools}:{os.environ['PATH']}"}
        script = "\n".join(commands).replace("8001", str(outer)).replace(":8000", f":{service.port}")
        script = script.replace("--no-browser", f"--no-browser --port {service.port}")
        tunnel = next(line for line in script.splitlines() if " -N " in line)
        with subprocess.Popen(["sh", "-c", f"exec {tunnel}"], env=environment) as open_line:
            until(lambda: listens(outer))
            options = {"capture_output": True, "text": True, "timeout": 90, "cwd": folder, "env": environment}
            done = subprocess.run(["sh", "-ec", script.replace(tunnel, ":")], **options)
            open_line.terminate()
    assert done.returncode == 0 and '{"workflows":[]}' in done.stdout, done.stdout + done.stderr
    assert "has stopped" in done.stdout


def test_behind_a_proxy_it_answers_to_the_name_that_the_configuration_tells(service, folder):
    """Another `Host` is refused, for a page of another site could have made it; a told one is not."""
    config = {"ServerApp": {"local_hostnames": ["cc.example.org"], "trust_xheaders": True}}
    (folder.parent / "CONFIG" / "jupyter_server_config.json").write_text(json.dumps(config))
    service("start", "--port", service.port, "--no-browser")
    url, token = f"http://127.0.0.1:{service.port}/cc/api/version", (service.folder / "token").read_text()
    codes = [
        requests.get(url, headers={"Host": host, "Authorization": f"token {token}"}, timeout=9).status_code
        for host in ("cc.example.org", "evil.example.org")
    ]
    assert codes == [200, 403]
