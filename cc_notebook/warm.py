"""Runs one notebook: `python warm.py NOTEBOOK`, the payload of a notebook job. Papermill takes a second to import.

So on this computer the engine of a run starts one parent, `python warm.py`, which imports once and forks a child for
each notebook. The job's own process hands the child what it was given (environment, working directory, limits, open
files), passes TERM on and ends as the child ends; a child that has lost it ends at once. Jobs share what was imported
and nothing else: each has a process and a kernel of its own. No kernel is started ahead of its job: its environment
when it begins is what tells a job's processes from all others, for whoever cancels it. Where there is no parent, as on
other machines, the notebook runs in the job's own process. This file is copied beside every run and needs nothing of
ours but notebook.py.
"""

import atexit
import ctypes
import json
import os
import resource
import select
import signal
import socket
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from importlib import import_module
from typing import Any

LIMITS = [getattr(resource, name) for name in dir(resource) if name.startswith("RLIMIT_")]
PATIENCE = 60.0  # seconds until a parent that does not begin is left alone
STOP, BEGUN = b"t", b"+"  # from the job's process: TERM was received; from the child: the notebook begins


def ask(path: str) -> int | None:
    """Let the parent run the notebook; its exit code, or None if there is no parent: then nothing was done."""
    folder = os.open(os.path.dirname(os.path.abspath(__file__)), os.O_RDONLY)
    os.umask(mask := os.umask(0o077))
    given = {"path": path, "cwd": os.getcwd(), "mask": mask, "env": dict(os.environ)}
    given["limits"] = [resource.getrlimit(limit) for limit in LIMITS]
    with socket.socket(socket.AF_UNIX) as line, suppress(OSError):
        line.settimeout(PATIENCE)
        line.connect(f"/proc/self/fd/{folder}/warm")  # the folder's own name may be too long for a socket
        signal.signal(signal.SIGTERM, lambda *_: line.send(STOP))
        socket.send_fds(line, [b"."], [0, 1, 2])
        line.sendall(json.dumps(given).encode() + b"\n")
        if line.recv(1) == BEGUN:
            line.settimeout(None)
            if told := line.recv(9):
                return int(told)
            os.kill(os.getpid(), signal.SIGKILL)  # as the child was, most likely: nobody knows how it ended
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    return None


def serve(listener: socket.socket) -> int:
    """Fork a child for each notebook until the engine goes, which reads our standard output; the child's exit code."""
    notebook = import_module("notebook")
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for the children but the jobs' own processes
    poll = select.poll()
    poll.register(1, 0)  # an error: nobody reads it any more
    poll.register(listener, select.POLLIN)
    while all(descriptor != 1 for descriptor, _ in poll.poll()):
        line, _ = listener.accept()
        if os.fork() == 0:
            listener.detach()  # the job's standard input gets its number
            return _child(line, notebook.main)
        line.close()
    return 0


def _child(line: socket.socket, work: Callable[[str], int]) -> int:
    """Take over what the job's process was given, do the work, and tell the exit code at the very end."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    _, files, _, _ = socket.recv_fds(line, 1, 3)
    heard = line.makefile("rb")
    given: dict[str, Any] = json.loads(heard.readline() or sys.exit(1))
    for number, file in enumerate(files):
        os.dup2(file, number)
        os.close(file)
    _bear(given["env"]["CC_ATTEMPT"].encode())
    os.umask(given["mask"])
    os.environ.clear()
    os.environ.update(given["env"])
    for limit, values in zip(LIMITS, given["limits"], strict=True):
        with suppress(OSError, ValueError):
            resource.setrlimit(limit, values)
    os.chdir(given["cwd"])

    def listen() -> None:
        while heard.read(1) == STOP:
            os.kill(os.getpid(), signal.SIGTERM)
        os._exit(1)

    threading.Thread(target=listen, daemon=True).start()
    line.sendall(BEGUN)
    code = 1
    atexit.register(lambda: line.sendall(str(code).encode()))  # what the work registers comes before it
    code = work(given["path"])
    return code


def _bear(token: bytes) -> None:
    """Write the attempt's token over what the parent has in its place, where a system shows a process's environment:
    by it an engine knows who belongs to an attempt."""
    find = ctypes.CDLL(None).getenv
    find.restype = ctypes.c_void_p
    if (place := find(b"CC_ATTEMPT")) and len(token) < (room := len(os.environb[b"CC_ATTEMPT"])):
        ctypes.memmove(place, (token + b"\0").ljust(room, b"."), room)


def main(words: list[str]) -> int:
    """Be the parent, or run the notebook that is named; the exit code."""
    if not words:
        return serve(socket.socket(fileno=0))
    code = ask(words[0])
    return int(import_module("notebook").main(words[0])) if code is None else code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
