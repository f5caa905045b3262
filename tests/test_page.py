"""The page `cc/` in a real browser, on a real server: the whole story of a user, and what strangers put into names."""

import os
import socket
import subprocess
import sys

import pytest
import requests
from conftest import until

pytest.importorskip("jupyter_server", reason="needs the test extra: pip install -e '.[test]'")


class Server:
    """A Jupyter server in a process of its own, below a base URL."""

    def __init__(self, folder, base):
        self.root, self.home, self.token, self.process = folder / "root", folder / "store", "secret", None
        self.root.mkdir()
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.base, self.url = base, f"http://127.0.0.1:{self.port}{base}cc/"
        names = ("JUPYTER_RUNTIME_DIR", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR")
        self.environment = os.environ | {name: str(folder / name) for name in names}
        self.environment |= {"CC_HOME": str(self.home), "JUPYTER_TOKEN": self.token}
        self.log = folder / "log"
        self.start()

    def start(self):
        """Start it (again), and wait until it answers."""
        words = [sys.executable, "-m", "jupyter_server", "--no-browser", "--allow-root", f"--port={self.port}"]
        words += [f"--ServerApp.base_url={self.base}", f"--ServerApp.root_dir={self.root}"]
        words += ["--ServerApp.jpserver_extensions={'cc_jupyter': True}", "--ServerApp.port_retries=0"]
        words += ["--ServerApp.allow_unauthenticated_access=False"]
        with open(self.log, "a") as log:
            self.process = subprocess.Popen(words, env=self.environment, stdout=log, stderr=log, cwd=self.root)
        until(self._answers, 60)

    def kill(self):
        """SIGKILL: it has no time for anything."""
        self.process.kill()
        self.process.wait(30)

    def _answers(self):
        try:
            return self.ask("GET", "version").ok
        except requests.ConnectionError:
            assert self.process.poll() is None, self.log.read_text()
            return False

    def ask(self, method, path, **options):
        """An answer of the service."""
        headers = {"Authorization": f"token {self.token}"} | options.pop("headers", {})
        return requests.request(method, f"{self.url}api/{path}", headers=headers, timeout=60, **options)


@pytest.fixture(params=["/", "/user/alice/"])
def server(request, tmp_path):
    """A server at the root, and one as a Hub starts it."""
    found = Server(tmp_path, request.param)
    yield found
    found.kill()


def test_a_page_is_only_for_users_and_takes_nothing_from_elsewhere(server):
    """Without a login there is no page; with one it comes with a policy that allows this server's files alone."""
    for path in ("", "workflows/x", "workflows/x/view", "runs/x", "runs/x/view"):
        stranger = requests.get(server.url + path, allow_redirects=False, timeout=9)
        assert stranger.status_code == 302 and f"{server.base}login" in stranger.headers["Location"]
        page = requests.get(server.url + path, headers={"Authorization": f"token {server.token}"}, timeout=9)
        assert page.ok and f'<base href="{server.base}cc/">' in page.text and "_xsrf" in page.cookies
        policy = page.headers["Content-Security-Policy"]
        assert "default-src 'self'" in policy and "frame-ancestors 'self'" in policy and "unsafe" not in policy
    themed = requests.get(server.url, params={"theme": '"><script>', "token": server.token}, timeout=9).text
    assert "<script>" not in themed and themed.count("<script") == 1
