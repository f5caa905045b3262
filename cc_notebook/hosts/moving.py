"""The files of a run's attempts: inputs go before a start, results come after an end. It knows no round trip.

What travels on its own does so in one thread, one after the other, again and again while only the line is to blame.
"""

import errno
import queue
import threading
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

from cc_notebook.errors import InputError, UnavailableError
from cc_notebook.hosts import script, travel
from cc_notebook.hosts.base import Attempt, Launch, Observation
from cc_notebook.hosts.transport import Transport

TRIES = 5  # times that a file may arrive otherwise than it left
PAUSE = 2.0  # seconds until the next try
Say = Callable[[str], None]
WAIT = (errno.ENOSPC, errno.EDQUOT, errno.EIO)  # errors here that may pass


class Mover:
    """Works until `closed`; `say` is told what is in the way now. Files of `unwanted` attempts stop where they are."""

    def __init__(self, line: Transport, run_dir: str, results: Path | None, closed: threading.Event, say: Say) -> None:
        self.line, self.run_dir, self.results, self.closed, self.say = line, run_dir, results, closed, say
        self.unwanted: set[tuple[str, int]] = set()
        self._tasks: queue.SimpleQueue[tuple[Callable[[], None], Say, int]] = queue.SimpleQueue()
        threading.Thread(target=self._work, name=f"files of {run_dir}", daemon=True).start()

    def bring(self, launch: Launch, ready: Callable[[script.Packed | None, str], None]) -> None:
        """Read the small inputs and send the large ones; `ready` is told what they are, or why not."""
        try:
            packed = script.pack(launch)
        except InputError as error:
            ready(None, str(error))
            return
        if packed.large:
            wanted = partial(self._wanted, launch.attempt)
            go = partial(travel.stage, self.line, self.run_dir, launch.attempt, packed.large, wanted)
            self._tasks.put((go, partial(ready, packed), 0))
        else:
            ready(packed, "")

    def fetch(self, attempt: Attempt, seen: Observation, shared: bool, show: Callable[[Observation], None]) -> None:
        """Show what was seen; an end when the attempt's results are here."""
        results, good = self.results, seen.ending == "exit" and seen.code == 0
        if not results or not ((attempt.out and good) or (attempt.notebook and seen.ending == "exit")):
            show(seen)
            return
        files = attempt if good and (attempt.isolated or not shared) else replace(attempt, out=())
        wanted = partial(self._wanted, attempt)

        def here(why: str) -> None:
            ending = "files" if wanted() else "cancelled"
            show(replace(seen, code=None, ending=ending, reason=why) if why else seen)

        self._tasks.put((partial(travel.bring, self.line, self.run_dir, files, results, wanted), here, 0))

    def _wanted(self, attempt: Attempt) -> bool:
        return (attempt.job, attempt.number) not in self.unwanted and not self.closed.is_set()

    def _work(self) -> None:
        while not self.closed.is_set():
            (go, end, tries), why = self._tasks.get(), ""
            try:
                go()
            except (InputError, travel.Stopped) as error:
                why = str(error)
            except Exception as error:  # the line, and a full disk, may be better later
                if tries < TRIES and (isinstance(error, UnavailableError) or getattr(error, "errno", 0) in WAIT):
                    self.say(str(error))
                    self._tasks.put((go, end, tries + isinstance(error, travel.Cut)))
                    self.closed.wait(PAUSE)
                    continue
                why = f"its files cannot travel: {error}"
            self.say("")
            end(why)
