"""The REST service of a real Jupyter server: who gets an answer, which one, and that OpenAPI tells the same."""

import asyncio
import gzip
import io
import json
import os
import re
import shlex
import socket
import stat
import subprocess
import sys
import tarfile
import threading
import zipfile
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from urllib.parse import quote

import pytest

pytest.importorskip("pytest_jupyter", reason="needs the test extra: pip install -e '.[test]'")
import requests
from cc_jupyter import following, running, table
from conftest import until
from jsonschema import Draft202012Validator
from jupyter_server.auth.authorizer import Authorizer
from sshd import sshd
from test_house import EXAMPLE, README
from tornado.httpclient import HTTPClientError

from cc_notebook import Workflow, client
from cc_notebook.client import RESTWorkflow
from cc_notebook.errors import InputError, UnavailableError
from cc_notebook.hosts.base import shown_name

pytest_plugins = ["pytest_jupyter.jupyter_server"]

DEMO = {
    "nodes": {"a": {"exec": "echo '# cloudmesh progress=50 rows=7'"}, "b": {"exec": "true"}},
    "dependencies": ["a, b"],
}
YAML, ZIPPED = {"Content-Type": "application/yaml"}, {"Content-Type": "application/zip"}
PAGES = ("", "workflows/x", "workflows/x/view", "runs/x", "runs/x/view", "docs")
SLOW = {"nodes": {"a": {"exec": 'while [ ! -e "$GO" ]; do sleep 0.05; done', "env": {"GO": "/nowhere"}}}}


