"""The processes of this machine, read from /proc: who belongs to an attempt, and signals that hit nobody else."""

import os
import signal
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass

from cc_notebook.hosts.base import Claim


@dataclass(frozen=True, slots=True)
class Process:
    """One process: `born` is its start in clock ticks since boot; a zombie is not listed, it is dead."""

    pid: int
    session: int
    born: str


def boot_id() -> str:
    """This boot's id; '-' where the system has none."""
    with suppress(OSError), open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
        return file.read().strip()
    return "-"


def process(pid: int) -> Process | None:
    """The living process `pid`, or None."""
    with suppress(OSError, ValueError), open(f"/proc/{pid}/stat", "rb") as file:
        fields = file.read().rpartition(b")")[2].split()  # the name before it may hold anything
        if fields and fields[0] not in (b"Z", b"X"):
            return Process(pid, int(fields[3]), fields[19].decode())
    return None


def is_claimer(claim: Claim, token: str) -> bool:
    """True if the very process that took the claim lives; another process with its pid has not its token."""
    return claim.boot == boot_id() and process(claim.pid) is not None and _token(claim.pid) == token


def members(attempts: Iterable[tuple[str, Claim | None]]) -> dict[str, list[Process]]:
    """For each (token, claim) the living processes of the attempt's session or with its token, in one pass."""
    boot = boot_id()
    sessions = {}
    result: dict[str, list[Process]] = {}
    for token, claim in attempts:
        result[token] = []
        # a living leader without the token is somebody else, who has the pid now
        if claim and claim.boot == boot and (process(claim.pid) is None or _token(claim.pid) == token):
            sessions[claim.pid] = token
    for found in _all():
        token = _token(found.pid)
        token = token if token in result else sessions.get(found.session, "")
        if token:
            result[token].append(found)
    return result


def _all() -> Iterator[Process]:
    for name in os.listdir("/proc"):
        if name.isdigit() and (found := process(int(name))):
            yield found


def _token(pid: int) -> str:
    with suppress(OSError), open(f"/proc/{pid}/environ", "rb") as file:
        for part in file.read().split(b"\0"):
            if part.startswith(b"CC_ATTEMPT="):
                return part[11:].decode(errors="replace")
    return ""


def send(target: Process, number: signal.Signals) -> None:
    """Signal exactly this process: the descriptor holds it, so a reused pid cannot be hit."""
    with suppress(ProcessLookupError):
        descriptor = os.pidfd_open(target.pid)
        try:
            now = process(target.pid)
            if now and now.born == target.born:
                signal.pidfd_send_signal(descriptor, number)
        finally:
            os.close(descriptor)
