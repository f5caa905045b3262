"""Requests that nobody thought of: schemathesis reads OpenAPI and asks a real server for all of it, and more."""

import subprocess
import sys

import pytest

pytest.importorskip("schemathesis", reason="needs the test extra: pip install -e '.[test]'")
pytest.importorskip("jupyter_server")
from test_service import DEMO, Server

# Control characters in a header are refused where HTTP is read, before there is an application that could answer.
HOOKS = """
import schemathesis

@schemathesis.hook
def map_headers(context, headers):
    return {key: "".join(c for c in str(value) if " " <= c != chr(127)) for key, value in (headers or {}).items()}
"""
CONFIG = """
hooks = "./hooks.py"

[auth.openapi.token]
api_key = "token TOKEN"

# What JSON Schema allows may yet be no workflow (422), archive (415) or form (400), be too large, or not fit the state.
[checks.positive_data_acceptance]
expected-statuses = ["2xx", "3xx", 400, 403, 404, 409, 412, 413, 415, 422]

[parameters]
"path.name" = "known"
"path.run" = "RUN"
"path.job" = "a"

# Always the same is deleted, whatever was made before: the second time it is not there any more.
[[operations]]
include-method = "DELETE"
parameters = { "path.name" = "other", "path.run" = "OTHER" }
checks = { ensure_resource_availability = { enabled = false } }

# Not every job is a notebook or a loop, so these may be missing in a run that has just been made.
[[operations]]
include-path = ["/runs/{run}/jobs/{job}/notebook", "/runs/{run}/results/{job}"]
checks = { ensure_resource_availability = { enabled = false } }
"""
# Checks that are not made, with the reason. All others are, also the stateful ones.
EXCLUDED = {"missing_required_header": "a Jupyter server says 403 and not 401; see test_a_stranger_gets_nothing"}


@pytest.mark.timeout(600)
def test_openapi_tells_what_is_answered(tmp_path, every):
    """No answer but as OpenAPI says: no 5xx, no other status, type, header or body, nothing without a login."""
    server = Server(tmp_path)
    try:
        values = {
            "TOKEN": server.token,
            "RUN": server.run("known", DEMO | {"params": {"n": 3}}),
            "OTHER": server.run("other", DEMO),
        }
        config = CONFIG
        for word in ("TOKEN", "OTHER", "RUN"):
            config = config.replace(word, values[word])
        (tmp_path / "openapi.json").write_text(server.plain("GET", "openapi.json").text)
        (tmp_path / "schemathesis.toml").write_text(config)
        (tmp_path / "hooks.py").write_text(HOOKS)
        words = [sys.executable, "-m", "schemathesis.cli", "--config-file=schemathesis.toml", "run", "openapi.json"]
        words += [f"--url={server.url}", f"--max-time={300 if every == 1 else 16}", "--request-timeout=30"]
        words += [f"--exclude-checks={','.join(EXCLUDED)}", "--suppress-health-check=all"]
        words += [] if every == 1 else ["--seed=1"]
        done = subprocess.run(words, capture_output=True, text=True, cwd=tmp_path, timeout=500)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "Traceback" not in server.log.read_text()
        assert server.plain("GET", "workflows/known").ok and server.plain("GET", "runs/" + values["RUN"]).ok
        if every == 1:  # else the time may be over before the turn of what removes it
            assert server.plain("GET", "workflows/other").status_code == 404
    finally:
        server.stop()
