"""The processes of this machine: who belongs to an attempt, and signals that hit nobody else."""

import os
import signal
from collections.abc import Iterable, Sequence
from contextlib import suppress

import psutil

from cc_notebook.hosts.base import Claim

Living = Sequence[psutil.Process]
UNKNOWN: Living = (psutil.Process(),)  # not looked at yet: somebody may be left


def boot_id() -> str:
    """This boot's id; '-' where the system has none."""
    with suppress(OSError), open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
        return file.read().strip()
    return "-"


def is_claimer(claim: Claim, token: str) -> bool:
    """True if the very process that took the claim lives; another process with its pid has not its token."""
    return claim.boot == boot_id() and _token(claim.pid) == token


def members(attempts: Iterable[tuple[str, Claim | None]]) -> dict[str, list[psutil.Process]]:
    """For each (token, claim) the living processes of the attempt's session or with its token, in one pass."""
    boot, sessions = boot_id(), {}
    result: dict[str, list[psutil.Process]] = {}
    for token, claim in attempts:
        result[token] = []
        # a living leader without the token is somebody else, who has the pid now
        if claim and claim.boot == boot and _token(claim.pid) in (token, None):
            sessions[claim.pid] = token
    for found in psutil.process_iter():
        with suppress(OSError):
            own = _token(found.pid)
            token = own if own in result else sessions.get(os.getsid(found.pid), "")
            if token and own is not None:
                os.kill(found.pid, 0)  # one that we may not signal, begun by sudo, is not ours to wait for
                result[token].append(found)
    return result


def running(commands: Sequence[Sequence[str]]) -> Living:
    """This user's processes that execute one of the commands, whoever began them."""
    living = psutil.process_iter(["cmdline", "uids"])
    return [it for it in living if it.info["cmdline"] in commands and it.info["uids"].real == os.getuid()]


def _token(pid: int) -> str | None:
    """The token in the environment of a living process: '' if it has none, None if it is dead or a zombie."""
    with suppress(psutil.NoSuchProcess):
        process = psutil.Process(pid)
        if process.status() == psutil.STATUS_ZOMBIE:
            return None
        with suppress(psutil.AccessDenied, OSError):
            return process.environ().get("CC_ATTEMPT", "")
        return ""
    return None


def send(target: psutil.Process, number: signal.Signals) -> None:
    """Signal exactly this process: the descriptor holds it, so a reused pid cannot be hit."""
    with suppress(ProcessLookupError, PermissionError):
        descriptor = os.pidfd_open(target.pid)
        try:
            if target.is_running():
                signal.pidfd_send_signal(descriptor, number)
        finally:
            os.close(descriptor)
