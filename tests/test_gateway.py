"""Notebooks whose kernel runs on another Jupyter server: a real one with a token, and what can go wrong with it."""

import asyncio
import json
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import suppress
from queue import Empty

import pytest
from conftest import until
from test_notebooks import notebook, workflow

from cc_notebook import gateway

TOKEN = "not-guessed"
HEADERS = {"Authorization": f"token {TOKEN}"}


@pytest.fixture
def server(tmp_path):
    """A second Jupyter server: its URL and its process."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = [
        sys.executable,
        "-m",
        "jupyter_server",
        "--no-browser",
        "--allow-root",
        f"--port={port}",
        "--port-retries=0",
    ]
    words += [f"--IdentityProvider.token={TOKEN}", f"--ServerApp.root_dir={tmp_path}"]
    with open(tmp_path / "server.log", "wb") as log:
        process = subprocess.Popen(words, stdout=log, stderr=log, cwd=tmp_path)
    url = f"http://127.0.0.1:{port}"
    until(lambda: answers(url), 60)
    yield url, process
    process.send_signal(signal.SIGCONT)
    process.terminate()
    process.wait(30)


def answers(url):
    with suppress(OSError):
        return kernels(url) is not None
    return False


def kernels(url, method="GET", path=""):
    """The kernels that the server has, or the answer to another request."""
    request = urllib.request.Request(f"{url}/api/kernels{path}", headers=HEADERS, method=method)
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.loads(answer.read() or "null")


def job(url, **more):
    return {"script": "n.ipynb", "kernel_gateway": url, "env": {"JUPYTER_GATEWAY_AUTH_TOKEN": TOKEN}, **more}


def test_a_notebook_runs_against_another_server(folder, server):
    """Params go in, outputs and progress come out, also messages in bytes, the kernel is the server's, none is left."""
    url, process = server
    notebook(
        folder,
        "n.ipynb",
        "size = 1",
        "import comm, os\ncomm.create_comm('t', data={}, buffers=[b'1', b'23'])\n"
        "print(f'# cloudmesh progress=50 double={size * 2} parent={os.getppid()}')",
        tagged=True,
    )
    run = workflow(a=job(url, params={"size": 21})).run().wait(100)
    status = run.status("a")
    assert run.state == "done", (run.log("a"), run.explain("a"))
    assert status["outputs"] == {"double": 42, "parent": process.pid} and status["step"] == "2/2"
    assert kernels(url) == []


@pytest.mark.parametrize(
    ("source", "options", "told"),
    [
        ("1 / 0", {}, "cell 2: ZeroDivisionError: division by zero"),
        ("import os; os._exit(3)", {}, "cell 2: DeadKernel: the kernel died"),
        ("import time; time.sleep(1000)", {"cell_timeout": 2}, "cell 2: CellTimeout"),
        ("import time; time.sleep(1000)", {"timeout": 6}, "the time limit of 6 s was reached, in cell 2"),
    ],
)
def test_a_failure_on_the_other_server(folder, server, source, options, told):
    """An error of a cell, the death of the kernel, a cell or a job without end: told as at home, no kernel is left."""
    notebook(folder, "n.ipynb", "print('begins')", source)
    run = workflow(a=job(server[0], **options)).run().wait(100)
    assert run.state == "failed" and run.status("a")["reason"].startswith(told), run.status("a")["reason"]
    until(lambda: kernels(server[0]) == [])


def test_cancel_leaves_no_kernel(folder, server):
    """A cancelled notebook ends at once, and its kernel on the other server too."""
    notebook(folder, "n.ipynb", "print('begins')", "import time; time.sleep(1000)")
    run = workflow(a=job(server[0])).run()
    until(lambda: run.refresh().jobs["a"].step == "1/2", 60)
    assert run.cancel().wait(60).state == "cancelled"
    until(lambda: kernels(server[0]) == [])


@pytest.mark.parametrize(
    ("gone", "told"),
    [
        (signal.SIGSTOP, "the kernel is lost: {} does not answer: Timeout"),
        (signal.SIGKILL, "the kernel is lost: the line to {} was closed"),
        (None, "the kernel died: {} has ended it"),
    ],
)
def test_a_server_that_goes_away(folder, server, gone, told, every):
    """A server that stops answering, or ends the kernel for somebody, is told in time; if it wakes, none is left."""
    if gone == signal.SIGSTOP and every > 1:
        pytest.skip("a long cut of half a minute: make test-all has it")
    url, process = server
    notebook(folder, "n.ipynb", "print('begins')", "import time; time.sleep(1000)")
    run = workflow(a=job(url)).run()
    until(lambda: run.refresh().jobs["a"].step == "1/2", 60)
    if gone:
        process.send_signal(gone)
    else:
        kernels(url, "DELETE", "/" + kernels(url)[0]["id"])
    assert run.wait(90).state == "failed"
    assert run.status("a")["reason"].startswith(f"cell 2: DeadKernel: {told.format(url)}"), run.status("a")["reason"]
    if gone != signal.SIGKILL:
        process.send_signal(signal.SIGCONT)
        until(lambda: kernels(url) == [])


def test_waiting_takes_no_processor():
    """Who waits for a message sleeps."""
    begin = time.process_time()
    with pytest.raises(Empty):
        asyncio.run(gateway.Channel("shell", None).get_msg(timeout=0.5))
    assert time.process_time() - begin < 0.2


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"env": {"JUPYTER_GATEWAY_AUTH_TOKEN": "wrong"}}, "answers 403: set JUPYTER_GATEWAY_AUTH_TOKEN"),
        ({"kernel_gateway": "http://127.0.0.1:9"}, "the kernel gateway http://127.0.0.1:9 does not answer"),
        ({"kernel": "fortran"}, "there is no kernel 'fortran' on http://127.0.0.1:"),
    ],
)
def test_no_way_in(folder, server, options, told):
    """A wrong token, an address where nobody listens and a kernel that is not there are clear failures."""
    notebook(folder, "n.ipynb", "print(1)")
    run = workflow(a={**job(server[0]), **options}).run().wait(100)
    assert run.state == "failed" and told in run.status("a")["reason"]
