"""The engine of a run as a process: is there one, start one, and the right to be it."""

import errno
import fcntl
import os
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

from cc_notebook.errors import ResourceError


def start(folder: Path) -> None:
    """Start the run's engine as a process of its own that outlives this one; harmless if there is one."""
    if ring(folder):
        return
    log = os.open(folder / "engine.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    try:
        words, none = [sys.executable, "-m", "cc_notebook.engine", str(folder)], subprocess.DEVNULL
        child = subprocess.Popen(words, stdin=none, stdout=log, stderr=log, cwd="/", start_new_session=True)
    except OSError as error:
        raise ResourceError(f"no engine could be started for {folder.name}: {error}") from error
    finally:
        os.close(log)
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline and not ring(folder) and child.poll() is None:
        time.sleep(0.01)
    child.returncode = child.returncode or 0  # it is meant to go on without us


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