class Server:
    """A Jupyter server in a process of its own."""

    def __init__(self, folder, home=None, below="/lab1"):
        self.below = below
        self.root, self.home, self.token, self.process = folder / "root", home or folder / "store", "secret", None
        self.root.mkdir()
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.base = f"http://127.0.0.1:{self.port}{below}"
        self.url = f"{self.base}/cc/api"
        folders = {
            name: str(folder / name) for name in ("JUPYTER_RUNTIME_DIR", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR")
        }
        self.environment = os.environ | folders | {"CC_HOME": str(self.home), "JUPYTER_TOKEN": self.token}
        self.log, self.document = folder / "log", {"paths": {}}
        self.start()

    def start(self):
        """Start it (again), and wait until it answers."""
        words = [sys.executable, "-m", "jupyter_server", "--no-browser", "--allow-root", f"--port={self.port}"]
        words += [
            f"--ServerApp.base_url={self.below}/",
            f"--ServerApp.root_dir={self.root}",
            "--ServerApp.port_retries=0",
        ]
        words += ["--ServerApp.jpserver_extensions={'cc_jupyter': True}"]
        words += ["--ServerApp.allow_unauthenticated_access=False"]
        with open(self.log, "a") as log:
            self.process = subprocess.Popen(words, env=self.environment, stdout=log, stderr=log, cwd=self.root)
        until(self._answers, 60)
        self.document = self.plain("GET", "openapi.json").json()

    def stop(self):
        """End it."""
        self.process.terminate()
        self.process.wait(30)

    def kill(self):
        """End it without a word."""
        self.process.kill()
        self.process.wait(30)

    def _answers(self):
        try:
            return self.plain("GET", "version").ok
        except requests.ConnectionError:
            assert self.process.poll() is None, self.log.read_text()
            return False

    def plain(self, method, path, **options):
        """An answer, whatever it is; of a route it is as OpenAPI says."""
        headers = {"Authorization": f"token {self.token}"} | options.pop("headers", {})
        answer = requests.request(method, f"{self.url}/{path}", headers=headers, timeout=60, **options)
        if operation(self.document, method, path.partition("?")[0]) and not options.get("stream"):
            fits(self.document, method, path.partition("?")[0], answer)
        return answer

    def __call__(self, method, path, status=None, **options):
        """An answer that is as OpenAPI says, and has this status."""
        answer = self.plain(method, path, **options)
        assert status is None or answer.status_code == status, (answer.status_code, answer.text[:500])
        assert operation(self.document, method, path.partition("?")[0]), f"OpenAPI has no {method} {path}"
        return answer

    def workflow(self, name, body, **options):
        """A new workflow."""
        return self("POST", "workflows", 201, json={"name": name, "workflow": body}, **options)

    def run(self, name, body=DEMO, wait=30):
        """A run of a new workflow that has ended."""
        self.workflow(name, body)
        return self("POST", f"runs?wait={wait}", json={"workflow": name}).json()["run"]


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """One server for all tests of this file."""
    found = Server(tmp_path_factory.mktemp("server"))
    yield found
    found.stop()


def operation(document, method, path):
    """What OpenAPI says about a request."""
    for pattern, methods in sorted(document["paths"].items(), key=lambda item: item[0].count("{")):
        if re.fullmatch(re.sub(r"\\{\w+\\}", "[^/]+", re.escape(pattern)), f"/{path}") and method.lower() in methods:
            return methods[method.lower()]
    return None


def fits(document, method, path, answer):
    """An answer has a status, a type and a body as OpenAPI tells."""
    told = operation(document, method, path)["responses"]
    found = told.get(str(answer.status_code)) or told["default"]
    assert str(answer.status_code) in told or answer.status_code >= 400, f"{answer.status_code} is not told"
    media = answer.headers.get("Content-Type", "").partition(";")[0]
    assert (not answer.content and not media) or media in found.get("content", {}), (media, found)
    if media == "application/json" and method != "HEAD":
        schema = found["content"][media].get("schema", {}) | {"components": document["components"]}
        Draft202012Validator(schema).validate(answer.json())


def filled(path):
    """A route's path with something in the place of its names."""
    return path.replace("{ending}", "json").replace("{", "").replace("}", "")


def files(*tops):
    """Every file below some folders with its size and time; pictures that are only kept for speed do not count."""
    found = {path: path.lstat() for top in tops for path in top.rglob("*") if "pictures" not in path.parts}
    return {path: (it.st_size, it.st_mtime_ns) for path, it in found.items() if not path.is_dir()}


# ---- who ------------------------------------------------------------------------------------------------------------


class Nobody(Authorizer):
    """Refuses this extension, and writes down what it was asked."""

    asked: list

    def is_authorized(self, handler, user, action, resource):
        self.asked.append((handler.request.method, action, resource))
        return resource != "cc_jupyter"


@pytest.fixture
def jp_server_config():
    return {"ServerApp": {"jpserver_extensions": {"cc_jupyter": True}}}


def served(app):
    """The routes of the running application: method and pattern."""
    rules = [rule for host in app.default_router.rules for rule in getattr(host.target, "rules", [])]
    rules = [rule for rule in rules if getattr(rule.target, "routes", None)]
    return {(method, rule.matcher.regex.pattern) for rule in rules for method in rule.target.routes if method != "HEAD"}


async def test_the_table_is_what_is_served_and_what_openapi_tells(jp_serverapp, jp_fetch):
    """Application, table of routes and OpenAPI have the same methods and paths; the document is valid."""
    from openapi_spec_validator import validate

    told = json.loads((await jp_fetch("cc", "api", "openapi.json")).body)
    validate(told)
    rows = {(route.method, f"{jp_serverapp.base_url}cc/api/{route.pattern}$") for route in table.ROUTES}
    assert served(jp_serverapp.web_app) == rows
    paths = {(method.upper(), path) for path, methods in told["paths"].items() for method in methods}
    assert paths == {(route.method, f"/{route.path}") for route in table.ROUTES}
    assert len({one["operationId"] for methods in told["paths"].values() for one in methods.values()}) == len(rows)


async def test_openapi_has_the_params_of_each_workflow(jp_fetch, jp_root_dir):
    """With types and defaults, for `POST runs`; two of one name by their paths; one that cannot be read is left out."""
    from openapi_spec_validator import validate

    for name, params in (
        ("über", {"n": 3, "rate": 0.5, "on": True, "free": None}),
        ("a/same", {}),
        ("b/same", {"s": "x"}),
    ):
        path = jp_root_dir / f"{name}.yaml"
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps({"workflow": {"params": params, "nodes": {"a": {"exec": "true"}}}}))
        await asyncio.to_thread(Workflow, path)
    (jp_root_dir / "broken.yaml").write_text("workflow: {nodes: {a: {exec: 'true'}}}")
    await asyncio.to_thread(Workflow, jp_root_dir / "broken.yaml")
    (jp_root_dir / "broken.yaml").write_text("workflow: [")
    told = json.loads((await jp_fetch("cc", "api", "openapi.json")).body)
    validate(told)
    schema = told["paths"]["/runs"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    starts = [told["components"]["schemas"][one["$ref"].split("/")[-1]] for one in schema["anyOf"][:-1]]
    known = {tuple(start["properties"]["workflow"]["enum"]): start for start in starts}
    assert known.keys() == {("über", "über.yaml"), ("a/same.yaml",), ("b/same.yaml",)}
    fields = known["über", "über.yaml"]["properties"]["params"]["properties"]
    assert {key: (one.get("type"), one["default"]) for key, one in fields.items()} == {
        "n": ("integer", 3), "rate": ("number", 0.5), "on": ("boolean", True), "free": (None, None),
    }  # fmt: skip
    check = Draft202012Validator(schema | {"components": told["components"]})
    for params, good in (
        ({"n": 4, "rate": 1, "on": False, "free": "["}, True),
        ({"n": 4.0}, True),  # to JSON Schema an integer
        ({"n": 4.5}, False),
        ({"n": "four"}, False),
        ({"n": "4"}, False),
        ({"n": True}, False),
        ({"rate": "0.5"}, False),
        ({"on": "true"}, False),
        ({"other": 1}, False),
    ):
        for name in ("über", "über.yaml"):
            body = {"workflow": name, "params": params, "dry_run": True}
            sent = {"method": "POST", "body": json.dumps(body), "headers": {"Content-Type": "application/json"}}
            answer = await jp_fetch("cc", "api", "runs", **sent, raise_error=False)
            assert (check.is_valid(body), answer.code) == (good, 200 if good else 422), (body, answer.body)
    assert check.is_valid({"workflow": "same", "params": {"s": 1}}) and check.is_valid({"workflow": "broken"})


def test_openapi_tells_the_headers_that_are_read(server):
    """`If-Match` of what changes a workflow, `Idempotency-Key` of starts, `Last-Event-ID` of events; no others."""
    told = {
        (method.upper(), path): {one["name"] for one in found["parameters"] if one["in"] == "header"}
        for path, methods in server.document["paths"].items()
        for method, found in methods.items()
    }
    assert {key for key, names in told.items() if "Idempotency-Key" in names} == {
        ("POST", "/runs"), ("POST", "/workflow/run/{name}"),
    }  # fmt: skip
    assert {key for key, names in told.items() if "Last-Event-ID" in names} == {("GET", "/runs/{run}/events")}
    changes = {(method, path) for method, path in told if method != "GET" and path.startswith("/workflows/{name}")}
    assert {key for key, names in told.items() if "If-Match" in names} == {
        (method, path) for method, path in changes if not path.endswith("validation")
    }


async def test_the_authorizer_is_asked_about_every_route(jp_serverapp, jp_fetch):
    """Whom it refuses gets 403 from every route and method; what changes something is asked as write or execute."""
    authorizer = Nobody(parent=jp_serverapp)
    authorizer.asked = []
    jp_serverapp.web_app.settings["authorizer"] = authorizer
    for route in table.ROUTES:
        for method in (route.method, "PATCH", *(["HEAD"] if route.method == "GET" else [])):
            with pytest.raises(HTTPClientError) as refused:
                await jp_fetch(
                    "cc", "api", *filled(route.path).split("/"), method=method, allow_nonstandard_methods=True
                )
            assert refused.value.code == 403, route
            expected = "read" if method in ("GET", "HEAD") else "write" if method == "PATCH" else route.action
            assert authorizer.asked[-1] == (method, expected, "cc_jupyter")
    assert {route.action for route in table.ROUTES if route.method != "GET"} == {"write", "execute"}


async def test_the_authorizer_is_asked_about_every_page(jp_serverapp, jp_fetch):
    """Whom it refuses this extension gets no page."""
    authorizer = Nobody(parent=jp_serverapp)
    authorizer.asked = []
    jp_serverapp.web_app.settings["authorizer"] = authorizer
    for path in PAGES:
        with pytest.raises(HTTPClientError) as refused:
            await jp_fetch("cc", *path.split("/"))
        assert refused.value.code == 403 and authorizer.asked[-1] == ("GET", "read", "cc_jupyter")


def test_a_stranger_gets_nothing(server):
    """Without a login, and with a wrong token, every route answers 403 as JSON."""
    for route in table.ROUTES:
        for word in ("", "token wrong"):
            for method in (route.method, "PATCH"):
                answer = server.plain(method, filled(route.path), headers={"Authorization": word})
                assert answer.status_code == 403 and "message" in answer.json(), route
    assert (
        requests.get(f"{server.base}/cc/docs", allow_redirects=False, timeout=9)
        .headers["Location"]
        .startswith("/lab1/login")
    )


def test_another_site_cannot_act_for_a_user(server):
    """With a login's cookie only: a POST needs the XSRF token and no foreign Origin; a foreign Origin reads nothing."""
    browser = requests.Session()
    browser.get(f"{server.base}/tree?token={server.token}", timeout=9)
    browser.get(f"{server.base}/login", timeout=9)
    url, body = f"{server.url}/workflows", {"name": "by-browser", "workflow": DEMO}
    assert browser.post(url, json=body, timeout=9).status_code == 403
    headers = {"X-XSRFToken": browser.cookies.get("_xsrf", path="/lab1/") or browser.cookies.get("_xsrf")}
    assert browser.post(url, json=body, headers=headers | {"Origin": "http://evil.org"}, timeout=9).status_code == 404
    assert browser.get(url, headers={"Origin": "http://evil.org"}, timeout=9).status_code == 404
    assert not (server.home / "workflows" / "by-browser").exists()
    assert browser.post(url, json=body, headers=headers, timeout=9).status_code == 201


def test_a_method_that_is_not_there_is_told(server):
    """Also one that nobody knows answers 405 with what there is, as JSON."""
    for method, path, allowed in (("TRACE", "hosts", "GET, HEAD"), ("QUERY", "runs", "GET, HEAD, POST")):
        answer = server.plain(method, path)
        assert answer.status_code == 405 and answer.headers["Allow"] == allowed
        assert {"code", "message", "hint"} <= answer.json().keys()


def everything(serverapp):
    """Every URL below `cc/` that the running application serves, the pages too, with something for its names."""
    rules = [rule for host in serverapp.web_app.default_router.rules for rule in getattr(host.target, "rules", [])]
    top = f"{serverapp.base_url}cc/"
    patterns = {rule.matcher.regex.pattern.rstrip("$") for rule in rules if hasattr(rule.matcher, "regex")}
    patterns = {pattern.replace("(?:/.*)?", "/nothing") for pattern in patterns if pattern.startswith(top)}
    urls = [re.sub(r"\([^()]*\)", "x", pattern) for pattern in patterns]
    return sorted(url.replace("\\", "").removeprefix(top) for url in urls)


ALL = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "QUERY")


