"""Jobs on another machine: one worker thread, one script a round trip, for any transport and queue.

While nothing changes the script waits there for a change; what is to start meanwhile wakes it. Files travel in a thread
of their own.
"""

import os
import queue
import shlex
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path

from cc_notebook.errors import InputError, UnavailableError
from cc_notebook.hosts import script
from cc_notebook.hosts.answer import machine, parse, trouble
from cc_notebook.hosts.base import Attempt, Launch, Observation
from cc_notebook.hosts.mirror import Mirror
from cc_notebook.hosts.moving import Mover
from cc_notebook.hosts.parts import part
from cc_notebook.hosts.slots import lacks
from cc_notebook.hosts.transport import Transport, there
from cc_notebook.hosts.watched import Watched
from cc_notebook.model import Host, Resources

TIMEOUT = 30.0  # seconds until an answer counts as lost
RESTART = 3.0  # seconds until a wrapper that did not claim its attempt is started again
FULL = 0.5  # and one for which there may have been no room
GRACE = 5.0  # seconds between TERM and KILL
BACK_OFF = (0.05, 2.0)  # seconds between two looks while nothing changes, first and last


class RemoteHost:
    """Runs attempts in `workdir/run` of the machine behind `transport`, at most `limit` at a time."""

    def __init__(
        self, transport: Transport, host: Host, run: str, limit: int, results: Path | None, mirror: Mirror | None
    ) -> None:
        self.transport, self.limit, self.trouble, self.results = transport, limit, "", results
        self.left: str | None = None
        self.has, self.rest, self._batch = host, host.min_poll, part("queues", host.queue)
        self._run_dir, self._mirror = there(f"{host.workdir}/{run}"), mirror or Mirror(None)
        self._troubles: dict[str, str] = {}  # of the looks and of the files that travel
        self._live: dict[str, Watched] = {}
        self._founded = False  # what stands beside every run is there
        self._inbox: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._outbox: queue.SimpleQueue[Observation] = queue.SimpleQueue()
        self._bell, self._ring = os.pipe()
        os.set_blocking(self._bell, False)
        self._wake, self._closed, self._waits = threading.Event(), threading.Event(), threading.Event()
        self._busy: dict[tuple[str, int], Resources] = {}
        self._kept: set[str] = set()  # hashes of small inputs that are there
        self._files = Mover(transport, self._run_dir, results, self._closed, lambda told: self._say(told, "files"))
        threading.Thread(target=self._work, name=f"host {run}", daemon=True).start()

    @property
    def address(self) -> str | None:
        """See Host.address."""
        return getattr(self.transport, "address", "")

    def free(self) -> int:
        """See Host.free."""
        return max(0, self.limit - len(self._busy))

    def reserve(self, attempt: Attempt) -> str:
        """See Host.reserve. This counts the run's own jobs; what others have there is seen when it starts."""
        has, wanted = self.has, attempt.resources
        if why := lacks(wanted, has):
            raise InputError(why)
        for kind, most in (("cpus", max(has.cpus or 0, self.limit)), ("gpus", has.gpus), ("memory", has.memory)):
            used = sum(getattr(own, kind) or 0 for own in (*self._busy.values(), wanted))
            if most is not None and getattr(wanted, kind) and used > most:
                return kind
        self._busy[attempt.job, attempt.number] = wanted
        return ""

    def release(self, attempt: Attempt) -> None:
        """See Host.release."""
        self._busy.pop((attempt.job, attempt.number), None)

    def start(self, launches: Sequence[Launch]) -> None:
        """See Host.start; trouble on the line is met with another try."""
        self._mirror.synced()
        self._tell([Watched(launch.attempt, launch) for launch in launches])

    def watch(self, attempts: Sequence[Attempt]) -> None:
        """See Host.watch."""
        self._tell([Watched(attempt) for attempt in attempts])

    def cancel(self, attempts: Sequence[Attempt]) -> None:
        """See Host.cancel."""
        self._files.unwanted.update((attempt.job, attempt.number) for attempt in attempts)

        def change() -> None:
            for attempt in attempts:
                live = self._live.get(attempt.folder)
                if live and live.launch and not live.sent:
                    del self._live[attempt.folder]
                    self._show(Observation(attempt.job, attempt.number, ending="cancelled"))
                elif live:
                    live.cancelled = live.cancelled or time.monotonic() + GRACE

        self._do(change)

    def needed(self) -> bool:
        """True while not all that the run has here is cancelled."""
        return not self._files.unwanted.issuperset(self._busy)

    def observe(self) -> list[Observation]:
        """See Host.observe."""
        with suppress(BlockingIOError):
            os.read(self._bell, 4096)
        found = [self._outbox.get() for _ in range(self._outbox.qsize())]
        for over in [seen for seen in found if seen.ending]:
            self._busy.pop((over.job, over.number), None)
        return found

    def wakers(self) -> list[int]:
        """See Host.wakers."""
        return [self._bell]

    def patience(self) -> float:
        """See Host.patience."""
        return 3600.0

    def leave(self) -> None:
        """See Host.leave."""
        self.limit = 0
        self._do(self._leave)

    def close(self) -> None:
        """See Host.close. A worker that hangs in a call is left behind with its connection."""
        self._closed.set()
        self._wake.set()

    def _tell(self, lives: list[Watched]) -> None:
        self._busy |= {(live.attempt.job, live.attempt.number): live.attempt.resources for live in lives}
        for live in lives:
            self._do(partial(self._admit, live))

    def _do(self, change: Callable[[], None]) -> None:
        """Have the worker do it now, also if its script waits there."""
        self._inbox.put(change)
        self._wake.set()
        if self._waits.is_set():
            self._waits.clear()
            threading.Thread(target=self._call, name="wake", daemon=True).start()

    def _call(self) -> None:
        with suppress(UnavailableError):
            self.transport.run(f"mkdir -p {self._run_dir} && true > {self._run_dir}/wake\n", TIMEOUT)

    # ---- the worker's thread ----------------------------------------------------------------------------------------

    def _work(self) -> None:
        pause = BACK_OFF[0]
        while not self._closed.is_set():
            self._wake.clear()
            while not self._inbox.empty():
                self._inbox.get()()
                pause = BACK_OFF[0]
            began = time.monotonic()
            try:
                pause = BACK_OFF[0] if self._live and self._round_trip() else min(pause * 1.5, BACK_OFF[1])
            except Exception as error:  # the thread must live: jobs would hang without a word
                self._say(f"{type(error).__name__}: {error}")
            took = time.monotonic() - began
            self._wake.wait(max(pause, self.rest) - took if self._live else None)
        self.transport.close()

    def _leave(self) -> None:
        if self.left is None:
            self.left = getattr(self.transport, "leave", str)()
            os.write(self._ring, b"!")

    def _round_trip(self) -> bool:
        """One script for everything; True if it brought news."""
        lives, way = list(self._live.values()), self.address
        try:
            answer = self.transport.run(self._script(lives), TIMEOUT)
            if "cc-end" not in answer.out.split("\n")[-2:]:
                raise UnavailableError(trouble(answer.code, answer.err))
        except UnavailableError as error:
            self._say(str(error))
            self._mirror.lost()
            self._founded = False
            for live in lives:
                live.sent, live.again = live.sent or (bool(live.again) and {way, self.address} != {None}), 0.0
            return False
        finally:
            self._waits.clear()
        for live in lives:
            live.sent = live.sent or bool(live.again)
        self._say("")
        lines = answer.out.split("\n")
        if short := "cc-short" in lines:  # what a start needs could not be written
            self._mirror.lost()
            self._founded = False
        self._mirror.arrived()
        self.has = machine(lines, self.has)
        self._kept |= {line[8:] for line in lines if line.startswith("cc-kept ")}
        looks = parse(lines)
        answered = [(live, look) for live in lives if (look := looks.get(live.attempt.folder))]
        if short or not any(live.again and look.gone for live, look in answered):
            self._say(trouble(0, answer.err) if short else "", "starts")
        found = [(live, seen) for live, look in answered if (seen := live.see(look, self.has))]
        for live, seen in found:
            if seen.ending:
                del self._live[live.attempt.folder]
            self._files.fetch(live.attempt, seen, self.has.shared, self._show)
        return bool(found)

    def _show(self, seen: Observation) -> None:
        self._outbox.put(seen)
        os.write(self._ring, b"!")

    def _say(self, told: str, whose: str = "looks") -> None:
        self._troubles[whose] = told
        told = next(filter(None, self._troubles.values()), "")
        if told != self.trouble:
            self.trouble = told
            os.write(self._ring, b"!")

    def _script(self, lives: Sequence[Watched]) -> str:
        now, parts = time.monotonic(), []
        new = [live for live in lives if live.launch and live.packed and now >= live.again]
        new = [live for live in new if not (live.refused or live.cancelled)]
        if new:
            parts += script.beside(self._mirror.files(), not self._founded)
            self._founded = True  # else the answer says so, or there is none
        texts = {key: text for live in new if live.packed for key, text in live.packed.texts.items()}
        parts += [shlex.join(["cc_keep", key, *([] if key in self._kept else [text])]) for key, text in texts.items()]
        self._kept -= texts.keys()  # until the answer is here
        if any(script.special(live.attempt) for live in new):
            parts.append(script.machine(self.has))
        if all(live.calm for live in lives):
            self._waits.set()  # before the look into the inbox: who puts something in later sees it
        if self._waits.is_set() and self._inbox.empty():
            parts.append(shlex.join(["cc_wait", *(live.attempt.folder for live in lives if live.claim)]))
        parts.append('{ true > "$cc_run/mark"; } 2> /dev/null')
        for live in lives:
            if live in new and live.launch and live.packed:
                live.again = now + (FULL if script.special(live.attempt) else RESTART)
                parts.append(script.start(live.launch, live.packed, self._batch.submit(live.attempt.token)))
            parts += live.asked(now)
        return script.whole(self._run_dir, parts)

    def _admit(self, live: Watched) -> None:
        self._live[live.attempt.folder] = live
        if live.launch:
            self._files.bring(live.launch, lambda *told: self._do(partial(live.go, *told)))
