"""Loaded by a program under test, the engine or CC_KILL_PROGRAM: counts its operations on disk and its spawns.

CC_KILL_AT=N kills it (SIGKILL) before the N-th operation; CC_KILL_HALF=N in the middle of the N-th write. The count is
left in the file CC_KILL_COUNT at a normal end.
"""

import atexit
import os
import signal
import sys

_at = int(os.environ.pop("CC_KILL_AT", "") or 0)
_half = int(os.environ.pop("CC_KILL_HALF", "") or 0)
_target = os.environ.pop("CC_KILL_COUNT", "")
_program = os.environ.pop("CC_KILL_PROGRAM", "cc_notebook.engine")
_counts = {"operations": 0, "writes": 0}
_WATCHED = ("open", "os.rename", "os.mkdir", "os.remove", "os.link", "os.symlink", "subprocess.Popen", "os.truncate")
_write, _fsync, _open, _close = os.write, os.fsync, os.open, os.close


def _die():
    os.kill(os.getpid(), signal.SIGKILL)


def _count():
    _counts["operations"] += 1
    if _counts["operations"] == _at:
        _die()


def _hook(event, arguments):
    if event not in _WATCHED:
        return
    if event == "open":
        path, _, flags = arguments
        writes = isinstance(flags, int) and flags & (os.O_WRONLY | os.O_RDWR)
        if not writes or not isinstance(path, (str, bytes)) or "/runs/" not in os.fsdecode(path):
            return
    _count()


def _counted_write(descriptor, data):
    _count()
    _counts["writes"] += 1
    if _counts["writes"] == _half:
        _write(descriptor, bytes(data)[: len(data) // 2])
        _die()
    return _write(descriptor, data)


def _counted_fsync(descriptor):
    _count()
    return _fsync(descriptor)


def _leave_count():
    descriptor = _open(_target, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    _write(descriptor, str(_counts["operations"]).encode())
    _close(descriptor)


if _program in " ".join(sys.orig_argv) and (_at or _half):
    if _target:
        atexit.register(_leave_count)
    os.write, os.fsync = _counted_write, _counted_fsync
    sys.addaudithook(_hook)
