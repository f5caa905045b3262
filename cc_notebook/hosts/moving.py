"""The thread of files that travel: one task after the other, again and again while only the line is to blame."""

import errno
import queue
import threading
from collections.abc import Callable

from cc_notebook.errors import InputError, UnavailableError
from cc_notebook.hosts.travel import Cut, Stopped

TRIES = 5  # times that a file may arrive otherwise than it left
PAUSE = 2.0  # seconds until the next try
WAIT = (errno.ENOSPC, errno.EDQUOT, errno.EIO)  # errors here that may pass


class Mover:
    """Runs tasks in a thread of its own until `closed`; `say` is told what is in the way now."""

    def __init__(self, name: str, closed: threading.Event, say: Callable[[str], None]) -> None:
        self.closed, self.say = closed, say
        self._tasks: queue.SimpleQueue[tuple[Callable[[], None], Callable[[str], None], int]] = queue.SimpleQueue()
        threading.Thread(target=self._work, name=name, daemon=True).start()

    def add(self, go: Callable[[], None], end: Callable[[str], None], tries: int = 0) -> None:
        """Do it after what was added before; `end` is told the reason why not, empty if it went well."""
        self._tasks.put((go, end, tries))

    def _work(self) -> None:
        while not self.closed.is_set():
            (go, end, tries), why = self._tasks.get(), ""
            try:
                go()
            except (InputError, Stopped) as error:
                why = str(error)
            except Exception as error:  # the line, and a full disk, may be better later
                passing = isinstance(error, UnavailableError) or getattr(error, "errno", 0) in WAIT
                if passing and tries < TRIES:
                    self.say(str(error))
                    self.add(go, end, tries + isinstance(error, Cut))
                    self.closed.wait(PAUSE)
                    continue
                why = f"its files cannot travel: {error}"
            self.say("")
            end(why)
