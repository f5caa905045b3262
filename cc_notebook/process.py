"""The engine of a run as a process: is there one, start one, and the right to be it."""

import errno
import fcntl
import gc
import os
import subprocess
import sys
import time
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import BinaryIO

from cc_notebook.errors import ResourceError

_ahead: list[subprocess.Popen[bytes]] = []  # an engine that loads, and then waits to be told its run


def ahead() -> None:
    """Start an engine whose run is still to be made: it loads while the workflow is read; see `start`."""
    with suppress(OSError):  # then it is started later
        _ahead.append(_spawn(subprocess.PIPE, subprocess.DEVNULL))


def start(folder: Path) -> None:
    """Start the run's engine as a process of its own that outlives this one; harmless if there is one."""
    child = _ahead.pop() if _ahead else None
    if not child and ring(folder):
        return
    try:
        if child and child.stdin:
            with child.stdin as line:
                line.write(os.fsencode(folder))
        with _log(folder) as log:
            child = child or _spawn(subprocess.DEVNULL, log, str(folder))
    except OSError as error:
        raise ResourceError(f"no engine could be started for {folder.name}: {error}") from error
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline and not ring(folder) and child.poll() is None:
        time.sleep(0.01)
    child.returncode = child.returncode or 0  # it is meant to go on without us


def told() -> Path:
    """The run's folder, in its engine: its argument, or told by who started it ahead; if not needed it ends here."""
    import_module("cc_notebook.hosts.local")  # of which most runs have need
    gc.freeze()  # what is loaded stays: nobody is to look for garbage in it again and again
    if sys.argv[1:]:
        return Path(sys.argv[1])
    folder = Path(sys.stdin.read() or sys.exit())
    with _log(folder) as log:
        os.dup2(log.fileno(), sys.stdout.fileno())
        os.dup2(log.fileno(), sys.stderr.fileno())
    return folder


def _log(folder: Path) -> BinaryIO:
    from cc_notebook.hosts.folder import private  # with much else, for which `ahead` does not wait

    return open(folder / "engine.log", "ab", opener=private)


def _spawn(given: int, log: int | BinaryIO, *words: str) -> subprocess.Popen[bytes]:
    words = (sys.executable, "-m", "cc_notebook.engine", *words)
    return subprocess.Popen(words, stdin=given, stdout=log, stderr=log, cwd="/", start_new_session=True)


def ring(folder: Path, text: bytes = b"") -> bool:
    """Write to the FIFO on which a run's engine listens; False if nobody does."""
    try:
        descriptor = os.open(folder / "bell", os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        if error.errno in (errno.ENXIO, errno.ENOENT):
            return False
        raise
    try:
        with suppress(BlockingIOError, BrokenPipeError):  # full of unread bytes: it is awake
            os.write(descriptor, text)
        return True
    finally:
        os.close(descriptor)


def lock(folder: Path, seconds: float) -> bool:
    """Take the run's writer lock, which dies with its holder; False if a living engine has it."""
    descriptor = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        with suppress(BlockingIOError):
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        if ring(folder):
            break
        time.sleep(0.02)  # the other is about to end, or about to listen
    os.close(descriptor)
    return False