async def test_nothing_below_cc_is_open(jp_serverapp, jp_fetch, server):
    """Over the application's own table: who is not logged in, has no XSRF token or comes from elsewhere gets nothing.

    And whom the authorizer refuses: nothing as well, whatever the method is.
    """
    urls = everything(jp_serverapp)
    assert len(urls) > len({route.path for route in table.ROUTES}) and "docs" in urls

    def ask(session, method, url, **headers):
        address = f"{server.base}/cc/{url}"
        return session.request(method, address, headers=headers, allow_redirects=False, timeout=30)

    def outside():
        for url in urls:
            api = url.startswith("api")
            for method in ALL:
                for word in ("", "token wrong"):
                    answer = ask(requests, method, url, Authorization=word)
                    login = answer.status_code == 302 and "/login" in answer.headers["Location"]
                    empty = method == "OPTIONS" and answer.ok and not answer.content  # Jupyter's own, for CORS
                    unknown = (method in ALL[6:] and answer.status_code == 405) or empty
                    assert answer.status_code == 403 or (login and not api) or unknown, (method, url, answer)
                    assert method == "HEAD" or not answer.content or "workflow" not in answer.text.lower()
        browser = requests.Session()
        browser.get(f"{server.base}/tree?token={server.token}", timeout=9)
        browser.get(f"{server.base}/login", timeout=9)
        xsrf = browser.cookies.get("_xsrf", path="/lab1/") or browser.cookies.get("_xsrf")
        for url in urls:
            for method in ALL[2:6]:
                assert ask(browser, method, url).status_code == 403, (method, url)
                assert ask(browser, method, url, Referer="http://evil.org/").status_code == 403
                evil = ask(browser, method, url, Origin="http://evil.org", **{"X-XSRFToken": xsrf})
                assert evil.status_code in (403, 404), (method, url, evil)
            if url.startswith("api"):
                assert ask(browser, "GET", url, Origin="http://evil.org").status_code == 404, url

    before = files(server.home, server.root)
    await asyncio.to_thread(outside)
    assert files(server.home, server.root) == before
    authorizer = Nobody(parent=jp_serverapp)
    authorizer.asked = []
    jp_serverapp.web_app.settings["authorizer"] = authorizer
    for url in urls:
        for method in ALL[:6]:
            with pytest.raises(HTTPClientError) as refused:
                await jp_fetch("cc", *url.split("/"), method=method, allow_nonstandard_methods=True)
            assert refused.value.code == 403 or (refused.value.code == 405 and not url.startswith("api")), (method, url)


def test_get_changes_nothing(server):
    """Every GET and HEAD that there is, on a workflow and a run that are there, leaves every file as it is."""
    run, before = server.run("looked-at"), None
    for _ in range(2):  # the first time, things are made that are kept for speed
        before = files(server.home, server.root)
        for route in table.ROUTES:
            path = route.path.replace("{name}", "looked-at").replace("{run}", run).replace("{job}", "a")
            if route.method == "GET":
                for ending in ("json", "svg", "png") if "graph.{" in path else ("json",):
                    answer = server("GET", path.replace("{ending}", ending))
                    assert answer.status_code in (200, 404, 422), (path, answer.text)
                    assert answer.headers["X-Content-Type-Options"] == "nosniff"
                    policy = answer.headers["Content-Security-Policy"]
                    assert answer.status_code != 200 or policy.endswith("default-src 'none'; sandbox"), path
                    head = server.plain("HEAD", path.replace("{ending}", ending))
                    assert head.status_code == answer.status_code and not head.content
        assert files(server.home, server.root) == before


