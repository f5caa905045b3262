"""The service of this user: the one Jupyter server that `jupyter cc start` has started, and how others find it.

Who holds the lock in its folder is the service. The files beside it are believed only while somebody does: a process
id, a port or a token that an ended service has left is never used.
"""

import fcntl
import json
import os
import secrets
import select
import signal
from contextlib import suppress
from pathlib import Path
from typing import Any

from cc_notebook import store
from cc_notebook.errors import InputError, UnavailableError

NONE = "the service is not running: jupyter cc start"


def folder() -> Path:
    """Where it keeps its files, for its owner alone."""
    path = store.home() / "service"
    path.mkdir(mode=0o700, exist_ok=True)
    return path


def hold() -> str:
    """Be the service until this process ends; its token, new for each start. If there is another, this process ends."""
    lock = _lock()
    signal.alarm(5)  # who only looks whether somebody has it has it for an instant, another service for good
    fcntl.flock(lock, fcntl.LOCK_EX)
    signal.alarm(0)
    (folder() / "service.json").unlink(missing_ok=True)
    token = secrets.token_urlsafe(32)
    store.write_new(folder() / "token", token)
    return token


def tell(**facts: str) -> None:
    """Say, as who holds the lock, where the service is."""
    store.write_new(folder() / "service.json", json.dumps({"pid": os.getpid(), **facts}))


def running() -> dict[str, Any] | None:
    """What the service tells of itself; empty if it is just about to start or to end, None if there is none."""
    with open(_lock()) as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            with suppress(FileNotFoundError):
                return {**json.loads((folder() / "service.json").read_text()), "token_file": str(folder() / "token")}
            return {}
    return None


def known() -> dict[str, Any]:
    """What the service tells of itself. Raises InputError if it is not running."""
    if not (found := running()):
        raise InputError(NONE)
    return found


def stop(limit: float) -> None:
    """End it. Raises InputError if it is not running, UnavailableError if it does not end."""
    told = known()
    with suppress(ProcessLookupError):
        process = os.pidfd_open(told["pid"])
        if running() == told:  # so this is the service's process, and no other can take its place
            signal.pidfd_send_signal(process, signal.SIGTERM)
            if not select.select([process], [], [], limit)[0]:
                raise UnavailableError(f"the service does not end: kill -9 {told['pid']}")


def _lock() -> int:
    return os.open(folder() / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
