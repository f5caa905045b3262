"""Jobs on this computer: wrappers started directly, ends known by pidfd, places shared with the user's other runs."""

import math
import selectors
import shutil
import signal
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from cc_notebook.errors import ResourceError
from cc_notebook.hosts import procs
from cc_notebook.hosts.base import LOST, Attempt, Claim, Folder, Launch, Observation
from cc_notebook.hosts.folder import begun, look, make, show_log, take_claim
from cc_notebook.hosts.live import Live, environment
from cc_notebook.hosts.parent import Parents
from cc_notebook.hosts.slots import Slots

SOON, LATER = 0.05, 0.5  # seconds between looks: while something starts or is cancelled; for progress
GRACE = 5.0  # seconds between TERM and KILL
LAUNCHES = 3  # how often a wrapper may end without a claim
DISK_FULL = 75  # the exit code of one that had no room for it

Left = Mapping[str, procs.Living]  # token → living processes


class LocalHost:
    """Runs attempts below `run_dir`; at most `limit` at a time, counted over all runs that share the folder `slots`."""

    def __init__(
        self, run_dir: Path, slots: Slots, env: Mapping[str, str], results: Path | None, python: str = "python3"
    ) -> None:
        self.run_dir, self.slots, self.results = run_dir, slots, results
        self.trouble, self.address = "", ""
        self.left: str | None = None
        self.shell = shutil.which("sh") or "sh"  # looked for once, not for every job
        self.env = environment(env)
        self._parents = Parents(run_dir, python, self.env)
        self._live: dict[tuple[str, int], Live] = {}
        self._ends = selectors.EpollSelector()  # of processes, each with the attempt that is its
        self._next = math.inf

    def free(self) -> int:
        """See Host.free."""
        return max(0, self.slots.limit - len(self._live) - len(self.slots.held))

    def reserve(self, attempt: Attempt) -> str:
        """See Host.reserve."""
        return self.slots.take(attempt.folder, attempt.resources)

    def release(self, attempt: Attempt) -> None:
        """See Host.release."""
        self.slots.let_go(attempt.folder)

    def start(self, launches: Sequence[Launch]) -> None:
        """See Host.start. Each wrapper holds its place (a lock) as its standard input, so both end together."""
        for launch in launches:
            live = Live(launch.attempt, f"{self.run_dir}/{launch.attempt.folder}")
            try:
                if not begun(live.folder, self.results, launch.attempt.job):  # else it is seen as gone, or as alive
                    make(live.folder, launch)
                    if launch.attempt.notebook:
                        self._parents.start()
                    show_log(f"{live.folder}/log", self.results, launch.attempt.job)  # makes CC_RESULTS_DIR for it
                    self._spawn(live)
            except OSError as error:
                what = f"job '{launch.attempt.job}' cannot be started in {live.folder}"
                raise ResourceError(f"{what}: {error}") from error
            self._live[launch.attempt.job, launch.attempt.number] = live
        self._look_within(SOON)

    def watch(self, attempts: Sequence[Attempt]) -> None:
        """See Host.watch."""
        for old in attempts:  # they ran: they are not started again
            self._live[old.job, old.number] = Live(old, f"{self.run_dir}/{old.folder}", launches=LAUNCHES)
        self._look_within(0)

    def cancel(self, attempts: Sequence[Attempt]) -> None:
        """See Host.cancel: TERM now, KILL after the grace time to whatever is left."""
        for attempt in attempts:
            live = self._live[attempt.job, attempt.number]
            live.give_up()
            self._doom(live, GRACE)
        self._left()

    def observe(self) -> list[Observation]:
        """See Host.observe."""
        due: dict[Live, bool] = {key.data: True for key, _ in self._ends.select(0)}
        if time.monotonic() >= self._next:
            due = dict.fromkeys(self._live.values(), False) | due
            self._next = math.inf
        left = self._left()
        found: list[Observation] = []
        for live, ended in due.items():
            with suppress(OSError):  # a folder that goes meanwhile, a full disk: again at the next look
                found += self._check(live, ended, left)
        if self._live:
            self._look_within(SOON if any(live.kill_at or not live.claim for live in self._live.values()) else LATER)
        return found

    def wakers(self) -> list[int]:
        """See Host.wakers."""
        return [self._ends.fileno()]

    def patience(self) -> float:
        """See Host.patience."""
        return max(0.0, self._next - time.monotonic())

    def leave(self) -> None:
        """See Host.leave: there is no way to close."""

    def close(self) -> None:
        """See Host.close."""
        for live in list(self._live.values()):
            self._forget(live)
        self.slots.let_go(*self.slots.held)
        self._ends.close()
        self._parents.close()

    def _look_within(self, delay: float) -> None:
        self._next = min(self._next, time.monotonic() + delay)

    def _spawn(self, live: Live) -> None:
        """Start the wrapper; one that has no place, started once more or for an earlier engine, waits for it."""
        folder = live.attempt.folder
        if folder in self.slots.held or not self.reserve(live.attempt):
            live.follow(self._ends, live.spawn(self.shell, self.env, self.slots.held[folder]))
            self.release(live.attempt)

    def _forget(self, live: Live) -> None:
        live.unfollow(self._ends)
        if live.child and live.child.poll() is None:
            live.child.returncode = 0  # running on without us is meant: no ResourceWarning
        self._live.pop((live.attempt.job, live.attempt.number), None)

    def _doom(self, live: Live, grace: float, cancelled: bool = True) -> None:
        live.cancelled = live.cancelled or cancelled
        live.kill_at = live.kill_at or time.monotonic() + grace
        self._look_within(0)

    def _left(self) -> Left:
        """Signal every living process of the attempts that are to die, TERM and later KILL; these are what is left."""
        doomed = [live for live in self._live.values() if live.kill_at]
        for live in doomed:
            with suppress(FileNotFoundError):
                live.claim = live.claim if live.claim and live.claim.pid else look(live.folder).claim
        left = procs.members((live.attempt.token, live.claim) for live in doomed) if doomed else {}
        for live in doomed:
            for member in left[live.attempt.token]:
                procs.send(member, signal.SIGKILL if time.monotonic() >= live.kill_at else signal.SIGTERM)
        return left

    def _check(self, live: Live, process_ended: bool, left: Left) -> list[Observation]:
        if process_ended and live.child:
            live.child.poll()
        living = left.get(live.attempt.token, procs.UNKNOWN)
        try:
            folder = look(live.folder)
        except OSError:
            return self._gone(live, living)
        if not live.kill_at and "cancel" in folder.names:  # an earlier engine began it
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

    def _gone(self, live: Live, living: procs.Living) -> list[Observation]:
        """The attempt's folder is not there any more: what is left of the attempt must not go on unseen.

        What another engine began may end by itself: it lost its folder with the whole store, see attach.
        """
        if live.child and not live.kill_at:
            self._doom(live, 0, cancelled=False)
        elif not (living if live.kill_at else procs.members([(live.attempt.token, None)])[live.attempt.token]):
            return [self._end(live, "cancelled" if live.cancelled else "lost", "the attempt's folder is gone")]
        live.claim = live.claim or Claim()
        return []

    def _recorded(self, live: Live, folder: Folder, living: procs.Living) -> list[Observation]:
        """The wrapper left its record. Timed out or cancelled: final only when nothing of the attempt is left."""
        if folder.ending == "timeout" and not live.kill_at:
            self._doom(live, 0, cancelled=False)
        if live.kill_at and living:
            return []
        seen = live.recorded(folder)
        self._forget(live)
        return [seen]

    def _claimed(self, live: Live, claim: Claim, process_ended: bool, living: procs.Living) -> list[Observation]:
        if not claim.pid and not live.kill_at:  # made a moment ago, or the disk was full
            return [] if live.child and not process_ended else self._bereft(live, claim)
        found: list[Observation] = []
        if live.claim is None or (live.pidfd < 0 and not live.kill_at):
            live.claim = claim
            found.append(replace(live.seen, claim=claim, started=live.time_of("claim")))
            if not procs.is_claimer(claim, live.attempt.token):
                process_ended = True
            elif not live.child or live.child.pid != claim.pid:
                live.follow(self._ends, claim.pid)
        if live.kill_at:
            if not living:
                self._look_within(0)
                Path(live.folder, "state.cancelled").touch(mode=0o600)
        elif process_ended:
            found += self._bereft(live, claim)
        elif report := live.log.news():
            found.append(replace(live.seen, report=report))
        return found

    def _bereft(self, live: Live, claim: Claim) -> list[Observation]:
        """The claimer is gone, or not known, and left no record: is anything of the attempt alive?"""
        if claim.boot not in ("", procs.boot_id()):
            return [self._end(live, "restarted", "this computer was restarted")]
        left = procs.members([(live.attempt.token, claim)])[live.attempt.token]
        if look(live.folder).ending:  # it came while we looked
            self._look_within(0)
        elif not left:
            return [self._end(live, "lost", LOST)]
        else:
            live.follow(self._ends, left[0].pid)
        return []

    def _relaunch(self, live: Live) -> list[Observation]:
        """The wrapper ended without a claim, or an earlier engine started none: start it again, a few times."""
        if live.child and live.child.returncode == DISK_FULL:
            live.launches, live.child = 0, None  # it is started at a later look
        elif live.launches < LAUNCHES and not live.kill_at:
            self._spawn(live)
        elif take_claim(live.folder):  # else a wrapper was faster: it is seen as claimed at the next look
            return [self._end(live, "start", f"sh {live.folder}/job.sh did not start: see {live.folder}/log")]
        return []

    def _end(self, live: Live, ending: str, reason: str) -> Observation:
        self._forget(live)
        return replace(live.seen, claim=live.claim, ending=ending, reason=reason)