# ---- errors ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "path", "options", "status", "words"),
    [
        ("GET", "workflows/nobody", {}, 404, "nobody"),
        ("GET", "runs/nobody", {}, 404, "nobody"),
        ("GET", f"runs/{quote('../../etc', safe='')}", {}, 404, "etc"),
        ("GET", "runs/%FF", {}, 400, ""),
        ("GET", "nothing/here", {}, 404, ""),
        ("GET", "workflow/run/demo", {}, 405, "POST"),
        ("PATCH", "runs", {}, 405, "POST"),
        ("GET", "runs?limit=0", {}, 422, "limit"),
        ("GET", "runs?colour=red", {}, 422, "colour"),
        ("GET", "runs?state=odd", {}, 422, "state"),
        ("POST", "runs", {"data": b"{", "headers": {"Content-Type": "application/json"}}, 400, "JSON"),
        ("POST", "runs", {"data": b'"\xff"', "headers": {"Content-Type": "application/json"}}, 400, "JSON"),
        ("POST", "runs", {"data": b'{"workflow": NaN}', "headers": {"Content-Type": "application/json"}}, 400, "JSON"),
        ("POST", "runs", {"data": b"[" * 100_000, "headers": {"Content-Type": "application/json"}}, 400, "JSON"),
        ("POST", "runs", {"data": b'"\\ud800"', "headers": {"Content-Type": "application/json"}}, 400, "JSON"),
        ("POST", "runs", {"data": b"a=b", "headers": {"Content-Type": "text/plain"}}, 415, "application/json"),
        ("POST", "runs", {}, 422, "body"),
        ("POST", "runs", {"json": {"workflow": "known", "colour": 1}}, 422, "colour"),
        ("POST", "runs", {"json": {"workflow": "nobody"}}, 422, "nobody"),
        ("POST", "runs", {"json": {"workflow": "known", "params": {"x": 1}}}, 422, "param 'x'"),
        ("POST", "runs", {"json": {"workflow": "known", "only": ["x"]}}, 422, "'x'"),
        ("POST", "runs", {"json": {"workflow": "known", "max_parallel": "2"}}, 422, "max_parallel"),
        ("POST", "runs?wait=61", {"json": {"workflow": "known"}}, 422, "wait"),
        ("POST", "workflows", {"json": {"name": "known", "workflow": DEMO}}, 409, "known"),
        ("POST", "workflows", {"json": {"name": "../up", "workflow": DEMO}}, 422, "../up"),
        ("POST", "workflows", {"json": {"name": "x"}}, 422, "workflow"),
        ("GET", "runs/%00", {}, 404, "no run"),
        ("GET", "workflows/%00", {}, 404, "no workflow"),
        ("POST", "workflows", {"json": {"path": "a\0.yaml"}}, 422, "no workflow file"),
        ("POST", "workflows", {"json": {"path": "/etc/passwd"}}, 422, "passwd"),
        ("POST", "workflows", {"json": {"path": "../outside.yaml"}}, 422, "outside"),
        ("POST", "workflows", {"json": {"path": "link/outside.yaml"}}, 422, "outside"),
        ("POST", "workflows", {"json": {"path": "link.yaml"}}, 422, "link"),
        ("POST", "workflows", {"json": {"path": ".hidden.yaml"}}, 422, "hidden"),
        ("POST", "workflows?name=z", {"data": b"x" * 4_000_001, "headers": YAML}, 413, ""),
        ("GET", "workflows/known/jobs/nobody", {}, 404, "nobody"),
        ("GET", "workflows/known/graph.gif", {}, 404, "ending"),
        ("POST", "workflows/known/jobs", {"json": {"name": "a", "exec": "true"}}, 409, "'a'"),
        ("POST", "workflows/known/jobs", {"json": {"name": "c", "exec": "true", "timeout": "soon"}}, 422, "timeout"),
        ("POST", "workflows/known/jobs", {"json": {"name": "c", "self": 1}}, 422, "nothing to run"),
        ("PUT", "workflows/known/jobs/c", {"json": {"self": 1, "name": "d", "exec": "true"}}, 404, "'c'"),
        ("PUT", "workflows/known/jobs/a", {"json": {"name": "b", "exec": "true"}}, 422, "'b' already"),
        ("DELETE", "workflows/known/dependencies/b/a", {}, 404, "does not start after"),
        ("DELETE", "workflows/known/jobs/nobody", {}, 404, "nobody"),
        ("POST", "workflows/known/dependencies", {"json": {"dependency": "b, a"}}, 422, "cycle"),
        ("PUT", "workflows/known", {"json": {"workflow": {"nodes": {}}}}, 422, "problems"),
        ("PUT", "workflows/known", {"data": b"\xff", "headers": YAML}, 400, "utf-8"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told(server, method, path, options, status, words):
    """A wrong request gets its status, and a JSON body with a code and words that name the thing."""
    if not (server.root.parent / "outside.yaml").exists():
        server.workflow("known", DEMO)
        (server.root.parent / "outside.yaml").write_text("workflow: {nodes: {a: {exec: 'true'}}}")
        (server.root / "link").symlink_to(server.root.parent)
        (server.root / "link.yaml").symlink_to(server.root.parent / "outside.yaml")
        (server.root / ".hidden.yaml").write_text("workflow: {nodes: {a: {exec: 'true'}}}")
    before = files(server.home)
    answer = server.plain(method, path, **options)
    assert answer.status_code == status, answer.text
    assert {"code", "place", "message", "hint"} <= answer.json().keys() and words in answer.text
    assert files(server.home) == before
    if status == 405:
        assert words in answer.headers["Allow"]


def test_every_problem_of_a_workflow_is_told(server):
    """422 has each problem with line and column; no folder of this computer stands in it."""
    text = "workflow:\n  nodes:\n    a: {exec: 'true', timout: 3}\n    b: {script: no.sh}\n"
    answer = server("POST", "workflows?name=wrong", 422, data=text, headers=YAML)
    problems = answer.json()["problems"]
    assert [(p["file"], p["line"]) for p in problems] == [("wrong.yaml", 3), ("wrong.yaml", 4)]
    assert answer.json()["place"] == f"wrong.yaml:3:{problems[0]['column']}"
    assert server("GET", "runs?limit=0", 422).json()["place"] == "limit"
    assert "timeout" in problems[0]["hint"] and str(server.home) not in answer.text


# ---- workflows ------------------------------------------------------------------------------------------------------


def test_a_workflow_is_made_changed_and_removed(server):
    """YAML in, jobs and dependencies changed one by one, comments survive, YAML out, gone."""
    text = "workflow:  # mine\n  nodes:\n    a: {exec: 'true'}  # first\n"
    made = server("POST", "workflows?name=steps", 201, data=text, headers=YAML)
    assert made.headers["Location"] == "/lab1/cc/api/workflows/steps" and made.json() == {"name": "steps", "path": None}
    assert server("POST", "workflows/steps/jobs", 201, json={"name": "größe", "exec": "true"}).json()["exec"] == "true"
    assert (
        server("PUT", f"workflows/steps/jobs/{quote('größe')}", 200, json={"exec": "false"}).json()["exec"] == "false"
    )
    told = server("POST", "workflows/steps/dependencies", json={"dependency": ["a", "größe"]}).json()
    assert told == server("GET", "workflows/steps/dependencies").json() == {"dependencies": ["a, größe"]}
    assert list(server("GET", "workflows/steps/jobs").json()["jobs"]) == ["a", "größe"]
    yaml = server("GET", "workflows/steps?format=yaml").text
    assert "# mine" in yaml and "# first" in yaml and "größe" in yaml
    assert server("GET", "workflows/steps", headers={"Accept": "application/yaml"}).text == yaml
    server("DELETE", f"workflows/steps/jobs/{quote('größe')}", 204)
    assert server("GET", "workflows/steps").json()["workflow"] == {"nodes": {"a": {"exec": "true"}}, "dependencies": []}
    server("DELETE", "workflows/steps", 204)
    server("GET", "workflows/steps", 404)
    assert not (server.home / "workflows" / "steps").exists()


def test_a_change_by_somebody_else_is_not_lost(server):
    """A PUT with the ETag of an old version gets 412 and changes nothing; of two with the same one, one wins."""
    server.workflow("shared", DEMO)
    tag = server("GET", "workflows/shared").headers["ETag"]
    bodies = [{"workflow": {"nodes": {"a": {"exec": f"exit {n}"}}}} for n in range(2)]
    with ThreadPoolExecutor() as two:
        answers = list(
            two.map(lambda body: server("PUT", "workflows/shared", json=body, headers={"If-Match": tag}), bodies)
        )
    assert sorted(answer.status_code for answer in answers) == [200, 412]
    now = server("GET", "workflows/shared", headers={"Accept": "application/yaml"})
    server("DELETE", "workflows/shared", 412, headers={"If-Match": tag})
    server(
        "PUT",
        "workflows/shared",
        200,
        data=now.content,
        headers={"If-Match": now.headers["ETag"], "Content-Type": "application/yaml"},
    )


def test_a_job_gets_another_name_and_loses_a_dependency(server):
    """By PUT with another `name`, and by DELETE: comments and the script stay, and each answer has an ETag."""
    text = "workflow:\n  nodes:\n    a: {}  # one\n    b: {exec: 'true', after: a}\n    c: {exec: 'true'}\n"
    text += "  dependencies:\n    # order\n    - b, c  # two\n"
    flow = {"named.yaml": text, "a.sh": "", "no.txt": ""}
    server("POST", "workflows", 201, data=zipped(flow), headers=ZIPPED)
    assert server("GET", "workflows/named/scripts").json() == {"scripts": ["a.sh"]}
    assert "all_done" in server("GET", "schema").json()["$defs"]["Job"]["properties"]["trigger"]["enum"]
    tag = server("GET", "workflows/named").headers["ETag"]
    done = server("PUT", "workflows/named/jobs/a", 200, json={"name": "first"}, headers={"If-Match": tag})
    assert done.json() == {"name": "first", "script": "a.sh"} and done.headers["ETag"] != tag
    server("DELETE", "workflows/named/dependencies/b/c", 412, headers={"If-Match": tag})
    changed = server("DELETE", "workflows/named/dependencies/first/b", 204, headers={"If-Match": done.headers["ETag"]})
    yaml = server("GET", "workflows/named?format=yaml")
    assert "first:" in yaml.text and "after" not in yaml.text and yaml.headers["ETag"] == changed.headers["ETag"]
    assert "# one" in yaml.text and "- b, c  # two" in yaml.text
    server("DELETE", "workflows/named/dependencies/b/c", 204)
    assert list(server("GET", "workflows/named").json()["workflow"]["nodes"]) == ["first", "b", "c"]


async def test_answers_are_json_whatever_jobs_put_out(jp_fetch, folder):
    """NaN is null, for JSON has no word for it."""
    made = Workflow(name="w")
    made.add_job("a", exec="""echo '# cloudmesh progress=50 loss=NaN name="ü"'""")
    run = await asyncio.to_thread(lambda: made.run().wait(30))
    found = json.loads(
        (await jp_fetch("cc", "api", "runs", run.id, "jobs", "a", "outputs")).body, parse_constant=pytest.fail
    )
    assert set(found) == {"loss", "name"}


def test_a_file_below_the_root_becomes_known(server):
    """Its path is told; two of one name are told apart by their paths; its state is that of its newest run."""
    for folder in ("one", "two"):
        (server.root / folder).mkdir()
        (server.root / folder / "same.yaml").write_text("workflow: {nodes: {a: {exec: 'true'}}}")
        made = server("POST", "workflows", 201, json={"path": f"{folder}/same.yaml"}).json()
        assert made == {"name": "same", "path": f"{folder}/same.yaml"}
    assert "one/same.yaml" in server("GET", "workflows/same", 409).json()["hint"]
    path = f"workflows/{quote('two/same.yaml', safe='')}"
    assert server("GET", f"{path}?state=true", 200).json()["state"] is None
    run = server("POST", "runs?wait=30", 200, json={"workflow": "two/same.yaml"}).json()["run"]
    assert server("GET", f"{path}?state=true", 200).json()["state"]["run"] == run
    assert (server.root / "two" / "same-runs" / run).exists()


def test_a_text_is_validated(server):
    """200 with every problem of the body; an empty body means the file itself."""
    server.workflow("checked", DEMO)
    assert server("POST", "workflows/checked/validation", 200).json() == {"valid": True, "problems": []}
    wrong = server("POST", "workflows/checked/validation", 200, data="workflow: {nodes: {a: {exc: x}}}").json()
    assert not wrong["valid"] and wrong["problems"][0]["line"] == 1


# ---- archives -------------------------------------------------------------------------------------------------------

FLOW = b"workflow: {nodes: {a: {script: a.sh}, b: {exec: 'true'}}, dependencies: ['a, b']}\n"
GOOD = {"packed.yaml": FLOW, "a.sh": b"echo hello\n"}


def zipped(content, around=""):
    """A zip of files; a value may be (ZipInfo attributes, bytes)."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in content.items() if isinstance(content, dict) else content:
            info = zipfile.ZipInfo(around + name)
            if isinstance(data, tuple):
                info.external_attr, data = data[0] << 16, data[1]
            info.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(info, data)
    return out.getvalue()


def tarred(content, mode="w", **extra):
    """A tar of files; a value may be a dict of TarInfo attributes."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode=mode) as archive:
        for name, data in content.items():
            info = tarfile.TarInfo(name)
            for key, value in data.items() if isinstance(data, dict) else ():
                setattr(info, key, value)
            info.size = 0 if isinstance(data, dict) else len(data)
            archive.addfile(info, None if isinstance(data, dict) else io.BytesIO(data))
    return out.getvalue()


def odd(**attributes):
    """A tar with one member that is no file."""
    return tarred(GOOD | {"odd": attributes})


@pytest.mark.parametrize(
    ("name", "media", "data"),
    [
        ("zip", "application/zip", zipped(GOOD)),
        ("folder", "application/zip", zipped(GOOD, "top/")),
        ("tar", "application/x-tar", tarred(GOOD)),
        ("gzip", "application/gzip", tarred(GOOD, "w:gz")),
        ("dots", "application/x-tar", tarred({f"./{name}": data for name, data in GOOD.items()})),
    ],
)
def test_an_archive_becomes_a_workflow(server, name, media, data):
    """Zip, tar and tar.gz: known, with its script, and nothing ran; it can be had back and runs when asked."""
    made = server("POST", f"workflows?name={name}", 201, data=data, headers={"Content-Type": media})
    assert made.json() == {"name": name, "path": None}
    assert server("GET", f"runs?workflow={name}").json()["total"] == 0
    back = server("GET", f"workflows/{name}/archive", 200)
    with zipfile.ZipFile(io.BytesIO(back.content)) as archive:
        assert {one: archive.read(one) for one in archive.namelist()} == {f"{name}.yaml": FLOW, "a.sh": b"echo hello\n"}
    assert server("POST", "runs?wait=30", 200, json={"workflow": name}).json()["state"] == "done"
    assert server("GET", "runs/last/jobs/a/log").text == "hello\n"


def test_a_workflow_is_exported_with_its_state(server, folder):
    """YAML and archive tell each job's state in the newest run if asked to; with it a run elsewhere begins there."""
    text = "workflow:  # mine\n  nodes:\n    a: {script: a.sh}\n    b: {exec: 'test -e mended', after: a}\n"
    data = zipped({"kept.yaml": text, "a.sh": "echo '# cloudmesh rows=7'"})
    server("POST", "workflows?name=kept", 201, data=data, headers={"Content-Type": "application/zip"})
    yaml = "workflows/kept?format=yaml"
    assert server("GET", f"{yaml}&state=true").text == server("GET", yaml).text == text  # before the first run
    assert server("POST", "runs?wait=30", 200, json={"workflow": "kept"}).json()["state"] == "failed"
    told = server("GET", f"{yaml}&state=true")
    assert "# mine" in told.text and "status: done" in told.text and "status: failed" in told.text
    assert server("GET", "workflows/kept?state=true").json()["state"]["jobs"]["b"]["state"] == "failed"
    assert server("GET", yaml).text == text
    with zipfile.ZipFile(io.BytesIO(server("GET", "workflows/kept/archive?state=true").content)) as packed:
        assert packed.read("kept.yaml") == told.content and packed.read("a.sh")
        for file in ("kept.yaml", "a.sh"):
            (folder / file).write_bytes(packed.read(file))
    (folder / "mended").touch()
    run = Workflow(name="kept").load_with_state("kept.yaml").run().wait()
    assert run.state == "done" and run.outputs("a") == {"rows": 7} and run.status("a")["attempt"] == 0


def test_an_archive_comes_by_a_form(server):
    """multipart/form-data with one file."""
    server("POST", "workflows?name=form", 201, files={"file": ("packed.zip", zipped(GOOD))})
    server("POST", "workflows?name=form2", 415, files={"a": ("a", b"x"), "b": ("b", b"y")})


ATTACKS = {
    "up": zipped(GOOD | {"../evil.sh": b"x"}),
    "far up": zipped(GOOD | {"a/../../evil.sh": b"x"}),
    "absolute": zipped(GOOD | {"/tmp/cc-evil.sh": b"x"}),
    "backslash": zipped(GOOD | {"..\\evil.sh": b"x"}),
    "drive": zipped(GOOD | {"C:evil.sh": b"x"}),
    "nul": zipped(GOOD).replace(b"a.sh", b"a\0sh"),
    "control": zipped(GOOD | {"a\nb.sh": b"x"}),
    "zip link": zipped(GOOD | {"link": (stat.S_IFLNK | 0o777, b"/etc/passwd")}),
    "zip fifo": zipped(GOOD | {"fifo": (stat.S_IFIFO | 0o777, b"")}),
    "tar up": tarred(GOOD | {"../evil.sh": b"x"}),
    "tar absolute": tarred(GOOD | {"/tmp/cc-evil.sh": b"x"}),
    "symlink": odd(type=tarfile.SYMTYPE, linkname="/etc/passwd"),
    "hard link": odd(type=tarfile.LNKTYPE, linkname="a.sh"),
    "device": odd(type=tarfile.CHRTYPE, devmajor=1, devminor=3),
    "fifo": odd(type=tarfile.FIFOTYPE),
    "case": zipped(GOOD | {"A.SH": b"x"}),
    "case of a folder": zipped(GOOD | {"dir/x": b"x", "DIR/y": b"y"}),
    "file as folder": zipped(GOOD | {"a.sh/x": b"x"}),
    "deep": zipped(GOOD | {"/".join("abcdefghijkl"): b"x"}),
    "long name": zipped(GOOD | {"x" * 201: b"x"}),
    "many": zipped(GOOD | {f"f{n}": b"" for n in range(2001)}),
    "zip bomb": zipped(GOOD | {"zeros": bytes(30_000_000)}),
    "large": tarred(GOOD | {"zeros": bytes(100_000_001)}, "w:gz"),
    "gzip bomb": gzip.compress(bytes(120_000_000), 1),
    "truncated zip": zipped(GOOD)[:-30],
    "truncated tar": tarred(GOOD)[:1100],
    "tar without its end": tarred(GOOD)[: 4 * 512],
    "truncated gzip": tarred(GOOD, "w:gz")[:-20],
    "damaged": zipped(GOOD).replace(b"PK\x01\x02", b"PK\x01\x03"),
    "flipped": (lambda data: data[:60] + bytes([data[60] ^ 255]) + data[61:])(zipped(GOOD)),
    "empty": b"",
    "no archive": b"\x89PNG\r\n" + bytes(600),
    "gzip of text": gzip.compress(b"hello"),
    "no workflow": zipped({"a.sh": b"x"}),
    "two workflows": zipped({"x.yaml": FLOW, "y.yaml": FLOW, "a.sh": b""}),
    "wrong workflow": zipped({"w.yaml": b"workflow: {nodes: {a: {script: missing.sh}}}"}),
    "script outside": zipped({"w.yaml": b"workflow: {nodes: {a: {script: missing.sh}}}", "b/missing.sh": b""}),
}


def test_two_members_of_one_name_are_refused(server, recwarn):
    """In a zip the same name twice."""
    server(
        "POST",
        "workflows",
        422,
        data=zipped([*GOOD.items(), ("a.sh", b"y")]),
        headers=ZIPPED,
    )


@pytest.mark.parametrize("attack", ATTACKS)
def test_a_hostile_archive_is_refused(server, attack):
    """4xx with a reason; nothing is written anywhere, and nothing is left behind."""
    top = server.home.parent
    before, seen = files(server.home, server.root), sorted(path.name for path in top.iterdir())
    answer = server("POST", "workflows", data=ATTACKS[attack], headers=ZIPPED)
    assert answer.status_code in (400, 413, 415, 422) and answer.json()["message"], answer.text
    assert files(server.home, server.root) == before and sorted(path.name for path in top.iterdir()) == seen
    assert not Path("/tmp/cc-evil.sh").exists()


# ---- runs -----------------------------------------------------------------------------------------------------------


def test_a_run_from_its_start_to_its_removal(server):
    """Started, looked at from every side, retried, removed."""
    server.workflow("whole", DEMO)
    planned = server("POST", "runs", 200, json={"workflow": "whole", "dry_run": True, "from": "b"}).json()
    assert planned == {"jobs": ["b"]}
    begun = server("POST", "runs", 201, json={"workflow": "whole", "max_parallel": 1})
    run = begun.json()["run"]
    assert begun.headers["Location"] == f"/lab1/cc/api/runs/{run}"
    until(lambda: server("GET", f"runs/{run}").json()["state"] == "done")
    job = f"runs/{run}/jobs/a"
    assert server("GET", job).json()["outputs"] == server("GET", f"{job}/outputs").json() == {"rows": 7}
    assert "exit 0" in server("GET", f"{job}/explanation").json()["explanation"]
    log = server("GET", f"{job}/log")
    assert log.text == "# cloudmesh progress=50 rows=7\n" and log.headers["Content-Type"].startswith("text/plain")
    assert (
        server("GET", f"{job}/log?start=2&limit=9").text == "cloudmesh"
        and server("GET", f"{job}/log?start=-2").text == "7\n"
    )
    assert server("GET", f"{job}/log?start=99").text == server("GET", f"{job}/log?start={1 << 60}").text == ""
    server("GET", f"{job}/log?attempt=2", 422)
    assert "<svg" in server("GET", f"runs/{run}/graph.svg").text
    page = server("GET", f"runs/{run}/report")
    assert "attachment" in page.headers["Content-Disposition"] and "<html" in page.text
    server("GET", f"{job}/notebook", 404)
    assert server("GET", "runs?workflow=whole&state=done&limit=1").json()["total"] == 1
    assert server("POST", f"runs/{run}/cancel", 409).json()["message"]
    assert server("POST", f"{job}/retry", 200, json={}).json()["attempt"] >= 1
    until(lambda: server("GET", job).json()["attempt"] == 2 and server("GET", f"runs/{run}").json()["state"] == "done")
    server("DELETE", f"runs/{run}", 204)
    server("GET", f"runs/{run}", 404)


def test_a_start_that_waits_answers_with_outputs_and_files(server):
    """Of each job that has left any: its log, and what it declares; OpenAPI has a type for it, and for a dry run."""
    declared = {"exec": "echo 7 > seven.txt; echo '# cloudmesh progress=50 rows=7'", "files": {"out": ["seven.txt"]}}
    (server.root / "leaves.yaml").write_text(
        json.dumps({"workflow": {"nodes": {"a": declared, "b": {"exec": "true"}}, "dependencies": ["a, b"]}})
    )
    server("POST", "workflows", 201, json={"path": "leaves.yaml"})
    told = server("POST", "runs?wait=30", 200, json={"workflow": "leaves"}).json()
    assert told["outputs"] == {"a": {"rows": 7}}
    assert {"name": "seven.txt", "bytes": 2, "path": "seven.txt"} in told["files"]["a"]
    listed = {job: server("GET", f"runs/{told['run']}/jobs/{job}/files").json()["files"] for job in ("a", "b")}
    assert told["files"] == {job: found for job, found in listed.items() if found}
    kinds = operation(server.document, "POST", "runs")["responses"]["200"]["content"]["application/json"]["schema"]
    assert [set(kind["required"]) >= {"outputs", "files"} for kind in kinds["anyOf"]] == [True, False]
    again = server("POST", "workflow/run/leaves?wait=30", 200).json()
    assert again["files"].keys() == told["files"].keys()


def test_the_notebook_of_a_sub_workflow_s_job_is_downloaded(server):
    """Its name has a slash, so its file is called as `files` lists it, and the same address gives it."""
    (server.root / "inner.yaml").write_text("workflow: {nodes: {n: {exec: 'true'}}}")
    (server.root / "outer.yaml").write_text("workflow: {nodes: {sub: {workflow: inner.yaml}}}")
    server("POST", "workflows", 201, json={"path": "outer.yaml"})
    run = server("POST", "runs?wait=30", 200, json={"workflow": "outer"}).json()["run"]
    job = f"runs/{run}/jobs/sub%2Fn"
    (server.root / "outer-runs" / run / f"{shown_name('sub/n')}.ipynb").write_text("{}")
    assert any(file["name"].endswith(".ipynb") for file in server("GET", f"{job}/files", 200).json()["files"])
    assert server("GET", f"{job}/notebook", 200).content == b"{}"


def test_a_run_is_packed(server):
    """A zip with workflow, events, report, log, executed notebook and result; nothing that a link elsewhere names."""
    (server.root / "out.yaml").write_text(
        "workflow: {nodes: {a: {exec: 'echo hello; echo 7 > $CC_RESULTS_DIR/seven'}}}"
    )
    server("POST", "workflows", 201, json={"path": "out.yaml"})
    run = server("POST", "runs?wait=30", 200, json={"workflow": "out"}).json()["run"]
    beside = server.root / "out-runs" / run
    (beside / "outside").symlink_to("/etc/passwd")
    (beside / "folder").symlink_to("/etc")
    answer = server("GET", f"runs/{run}/archive", 200)
    assert f"{run}.zip" in answer.headers["Content-Disposition"]
    with zipfile.ZipFile(io.BytesIO(answer.content)) as packed:
        assert set(packed.namelist()) == {"out.yaml", "events.jsonl", "report.html", "a.log", "seven"}
        assert packed.read("a.log") == b"hello\n" and b"<html" in packed.read("report.html")
    with open(beside / "large", "wb") as large:
        large.truncate(200_000_000)
    assert "one by one" in server("GET", f"runs/{run}/archive", 413).json()["hint"]
    (beside / "large").unlink()


def test_hosts_and_when_they_answered(server, tmp_path):
    """Each host of an unfinished or recent run has its last answer, in words too; those of hosts.yaml are listed."""
    with sshd(tmp_path / "sshd") as config:
        far = {"exec": f"while [ ! -e {tmp_path}/go ]; do sleep 0.05; done", "kind": "ssh", "host": "box"}
        place = {"ssh_config": str(config), "workdir": str(tmp_path / "remote")}
        server.workflow("far", {"hosts": {"box": place}, "nodes": {"a": far}})
        run = server("POST", "runs", 201, json={"workflow": "far"}).json()["run"]
        until(lambda: server("GET", f"runs/{run}/jobs/a").json()["state"] == "running")
        (found,) = [host for host in server("GET", "hosts").json()["hosts"] if host["run"] == run]
        assert (found["host"], found["trouble"]) == ("ssh:@box", "") and datetime.fromisoformat(found["seen"])
        assert re.fullmatch(r"box: seen \d+ s ago", found["told"])
        (tmp_path / "go").touch()
        until(lambda: server("GET", f"runs/{run}").json()["state"] == "done")
        (known,) = [host for host in server("GET", "hosts").json()["hosts"] if host["run"] == run]
        assert known["host"] == "ssh:@box" and known["seen"] >= found["seen"] and known["told"].startswith("box: seen ")
    own = Path(server.home, "hosts.yaml")
    own.write_text("mine: {}\n")
    mine = {"host": "ssh:@mine", "run": "", "seen": "", "trouble": "", "told": ""}
    assert mine in server("GET", "hosts").json()["hosts"]
    own.write_text("mine: {adress: x}\n")
    assert "adress" in server("GET", "hosts", 422).text
    own.unlink()


def test_a_run_is_steered(server):
    """Paused, grown, resumed, a job and then all of it cancelled; while it is unfinished it cannot be removed."""
    server.workflow("steered", SLOW)
    answer = server("POST", "runs?wait=0.2", 202, json={"workflow": "steered"}).json()
    run = f"runs/{answer['run']}"
    assert server("POST", "runs", 200, json={"workflow": "steered"}).json()["run"] == answer["run"]
    assert server("POST", f"{run}/pause", 200).json()["state"] == "paused"
    assert (
        server("POST", f"{run}/jobs", 201, json={"name": "more", "after": "a", "exec": "true"})
        .headers["Location"]
        .endswith("/jobs/more")
    )
    server("POST", f"{run}/jobs", 409, json={"name": "late", "before": "a", "exec": "true"})
    assert "more" in {node["name"] for node in server("GET", f"{run}/graph.json", 200).json()["nodes"]}
    assert "more" not in {node["name"] for node in server("GET", f"{run}/graph.json?seq=1", 200).json()["nodes"]}
    assert server("POST", f"{run}/resume", 200, json={}).json()["state"] == "running"
    here = {"host": "local", "run": answer["run"], "seen": "", "trouble": "", "told": ""}
    assert [host for host in server("GET", "hosts").json()["hosts"] if host["run"] == answer["run"]] == [here]
    server("DELETE", run, 409)
    server("DELETE", "workflows/steered", 409)
    server("POST", f"{run}/cancel", 422, json={"jobs": 1})
    assert server("POST", f"{run}/cancel", 409, json={"jobs": ["nobody"]}).json()["code"] == "conflict"
    assert server("POST", f"{run}/jobs/more/cancel", 200).json()["state"] == "cancelled"
    server("POST", f"{run}/cancel", 200, json={"jobs": []})
    until(lambda: server("GET", run).json()["state"] == "cancelled")
    server("DELETE", "workflows/steered", 204)


def test_members_have_urls(server):
    """Names with brackets, slashes, equals signs and other letters work when they are encoded; sweeps are CSV too."""
    (server.root / "sub.yaml").write_text("workflow: {params: {gpu: x}, nodes: {train: {exec: 'echo ü'}}}")
    (server.root / "grid.yaml").write_text(
        "workflow: {nodes: {grid: {exec: 'echo \"# cloudmesh progress=50 loss=3\"', foreach: {lr: [0.1], seed: [1]}},"
        " per-gpu: {workflow: sub.yaml, foreach: {gpu: [v100, ü]}}}}"
    )
    server("POST", "workflows", 201, json={"path": "grid.yaml"})
    run = server("POST", "runs?wait=40", 200, json={"workflow": "grid"}).json()["run"]
    for name in ("grid[lr=0.1,seed=1]", "per-gpu[gpu=v100]/train", "per-gpu[gpu=ü]/train"):
        path = f"runs/{run}/jobs/{quote(name, safe='')}"
        assert server("GET", path, 200).json()["state"] == "done"
        assert server("GET", f"{path}/explanation", 200).json()["explanation"].startswith(name)
    assert server("GET", f"runs/{run}/jobs/{quote('per-gpu[gpu=ü]/train', safe='')}/log").text == "ü\n"
    assert server("GET", f"runs/{run}/results/grid").json()[0]["loss"] == 3
    assert server("GET", f"runs/{run}/results/grid", headers={"Accept": "text/csv"}).text.startswith(
        "job,lr,seed,state,loss"
    )
    server("GET", f"runs/{run}/results/nothing", 404)
    archive = server("GET", "workflows/grid/archive").content
    assert zipfile.ZipFile(io.BytesIO(archive)).namelist() == ["grid.yaml", "sub.yaml"]


# ---- at most once ---------------------------------------------------------------------------------------------------


def test_one_key_starts_one_run(server):
    """Eight posts with one key at the same time, and one after a restart of the server, are one run."""
    server.workflow("once", DEMO)
    body, headers = {"workflow": "once", "new": True}, {"Idempotency-Key": "ü-1".encode("latin-1")}
    with ThreadPoolExecutor() as many:
        answers = list(many.map(lambda _: server("POST", "runs", json=body, headers=headers), range(8)))
    assert sorted(answer.status_code for answer in answers) == [200] * 7 + [201]
    run = {answer.json()["run"] for answer in answers}
    server.stop()
    server.start()
    assert {server("POST", "runs", 200, json=body, headers=headers).json()["run"]} == run
    assert server("GET", "runs?workflow=once").json()["total"] == 1
    server("POST", "runs", 422, json=body | {"sequential": True}, headers=headers)
    until(lambda: server("GET", f"runs/{min(run)}").json()["state"] == "done")
    server("DELETE", f"runs/{min(run)}", 204)
    server("POST", "runs", 409, json=body, headers=headers)
    server("POST", "runs", 400, json=body, headers={"Idempotency-Key": "x" * 256})
    server("POST", "runs?wait=30", 200, json=body, headers={"Idempotency-Key": "another"})


def test_a_kill_between_key_and_run_starts_no_second_run(folder):
    """Killed before the run was made: the same id is taken. Killed after it: that run is found, and started."""
    made = Workflow(name="w")
    made.add_job("a", exec="true")
    ids = []

    def die(run_id):
        ids.append(run_id)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        running._once("k", "asked", "w", die)
    run, new = running._once("k", "asked", "w", lambda run_id: made.run(run_id=run_id))
    assert (run.id, new) == (ids[0], True)
    assert running._once("k", "asked", "w", die)[0].id == run.id and len(ids) == 1
    run.wait(30)


def test_an_old_key_is_forgotten(folder):
    """After a month its file is gone, with the next start."""
    made = Workflow(name="w")
    made.add_job("a", exec="true")

    def start(run_id):
        return made.run(run_id=run_id, new=True)

    first, _ = running._once("k", "asked", "w", start)
    keys = running.store.home() / "keys"
    (old,) = keys.glob("*.json")
    os.utime(old, (1, 1))
    running._once("another", "asked", "w", start)
    assert not old.exists() and len(list(keys.glob("*.json"))) == 1
    first.wait(30)


# ---- events ---------------------------------------------------------------------------------------------------------


def seqs(text):
    """The numbers of the events in a stream."""
    found = [(int(number), json.loads(data)) for number, data in re.findall(r"^id: (\d+)\ndata: (.*)\n\n", text, re.M)]
    assert all(number == event["seq"] for number, event in found)
    return [number for number, _ in found]


def test_events_are_streamed_replayed_and_end(server):
    """A stream tells each event once and ends with the run; `Last-Event-ID` goes on from there; then 204."""
    go = server.root / "go-stream"
    body = {"nodes": {"a": {"exec": 'while [ ! -e "$GO" ]; do sleep 0.05; done', "env": {"GO": str(go)}}}}
    server.workflow("streamed", body)
    run = server("POST", "runs", 201, json={"workflow": "streamed"}).json()["run"]
    texts = []
    readers = [
        threading.Thread(target=lambda: texts.append(server("GET", f"runs/{run}/events").text)) for _ in range(3)
    ]
    for reader in readers:
        reader.start()
    polled, seen = [], 0
    while not polled or polled[-1]["type"] != "start":
        told = server("GET", f"runs/{run}/events?wait=20&after={seen}").json()
        polled, seen = polled + told["events"], told["seq"]
    assert server("GET", f"runs/{run}/events?wait=0.1&after={seen}").json() == {
        "events": [],
        "seq": seen,
        "ended": False,
    }
    assert server.plain("HEAD", f"runs/{run}/events").headers["Content-Type"] == "text/event-stream"
    go.touch()
    for reader in readers:
        reader.join(30)
    whole = seqs(texts[0])
    assert texts[0] == texts[1] == texts[2] and whole == list(range(1, len(whole) + 1))
    assert [event["seq"] for event in polled] == whole[:seen]
    assert seqs(server("GET", f"runs/{run}/events", headers={"Last-Event-ID": "2"}).text) == whole[2:]
    server("GET", f"runs/{run}/events", 204, headers={"Last-Event-ID": str(whole[-1])})
    assert server("GET", f"runs/{run}/events?wait=20&after={whole[-1]}").json()["ended"]


@pytest.fixture
def listening(jp_fetch, jp_http_port, jp_base_url, jp_auth_header):
    """Ask over a connection of one's own and wait for words of the answer; what closes it."""

    async def call(path, words):
        reader, writer = await asyncio.open_connection("localhost", jp_http_port)
        head = f"GET {jp_base_url}cc/api/{path} HTTP/1.1\r\nHost: localhost\r\n"
        writer.write(f"{head}Authorization: {jp_auth_header['Authorization']}\r\n\r\n".encode())
        text = b""
        while words not in text:
            text += await asyncio.wait_for(reader.read(1000), 20)
        return writer

    return call


async def test_a_silent_stream_lives_and_ends_with_its_client(listening, monkeypatch, folder):
    """A comment comes where nothing happens; when the last client goes, nobody reads the journal any more."""
    monkeypatch.setattr(following, "HEARTBEAT", 0.2)
    made = Workflow(name="w")
    made.add_job("a", exec="sleep 60")
    run = await asyncio.to_thread(made.run)
    writer = await listening(f"runs/{run.id}/events", b": still here")
    assert list(following.Follower.shared) == [run.id]
    writer.close()
    for _ in range(100):
        await asyncio.sleep(0.05)
        if not following.Follower.shared:
            break
    assert not following.Follower.shared
    await asyncio.to_thread(lambda: run.cancel().wait(30))


def test_a_log_is_followed_until_its_job_has_ended(server, capsys):
    """What is there comes at once, the rest as it is written, later attempts too; a tail goes on as well."""
    go = server.root / "go-log"
    script = 'echo one; while [ ! -e "$GO" ]; do sleep 0.05; done; echo zwei ü; [ -e "$GO.2" ] || ! touch "$GO.2"'
    server.workflow("followed", {"nodes": {"a": {"exec": script, "env": {"GO": str(go)}, "retry": 1}}})
    run = server("POST", "runs", 201, json={"workflow": "followed"}).json()["run"]
    path = f"runs/{run}/jobs/a/log?follow=true"
    whole, tail = (server.plain("GET", path + more, stream=True).iter_content(None) for more in ("", "&start=-2"))
    assert next(whole) == b"one\n" and next(tail) in (b"e\n", b"one\n")  # it may have come before the job began
    go.touch()
    assert b"".join(whole).decode() == "zwei ü\none\nzwei ü\n" and b"".join(tail).endswith("zwei ü\n".encode())
    assert server("GET", f"{path}&attempt=1").text == server("GET", path).text == "one\nzwei ü\n"
    assert server("GET", f"{path}&start=-3").text == "ü\n"
    server("GET", f"{path}&attempt=9", 422)
    server("GET", f"{path}&start={1 << 70}", 422)
    server("GET", f"runs/{run}/jobs/nobody/log?follow=true", 404)
    rest = RESTWorkflow(server.base, server.token)
    assert rest.log(run, "a", follow=True) == capsys.readouterr().out == "one\nzwei ü\n"


def test_a_followed_log_is_whole_after_a_silence(server, capsys, monkeypatch):
    """The attempt changes while the client asks again after a silence: the new one's log is told from its beginning."""
    go = server.root / "go-silent"
    script = (
        'if [ -e "$GO" ]; then echo the second; exit; fi; echo one; while [ ! -e "$GO" ]; do sleep 0.05; done; exit 1'
    )
    server.workflow("silent", {"nodes": {"a": {"exec": script, "env": {"GO": str(go)}, "retry": 1}}})
    run = server("POST", "runs", 201, json={"workflow": "silent"}).json()["run"]

    class Silent(RESTWorkflow):
        def _ask(self, method, *names, **options):
            if names[-1] == "log" and options["params"]["start"] == len("one\n"):
                go.touch()
                until(lambda: server("GET", f"runs/{run}").json()["state"] == "done")
            return super()._ask(method, *names, **options)

    monkeypatch.setattr(client, "LIMIT", 2)
    assert Silent(server.base, server.token).log(run, "a", follow=True) == "the second\n"
    assert capsys.readouterr().out == "one\nthe second\n"


async def test_a_log_is_followed_no_longer_when_its_reader_goes(listening, folder):
    """The request ends with its client, though the job goes on."""

    def requests_now():
        return [task for task in asyncio.all_tasks() if task.get_coro().__qualname__ == "RequestHandler._execute"]

    made = Workflow(name="w")
    made.add_job("a", exec="echo begun; sleep 60")
    run = await asyncio.to_thread(made.run)
    writer = await listening(f"runs/{run.id}/jobs/a/log?follow=true", b"begun")
    assert requests_now()
    writer.close()
    for _ in range(100):
        await asyncio.sleep(0.05)
        if not requests_now():
            break
    assert not requests_now()
    await asyncio.to_thread(lambda: run.cancel().wait(30))


# ---- the client ------------------------------------------------------------------------------------------------------


def test_the_client_does_the_articles_figure_14(server, folder, monkeypatch):
    """A server of this user is found; upload, look, change, run, wait, log, cancel, delete; refusals are our errors."""
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", server.environment["JUPYTER_RUNTIME_DIR"])
    (folder / "a.sh").write_text("echo '# cloudmesh progress=50 rows=7'")
    (folder / "afar.yaml").write_text("workflow: {nodes: {a: {script: a.sh}}}")
    rest = RESTWorkflow()
    assert rest.url.endswith(f":{server.port}/lab1/cc/api")
    assert rest.upload_workflow("afar.yaml")["name"] == "afar" and rest.add_job("afar", "b", exec="true", after="a")
    assert "afar" in [found["name"] for found in rest.list_workflows()]
    assert list(rest.get_workflow("afar")["workflow"]["nodes"]) == ["a", "b"]
    run = rest.run_workflow("afar", key="k-afar")["run"]
    assert rest.run_workflow("afar", key="k-afar")["run"] == run
    assert rest.wait(run)["state"] == "done" and [event["type"] for event in rest.events(run)][-1] == "end"
    assert rest.log(run, "a") == "# cloudmesh progress=50 rows=7\n"
    with pytest.raises(InputError, match="has ended already"):
        rest.cancel(run)
    with pytest.raises(InputError, match="did you mean 'afar'"):
        rest.get_workflow("afer")
    rest.delete_workflow("afar", "b")
    rest.delete_workflow("afar")
    assert "afar" not in [found["name"] for found in rest.list_workflows()]
    with pytest.raises(InputError, match="orbidden"):
        RESTWorkflow(server.base, "wrong")
    with pytest.raises(UnavailableError):
        RESTWorkflow("http://127.0.0.1:1", "")


# ---- pages and README -----------------------------------------------------------------------------------------------


def test_the_documentation_needs_no_network(server):
    """`cc/docs` shows OpenAPI by files of this server only."""
    pytest.importorskip("swagger_ui_bundle")
    headers = {"Authorization": f"token {server.token}"}
    page = requests.get(f"{server.base}/cc/docs", headers=headers, timeout=9)
    assert page.ok and "://" not in page.text
    for found in re.findall(r'(?:src|href)="([^"]*)"', page.text):
        assert requests.get(f"{server.base}/cc/{found}", headers=headers, timeout=9).ok
    assert server("GET", "openapi.yaml").text.startswith("openapi: 3.1.0")


def test_the_readmes_requests_work(server):
    """The curl commands and the Python of the README's section REST, as they stand."""
    environment = server.environment | {"URL": server.url, "TOKEN": server.token}
    (server.root / "hello.yaml").write_text(
        "workflow: {nodes: {fetch: {exec: \"echo '# cloudmesh progress=50 rows=3'\"}}}"
    )
    ran = 0
    for comments, language, text in EXAMPLE.findall(README):
        if "rest" in comments:
            commands = (
                re.findall(r"^\$ (curl .*)$", text.replace("\\\n", ""), re.M) if language == "console" else [text]
            )
            for command in commands:
                words = ["bash", "-ec", command] if language == "console" else [sys.executable, "-c", command]
                done = subprocess.run(
                    words, env=environment, cwd=server.root, capture_output=True, text=True, timeout=60
                )
                assert done.returncode == 0 and '"message"' not in done.stdout, (
                    shlex.join(words),
                    done.stdout,
                    done.stderr,
                )
                ran += 1
    assert ran >= 5
