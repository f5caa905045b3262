"""Jobs on this computer: wrappers started directly, ends known by pidfd, places shared with the user's other runs."""

import fcntl
import math
import os
import select
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from cc_notebook.errors import ResourceError
from cc_notebook.hosts import procs
from cc_notebook.hosts.base import LOST, Attempt, Claim, Folder, Launch, Observation, read_folder
from cc_notebook.hosts.folder import Log, make, show_log, take_ticket

SOON, LATER = 0.05, 0.5  # seconds between looks: while something starts or is cancelled; for progress
GRACE = 5.0  # seconds between TERM and KILL
LAUNCHES = 3  # how often a wrapper may end without a claim

UNKNOWN = (procs.Process(0, 0, ""),)  # not looked at yet: somebody may be left
Left = Mapping[str, Sequence[procs.Process]]  # token → living processes


@dataclass(slots=True, eq=False)
class _Live:
    attempt: Attempt
    folder: Path
    log: Log = field(init=False)
    child: subprocess.Popen[bytes] | None = None
    pidfd: int = -1
    claim: Claim | None = None
    cancelled: bool = False
    kill_at: float = 0.0  # when TERM becomes KILL; 0: nobody wants it dead
    launches: int = 0

    def __post_init__(self) -> None:
        self.log = Log(self.folder / "log", self.attempt.pattern)

    def seen(self, **what: object) -> Observation:
        return Observation(self.attempt.job, self.attempt.number, **what)  # type: ignore[arg-type]  # its own fields


