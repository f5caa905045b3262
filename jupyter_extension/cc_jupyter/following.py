"""The events of a run for everybody who listens: one reader for all of them, which stops when nobody does."""

import asyncio
from bisect import bisect_right
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from typing import Any, ClassVar, NamedTuple

from cc_jupyter.route import encoded
from cc_notebook.errors import UnavailableError
from cc_notebook.runs import Run

POOL = ThreadPoolExecutor(8, "cc")  # everything that may wait runs here and not on the event loop
# What only computes runs here: several threads would stand in each other's way, and each would read a run for itself.
READER = ThreadPoolExecutor(1, "cc-reader")
PERIOD = 0.05  # seconds between two looks
HEARTBEAT = 15.0  # seconds after which a silent stream says that it lives


async def in_thread(work: Callable[..., Any], *given: Any, pool: ThreadPoolExecutor = POOL) -> Any:
    """Call a function that may wait, in a thread."""
    return await asyncio.get_running_loop().run_in_executor(pool, work, *given)


class Told(NamedTuple):
    """An event as JSON, made once for all who listen."""

    seq: int
    type: str
    json: bytes


class Follower:
    """Reads one run's journal, again and again, as long as somebody listens."""

    shared: ClassVar[dict[str, "Follower"]] = {}

    def __init__(self, run: Run) -> None:
        self.run, self.events, self.ended = run, list[Told](), False
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

    def past(self, seq: int) -> Sequence[Told]:
        """The events after one."""
        return self.events[bisect_right(self.events, seq, key=lambda event: event.seq) :]

    async def past_soon(self, seq: int, timeout: float) -> Sequence[Told]:
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
            new, gone = await in_thread(self._news)
            self.events += new
        last = next((event.type for event in reversed(self.events) if event.type not in ("engine", "refused")), "")
        self.ended = gone or last == "end"
        self._more.set()
        self._more = asyncio.Event()

    def _news(self) -> tuple[Sequence[Told], bool]:
        """The events since the last look, and whether the run's folder is gone."""
        told = [Told(event.seq, event.type, encoded(event.to_dict())) for event in self._reader.new()]
        return told, not self.run.folder.exists()


async def stream(run: Run, seq: int) -> AsyncIterator[bytes]:
    """The events after one as Server-Sent Events, until the run has ended; a comment where nothing happens for long."""
    async with Follower.of(run) as follower:
        while follower.past(seq) or not follower.ended:
            if new := (await follower.past_soon(seq, HEARTBEAT))[:100]:
                seq = new[-1].seq
                yield b"".join(b"id: %d\ndata: %s\n\n" % (event.seq, event.json) for event in new)
                await asyncio.sleep(0)  # others have their turn
            elif not follower.ended:
                yield b": still here\n\n"
