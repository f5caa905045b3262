"""Runs a module in the place of `python -m`: `python warm.py MODULE WORDS`, in a process that has imported it already.

Papermill takes a second to import, a kernel a third of one. So on this computer the engine of a run starts a parent for
each of them, `python warm.py MODULE`, which imports once. For each that asks it forks a guard, and that its child, the
notebook or the kernel. The process that asked hands over what it was given (environment, working directory, limits,
open files), passes signals on and ends as the child ends; a child that has lost it, or its guard, is killed at once.
They share what was imported and nothing else. Where there is no parent, as on other machines, or where the interpreter
would start differently, the module runs in the process that asked. This file is copied beside every run and needs
nothing of ours.
"""

import ctypes
import json
import os
import resource
import runpy
import select
import signal
import socket
import sys
from collections.abc import Sequence
from contextlib import suppress
from importlib import import_module
from typing import Any

KERNEL = "ipykernel_launcher"
IMPORTS = {KERNEL: ("ipykernel.kernelapp", "ipykernel.debugger")}  # of a module that imports nothing by itself
EARLY = ("PYTHON", "LD_", "LC_", "LANG", "TZ", "HOME", "TERM", "MALLOC_", "GLIBC_", "JUPYTER_")  # read once, early
LIMITS = [getattr(resource, name) for name in dir(resource) if name.startswith("RLIMIT_")]
PASSED = (signal.SIGTERM, signal.SIGINT)
PATIENCE = 60.0  # seconds until a parent that does not begin is left alone
BEGUN = b"+"
DIE = (1, signal.SIGKILL)  # PR_SET_PDEATHSIG: what to be sent when the parent ends
HERE = os.path.dirname(os.path.realpath(__file__))


def ask(module: str, words: Sequence[str]) -> int | None:
    """Let the parent do it; the exit code (minus the signal), or None if there is no parent: then nothing was done."""
    handlers = [signal.getsignal(number) for number in PASSED]
    with socket.socket(socket.AF_UNIX) as line:
        try:
            _hand_over(line, module, words)
        except OSError:
            _handle(handlers)
            return None
        with suppress(OSError):
            return int(line.recv(9) or -signal.SIGKILL)
        return -signal.SIGKILL  # as the child was, most likely: nobody knows how it ended


def _hand_over(line: socket.socket, module: str, words: Sequence[str]) -> None:
    """Ask, and see that it has begun. Raises OSError: it has not, and will not."""
    os.umask(mask := os.umask(0o077))
    given = {"words": words, "cwd": os.getcwd(), "mask": mask, "env": dict(os.environ)}
    given["limits"] = [resource.getrlimit(limit) for limit in LIMITS]
    text = json.dumps(given).encode()
    line.settimeout(PATIENCE)
    folder = os.open(HERE, os.O_RDONLY)
    try:
        line.connect(f"/proc/self/fd/{folder}/warm.{module}")  # the folder's own name may be too long for a socket
    finally:
        os.close(folder)
    socket.send_fds(line, [len(text).to_bytes(4)], [0, 1, 2])
    line.sendall(text)

    def pass_on(number: int, _: object) -> None:
        with suppress(OSError):  # it has just ended
            line.send(bytes([number]))

    _handle([pass_on] * len(PASSED))
    if line.recv(1) != BEGUN:
        raise ConnectionError("no parent, or one that is not fit for it")
    line.settimeout(None)


def serve(listener: socket.socket, module: str) -> None:
    """Be the parent until the engine goes, which reads our standard output. Ends with a child's exit, in a child."""
    for name in IMPORTS.get(module, [module]):
        import_module(name)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for the guards
    poll = select.poll()
    poll.register(1, 0)  # an error: nobody reads it any more
    poll.register(listener, select.POLLIN)
    while all(descriptor != 1 for descriptor, _ in poll.poll()):
        line, _ = listener.accept()
        if os.fork() == 0:
            listener.close()  # nobody shall wait for us
            _guard(line, module)
            return
        line.close()


def _guard(line: socket.socket, module: str) -> None:
    """Fork the child; pass on the signals that it is sent, and tell how it ended. It is killed when nobody asks."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    size, files, _, _ = socket.recv_fds(line, 4, 3)
    given: dict[str, Any] = json.loads(line.recv(int.from_bytes(size), socket.MSG_WAITALL))
    if any(given["env"].get(key) != os.environ.get(key) for key in given["env"] | os.environ if key.startswith(EARLY)):
        return
    _bear(given["env"]["CC_ATTEMPT"].encode())
    os.setsid()
    handlers = _handle([signal.SIG_IGN] * len(PASSED))  # what its group is sent reaches it too
    line.sendall(BEGUN)
    if (child := os.fork()) == 0:
        _handle(handlers)
        line.detach()
        _begin(given, files, module)
        return
    poll = select.poll()
    poll.register(line, select.POLLIN)
    poll.register(ended := os.pidfd_open(child), select.POLLIN)
    while all(descriptor != ended for descriptor, _ in poll.poll()):
        os.killpg(0, (line.recv(1) or bytes([signal.SIGKILL]))[0])
    _, status = os.waitpid(child, 0)
    line.sendall(str(os.waitstatus_to_exitcode(status)).encode())


def _begin(given: dict[str, Any], files: Sequence[int], module: str) -> None:
    """Take over what the process that asked was given, and run the module."""
    ctypes.CDLL(None).prctl(*DIE)  # with the guard
    for number, file in enumerate(files):
        os.dup2(file, number)
    os.closerange(3, os.sysconf("SC_OPEN_MAX"))
    os.umask(given["mask"])
    os.environ.update(given["env"])
    for limit, values in zip(LIMITS, given["limits"], strict=True):
        with suppress(OSError, ValueError):
            resource.setrlimit(limit, values)
    os.chdir(given["cwd"])
    run(module, given["words"])


def _handle(handlers: Sequence[Any]) -> list[Any]:
    """Let these handle the signals that are passed on; those that did before."""
    return [signal.signal(number, handler) for number, handler in zip(PASSED, handlers, strict=True)]


def _bear(token: bytes) -> None:
    """Write the attempt's token over what the parent has in its place, where a system shows a process's environment:
    by it an engine knows who belongs to an attempt."""
    find = ctypes.CDLL(None).getenv
    find.restype = ctypes.c_void_p
    if (place := find(b"CC_ATTEMPT")) and len(token) < (room := len(os.environb[b"CC_ATTEMPT"])):
        ctypes.memmove(place, (token + b"\0").ljust(room, b"."), room)


def run(module: str, words: Sequence[str]) -> None:
    """As `python -m MODULE WORDS` does."""
    sys.argv = [module, *words]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


def main(module: str, words: Sequence[str]) -> None:
    """Be the parent, or run the module with the words that are given."""
    # what stands beside us is not for the notebook's cells; for others it is, also where PYTHONSAFEPATH forbids it
    sys.path[:] = [HERE] * (module != KERNEL) + [path for path in sys.path if path != HERE]
    if not words:
        serve(socket.socket(fileno=0), module)
        return
    if module == KERNEL:
        ctypes.CDLL(None).prctl(*DIE)  # with what executes the notebook
    if (code := ask(module, words)) is None:
        run(module, words)
        return
    if code < 0:
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        with suppress(OSError):  # of KILL
            signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    sys.exit(code)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