class LocalHost:
    """Runs attempts below `run_dir`; at most `limit` at a time, counted over all runs that share the folder `slots`."""

    def __init__(self, run_dir: Path, slots: Path, limit: int, env: Mapping[str, str], results: Path | None) -> None:
        self.run_dir, self.slots, self.limit, self.env, self.results = run_dir, slots, limit, dict(env), results
        self.trouble = ""
        self._live: dict[tuple[str, int], _Live] = {}
        self._by_fd: dict[int, _Live] = {}
        self._reserved: list[int] = []
        self._epoll = select.epoll()
        self._next = math.inf
        slots.mkdir(parents=True, exist_ok=True, mode=0o700)

    def free(self) -> int:
        """See Host.free."""
        return max(0, self.limit - len(self._live) - len(self._reserved))

    def reserve(self) -> bool:
        """Take a place for one more attempt; False if all are taken by other runs."""
        for number in range(self.limit):
            descriptor = os.open(self.slots / str(number), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                os.close(descriptor)
            else:
                self._reserved.append(descriptor)
                return True
        return False

    def release(self) -> None:
        """See Host.release."""
        if self._reserved:
            os.close(self._reserved.pop())

    def start(self, launches: Sequence[Launch]) -> None:
        """See Host.start. Each wrapper holds its place (an flock) as its standard input, so both end together."""
        for launch in launches:
            live = _Live(launch.attempt, self.run_dir / launch.attempt.folder)
            try:
                make(live.folder, launch)
                self._spawn(live)
                show_log(live.folder / "log", self.results, launch.attempt.job)
            except OSError as error:
                raise ResourceError(
                    f"job '{launch.attempt.job}' cannot be started in {live.folder}: {error}"
                ) from error
            self._live[launch.attempt.job, launch.attempt.number] = live
        self._look_within(SOON)

    def watch(self, attempts: Sequence[Attempt]) -> None:
        """See Host.watch."""
        for attempt in attempts:
            self._live[attempt.job, attempt.number] = _Live(attempt, self.run_dir / attempt.folder)
        self._look_within(0)

    def cancel(self, attempts: Sequence[Attempt]) -> None:
        """See Host.cancel: TERM now, KILL after the grace time to whatever is left."""
        for attempt in attempts:
            live = self._live[attempt.job, attempt.number]
            with suppress(OSError):  # a full disk: this engine still knows, a later one sees a signal
                (live.folder / "cancel").touch(mode=0o600)
            take_ticket(live.folder)
            self._doom(live, GRACE)
        self._signal(self._left())
        self._look_within(SOON)

    def observe(self) -> list[Observation]:
        """See Host.observe."""
        due = {self._by_fd[fd]: True for fd, _ in self._epoll.poll(0) if fd in self._by_fd}
        if time.monotonic() >= self._next:
            due = dict.fromkeys(self._live.values(), False) | due
            self._next = math.inf
        left = self._left()
        self._signal(left)
        found = [seen for live, ended in due.items() for seen in self._check(live, ended, left)]
        if self._live:
            hurry = any(live.kill_at or not live.claim for live in self._live.values())
            self._look_within(SOON if hurry else LATER)
        return found

    def wakers(self) -> list[int]:
        """See Host.wakers."""
        return [self._epoll.fileno()]

    def patience(self) -> float:
        """See Host.patience."""
        return max(0.0, self._next - time.monotonic())

    def close(self) -> None:
        """See Host.close."""
        for live in list(self._live.values()):
            self._forget(live)
        self._epoll.close()

    def _look_within(self, delay: float) -> None:
        self._next = min(self._next, time.monotonic() + delay)

    def _spawn(self, live: _Live) -> None:
        live.launches += 1
        log = os.open(live.folder / "log", os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            live.child = subprocess.Popen(
                ["sh", "job.sh"],
                cwd=live.folder,
                env=self.env | {"CC_ATTEMPT": live.attempt.token},
                stdin=self._reserved[-1] if self._reserved else subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        finally:
            os.close(log)
        self.release()
        self._follow(live, live.child.pid)

    def _follow(self, live: _Live, pid: int) -> None:
        """Be woken when process `pid` ends."""
        self._unfollow(live)
        with suppress(ProcessLookupError):
            live.pidfd = os.pidfd_open(pid)
            self._by_fd[live.pidfd] = live
            self._epoll.register(live.pidfd, select.EPOLLIN)

    def _unfollow(self, live: _Live) -> None:
        if live.pidfd >= 0:
            self._epoll.unregister(live.pidfd)
            del self._by_fd[live.pidfd]
            os.close(live.pidfd)
            live.pidfd = -1

    def _forget(self, live: _Live) -> None:
        self._unfollow(live)
        if live.child and live.child.poll() is None:
            live.child.returncode = 0  # running on without us is meant: no ResourceWarning
        self._live.pop((live.attempt.job, live.attempt.number), None)

    def _doom(self, live: _Live, grace: float, cancelled: bool = True) -> None:
        live.cancelled = live.cancelled or cancelled
        live.kill_at = live.kill_at or time.monotonic() + grace
        self._look_within(0)

    def _left(self) -> Left:
        """The living processes of every attempt that is to die."""
        doomed = [live for live in self._live.values() if live.kill_at]
        for live in doomed:
            with suppress(FileNotFoundError):
                live.claim = live.claim or read_folder(os.listdir(live.folder)).claim
        return procs.members((live.attempt.token, live.claim) for live in doomed) if doomed else {}

    def _signal(self, left: Left) -> None:
        for live in self._live.values():
            for member in left.get(live.attempt.token, ()):
                overdue = time.monotonic() >= live.kill_at
                procs.send(member, signal.SIGKILL if overdue else signal.SIGTERM)

    def _check(self, live: _Live, process_ended: bool, left: Left) -> list[Observation]:
        if process_ended and live.child:
            live.child.wait()
        try:
            names = os.listdir(live.folder)
        except FileNotFoundError:
            return [self._end(live, "lost", "the attempt's folder is gone")]
        folder = read_folder(names)
        if "cancel" in names and not live.kill_at:  # an earlier engine began it
            self._doom(live, GRACE)
            return []
        if folder.ending:
            return self._recorded(live, folder, left)
        if folder.claim:
            return self._claimed(live, folder, process_ended, left)
        if folder.engine_took_it:
            return [self._end(live, "cancelled" if live.cancelled else "start", "it could not be started")]
        if process_ended or not live.child:
            return self._relaunch(live, folder)
        return []

    def _recorded(self, live: _Live, folder: Folder, left: Left) -> list[Observation]:
        """The wrapper left its record. Timed out or cancelled: final only when nothing of the attempt is left."""
        if folder.ending == "timeout" and not live.kill_at:
            self._doom(live, 0, cancelled=False)
        if live.kill_at and left.get(live.attempt.token, UNKNOWN):
            return []
        started = os.stat(live.folder / folder.claim_name).st_ctime if folder.claim_name else None
        ended = os.stat(live.folder / folder.record).st_ctime
        ending, report = "cancelled" if live.cancelled else folder.ending, live.log.final()
        self._forget(live)
        return [
            live.seen(claim=folder.claim, started=started, ending=ending, code=folder.code, ended=ended, report=report)
        ]

    def _claimed(self, live: _Live, folder: Folder, process_ended: bool, left: Left) -> list[Observation]:
        found: list[Observation] = []
        if live.claim is None or (live.pidfd < 0 and not live.kill_at):
            live.claim = folder.claim
            assert live.claim
            found.append(live.seen(claim=live.claim, started=os.stat(live.folder / folder.claim_name).st_ctime))
            if not procs.is_claimer(live.claim):
                process_ended = True
            elif not live.child or live.child.pid != live.claim.pid:
                self._follow(live, live.claim.pid)
        if live.kill_at:
            if not left.get(live.attempt.token, UNKNOWN):
                with suppress(FileNotFoundError):  # the wrapper wrote its own record just now
                    os.rename(live.folder / "state.running", live.folder / "state.cancelled")
                self._look_within(0)
        elif process_ended:
            found += self._bereft(live)
        elif report := live.log.news():
            found.append(live.seen(report=report))
        return found

    def _bereft(self, live: _Live) -> list[Observation]:
        """The wrapper is gone and left no record: is anything of the attempt alive?"""
        claim = live.claim
        assert claim
        if claim.boot != procs.boot_id():
            return [self._end(live, "restarted", "this computer was restarted")]
        left = procs.members([(live.attempt.token, claim)])[live.attempt.token]
        if read_folder(os.listdir(live.folder)).ending:  # it came while we looked
            self._look_within(0)
        elif not left:
            return [self._end(live, "lost", LOST)]
        else:
            self._follow(live, left[0].pid)
        return []

    def _relaunch(self, live: _Live, folder: Folder) -> list[Observation]:
        """The wrapper ended without a claim, or an earlier engine left a ticket: start it again, a few times."""
        if folder.ticket and live.launches < LAUNCHES:
            with suppress(OSError):
                self._spawn(live)
            return []
        if folder.ticket and not take_ticket(live.folder):
            return []  # a wrapper was faster: it is seen as claimed at the next look
        return [self._end(live, "start", f"sh {live.folder / 'job.sh'} did not start: see {live.folder / 'log'}")]

    def _end(self, live: _Live, ending: str, reason: str) -> Observation:
        self._forget(live)
        return live.seen(claim=live.claim, ending=ending, reason=reason)
