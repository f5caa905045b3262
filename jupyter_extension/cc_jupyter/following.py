"""The events of a run for everybody who listens: one reader for all of them, which stops when nobody does."""

import asyncio
from bisect import bisect_right
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from typing import Any, ClassVar

from cc_notebook.errors import UnavailableError
from cc_notebook.runs import Run
from cc_notebook.state import Event

POOL = ThreadPoolExecutor(8, "cc")  # everything that may wait runs here and not on the event loop
PERIOD = 0.05  # seconds between two looks
HEARTBEAT = 15.0  # seconds after which a silent stream says that it lives


async def in_thread(work: Callable[..., Any], *given: Any) -> Any:
    """Call a function that may wait, in a thread."""
    return await asyncio.get_running_loop().run_in_executor(POOL, work, *given)


class Follower:
    """Reads one run's journal, again and again, as long as somebody listens."""

    shared: ClassVar[dict[str, "Follower"]] = {}

    def __init__(self, run: Run) -> None:
        self.run, self.events, self.ended = run, list[Event](), False
        self._reader, self._listeners = run.reader(), 0
        self._lock, self._more = asyncio.Lock(), asyncio.Event()
        self._task = asyncio.create_task(self._read())

    @classmethod
    @asynccontextmanager
    async def of(cls, run: Run) -> AsyncIterator["Follower"]:
        """The follower of a run, with all events so far."""
        found = cls.shared.get(run.id) or cls.shared.setdefault(run.id, cls(run))
        found._listeners += 1
        try:
            await found._look()
            yield found
        finally:
            found._listeners -= 1
            if not found._listeners:
                del cls.shared[run.id]
                found._task.cancel()

    def past(self, seq: int) -> Sequence[Event]:
        """The events after one."""
        return self.events[bisect_right(self.events, seq, key=lambda event: event.seq) :]

    async def past_soon(self, seq: int, timeout: float) -> Sequence[Event]:
        """The events after one, as soon as there are any; none if time is up or the run has ended."""
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                while not (self.past(seq) or self.ended):
                    await self._more.wait()
        return self.past(seq)

    async def _read(self) -> None:
        with suppress(UnavailableError):  # damaged: who asks again is told
            while True:
                await asyncio.sleep(PERIOD)
                await self._look()
        self.ended = True
        self._more.set()

    async def _look(self) -> None:
        async with self._lock:
            new, gone = await in_thread(lambda: (list(self._reader.new()), not self.run.folder.exists()))
            self.events += new
        last = next((event.type for event in reversed(self.events) if event.type not in ("engine", "refused")), "")
        self.ended = gone or last == "end"
        self._more.set()
        self._more = asyncio.Event()


async def stream(run: Run, seq: int, told: Callable[[Any], bytes]) -> AsyncIterator[bytes]:
    """The events after one as Server-Sent Events, until the run has ended; a comment where nothing happens for long."""
    async with Follower.of(run) as follower:
        while follower.past(seq) or not follower.ended:
            if new := (await follower.past_soon(seq, HEARTBEAT))[:100]:
                seq = new[-1].seq
                yield b"".join(b"id: %d\ndata: %s\n\n" % (event.seq, told(event.to_dict())) for event in new)
                await asyncio.sleep(0)  # others have their turn
            elif not follower.ended:
                yield b": still here\n\n"
