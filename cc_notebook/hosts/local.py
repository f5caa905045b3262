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
from dataclasses import dataclass, field, replace
from pathlib import Path

from cc_notebook.errors import ResourceError
from cc_notebook.hosts import procs
from cc_notebook.hosts.base import LOST, Attempt, Claim, Folder, Launch, Observation
from cc_notebook.hosts.folder import Log, look, make, show_log, take_claim

SOON, LATER = 0.05, 0.5  # seconds between looks: while something starts or is cancelled; for progress
GRACE = 5.0  # seconds between TERM and KILL
LAUNCHES = 3  # how often a wrapper may end without a claim
DISK_FULL = 75  # the exit code of one that had no room for it

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
        os.umask(mask := os.umask(0o077))
        self.env["CC_UMASK"] = f"{mask:04o}"  # the job's; the wrapper's own files are for their owner alone
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
                take_claim(live.folder)
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
                umask=0o077,
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
                live.claim = live.claim or look(live.folder).claim
        return procs.members((live.attempt.token, live.claim) for live in doomed) if doomed else {}

    def _signal(self, left: Left) -> None:
        for live in self._live.values():
            for member in left.get(live.attempt.token, ()):
                overdue = time.monotonic() >= live.kill_at
                procs.send(member, signal.SIGKILL if overdue else signal.SIGTERM)

    def _check(self, live: _Live, process_ended: bool, left: Left) -> list[Observation]:
        if process_ended and live.child:
            live.child.wait()
        living = left.get(live.attempt.token, UNKNOWN)
        try:
            folder = look(live.folder)
        except FileNotFoundError:
            return self._gone(live, living)
        if not live.kill_at and (live.folder / "cancel").exists():  # an earlier engine began it
            self._doom(live, GRACE)
            return []
        if folder.ending:
            return self._recorded(live, folder, living)
        if folder.claim:
            return self._claimed(live, folder.claim, process_ended, living)
        if folder.by_engine:
            return [self._end(live, "cancelled" if live.cancelled else "start", "it could not be started")]
        if process_ended or not live.child:
            return self._relaunch(live)
        return []

    def _gone(self, live: _Live, living: Sequence[procs.Process]) -> list[Observation]:
        """The attempt's folder is not there any more: what is left of the attempt must not go on unseen."""
        if not live.kill_at:
            self._doom(live, 0, cancelled=False)
        elif not living:
            return [self._end(live, "cancelled" if live.cancelled else "lost", "the attempt's folder is gone")]
        return []

    def _recorded(self, live: _Live, folder: Folder, living: Sequence[procs.Process]) -> list[Observation]:
        """The wrapper left its record. Timed out or cancelled: final only when nothing of the attempt is left."""
        if folder.ending == "timeout" and not live.kill_at:
            self._doom(live, 0, cancelled=False)
        if live.kill_at and living:
            return []
        ended, report = os.stat(live.folder / folder.record).st_ctime, live.log.final()
        ending = "cancelled" if live.cancelled else folder.ending
        seen = live.seen(claim=folder.claim, ending=ending, code=folder.code, ended=ended, report=report)
        self._forget(live)
        return [replace(seen, started=_claimed_at(live)) if folder.claim else seen]

    def _claimed(
        self, live: _Live, claim: Claim, process_ended: bool, living: Sequence[procs.Process]
    ) -> list[Observation]:
        found: list[Observation] = []
        if not claim.pid and not live.kill_at:  # made a moment ago, or the disk was full
            return self._bereft(live, claim)
        if live.claim is None or (live.pidfd < 0 and not live.kill_at):
            live.claim = claim
            found.append(live.seen(claim=claim, started=_claimed_at(live)))
            if not procs.is_claimer(claim, live.attempt.token):
                process_ended = True
            elif not live.child or live.child.pid != claim.pid:
                self._follow(live, claim.pid)
        if live.kill_at:
            if not living:
                with suppress(OSError):  # a full disk: again at the next look
                    (live.folder / "state.cancelled").touch(mode=0o600)
                self._look_within(0)
        elif process_ended:
            found += self._bereft(live, claim)
        elif report := live.log.news():
            found.append(live.seen(report=report))
        return found

    def _bereft(self, live: _Live, claim: Claim) -> list[Observation]:
        """The claimer is gone, or not known, and left no record: is anything of the attempt alive?"""
        if claim.boot not in ("", procs.boot_id()):
            return [self._end(live, "restarted", "this computer was restarted")]
        left = procs.members([(live.attempt.token, claim)])[live.attempt.token]
        if look(live.folder).ending:  # it came while we looked
            self._look_within(0)
        elif not left:
            return [self._end(live, "lost", LOST)]
        else:
            self._follow(live, left[0].pid)
        return []

    def _relaunch(self, live: _Live) -> list[Observation]:
        """The wrapper ended without a claim, or an earlier engine started none: start it again, a few times."""
        if live.child and live.child.returncode == DISK_FULL:
            live.launches, live.child = 0, None  # it is started at a later look
        elif live.launches < LAUNCHES:
            with suppress(OSError):
                self._spawn(live)
        elif take_claim(live.folder):  # else a wrapper was faster: it is seen as claimed at the next look
            return [self._end(live, "start", f"sh {live.folder / 'job.sh'} did not start: see {live.folder / 'log'}")]
        return []

    def _end(self, live: _Live, ending: str, reason: str) -> Observation:
        self._forget(live)
        return live.seen(claim=live.claim, ending=ending, reason=reason)


def _claimed_at(live: _Live) -> float:
    return os.stat(live.folder / "claim").st_ctime
