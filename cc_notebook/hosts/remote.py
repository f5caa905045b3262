"""Jobs on another machine: one worker thread, one script a round trip, for any transport and queue.

The script starts, cancels and looks; all of it may be done twice, so an answer that was lost does no harm.
"""

import errno
import hashlib
import os
import queue
import shlex
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from cc_notebook import protocol
from cc_notebook.errors import InputError, UnavailableError
from cc_notebook.hosts import travel
from cc_notebook.hosts.answer import Look, parse
from cc_notebook.hosts.base import LOST, Attempt, Claim, Launch, Observation, read_folder
from cc_notebook.hosts.folder import copied
from cc_notebook.hosts.transport import Transport, there
from cc_notebook.queues import direct

HERE = Path(__file__).parent
TIMEOUT = 30.0  # seconds until an answer counts as lost
RESTART = 3.0  # seconds until a wrapper that did not claim its attempt is started again
GRACE = 5.0  # seconds between TERM and KILL
EMBEDDED = 65536  # bytes of a file that travels within the script
TRIES = 5  # times that a file may arrive otherwise than it left
WAIT = (errno.ENOSPC, errno.EDQUOT, errno.EIO)  # errors here that may pass
BACK_OFF = (0.05, 2.0)  # seconds between two looks while nothing changes, first and last


@dataclass(slots=True)
class _Live:
    attempt: Attempt
    launch: Launch | None = None  # to be started, until an answer shows that it was claimed
    again: float = 0.0  # when an unclaimed one is started once more
    claim: Claim | None = None
    cancelled: float = 0.0  # when TERM becomes KILL; 0: nobody wants it dead
    offset: int = 0
    bereft: int = 0  # looks at which no process was there and no record


class RemoteHost:
    """Runs attempts in `workdir/run` of the machine behind `transport`, at most `limit` at a time."""

    def __init__(
        self, transport: Transport, workdir: str, run: str, limit: int, results: Path | None = None, batch: Any = direct
    ) -> None:
        self.transport, self.limit, self.trouble, self.results, self._batch = transport, limit, "", results, batch
        self._run_dir = there(f"{workdir}/{run}")
        self._troubles: dict[str, str] = {}  # of the looks and of the files that come back
        self._live: dict[str, _Live] = {}
        self._sent: set[str] = set()  # hashes of large inputs that are there
        self._inbox: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._outbox: queue.SimpleQueue[Observation] = queue.SimpleQueue()
        self._bell, self._ring = os.pipe()
        self._wake, self._closed, self._busy = threading.Event(), threading.Event(), 0
        os.set_blocking(self._bell, False)
        self._travels: queue.SimpleQueue[tuple[Attempt, Observation, int]] = queue.SimpleQueue()
        threading.Thread(target=self._work, name=f"host {run}", daemon=True).start()
        threading.Thread(target=self._bring, name=f"files of {run}", daemon=True).start()

    def free(self) -> int:
        """See Host.free."""
        return max(0, self.limit - self._busy)

    def reserve(self) -> bool:
        """See Host.reserve."""
        return True

    def release(self) -> None:
        """See Host.release."""

    def start(self, launches: Sequence[Launch]) -> None:
        """See Host.start; trouble on the line is met with another try."""
        self._tell([_Live(launch.attempt, launch) for launch in launches])

    def watch(self, attempts: Sequence[Attempt]) -> None:
        """See Host.watch."""
        self._tell([_Live(attempt) for attempt in attempts])

    def cancel(self, attempts: Sequence[Attempt]) -> None:
        """See Host.cancel."""

        def change() -> None:
            for attempt in attempts:
                if live := self._live.get(attempt.folder):
                    live.cancelled = live.cancelled or time.monotonic() + GRACE

        self._inbox.put(change)
        self._wake.set()

    def observe(self) -> list[Observation]:
        """See Host.observe."""
        try:
            os.read(self._bell, 4096)
        except BlockingIOError:
            return []
        found = []
        while not self._outbox.empty():
            found.append(self._outbox.get())
        self._busy -= sum(bool(seen.ending) for seen in found)
        return found

    def wakers(self) -> list[int]:
        """See Host.wakers."""
        return [self._bell]

    def patience(self) -> float:
        """See Host.patience."""
        return 3600.0

    def close(self) -> None:
        """See Host.close. A worker that hangs in a call is left behind with its connection."""
        self._closed.set()
        self._wake.set()

    def _tell(self, lives: list[_Live]) -> None:
        self._busy += len(lives)
        self._inbox.put(lambda: self._live.update({live.attempt.folder: live for live in lives}))
        self._wake.set()

    # ---- the worker's thread ----------------------------------------------------------------------------------------

    def _work(self) -> None:
        pause = BACK_OFF[0]
        while not self._closed.is_set():
            self._wake.clear()
            while not self._inbox.empty():
                self._inbox.get()()
                pause = BACK_OFF[0]
            try:
                if self._live and self._round_trip():
                    pause = BACK_OFF[0]
            except Exception as error:  # the thread must live: jobs would hang without a word
                self._say(f"{type(error).__name__}: {error}")
            self._wake.wait(pause if self._live else None)
            pause = min(pause * 1.5, BACK_OFF[1])
        self.transport.close()

    def _round_trip(self) -> bool:
        """One script for everything; True if it brought news."""
        lives = list(self._live.values())
        try:
            for source, digest in (pair for live in lives if live.launch for pair in large(live.launch)):
                if digest not in self._sent:
                    travel.send(self.transport, source, f"{self._run_dir}/inputs/{digest}")
                    self._sent.add(digest)
            answer = self.transport.run(self._script(lives), TIMEOUT)
            if "cc-end" not in answer.out.split("\n")[-2:]:
                last = (answer.err.strip().splitlines() or ["no answer"])[-1]
                raise UnavailableError(f"the machine's answer is not whole (exit code {answer.code}): {last}")
        except (UnavailableError, OSError) as error:  # also a file that cannot be read here
            self._say(str(error))
            for live in lives:
                live.again = 0.0
            return False
        self._say("")
        looks = parse(answer.out.split("\n"))
        found = [seen for live in lives if (look := looks.get(live.attempt.folder)) for seen in self._see(live, look)]
        for seen in found:
            self._outbox.put(seen)
        if found:
            os.write(self._ring, b"!")
        return bool(found)

    def _say(self, trouble: str, whose: str = "looks") -> None:
        self._troubles[whose] = trouble
        told = next(filter(None, self._troubles.values()), "")
        if told != self.trouble:
            self.trouble = told
            os.write(self._ring, b"!")

    def _script(self, lives: Iterable[_Live]) -> str:
        parts = [f"cc_run={self._run_dir}", "cc_umask=$(umask)", "umask 077", (HERE / "resource.sh").read_text()]
        if any(live.launch for live in lives):
            parts.append('mkdir -p "$cc_run/stub" "$cc_run/files"')
            parts += [_file(f'"$cc_run"/{name}', text) for name, text in copied().items()]
        for live in lives:
            folder, token = shlex.quote(live.attempt.folder), shlex.quote(live.attempt.token)
            if live.launch and not live.cancelled and time.monotonic() >= live.again:
                live.again = time.monotonic() + RESTART
                parts.append(_start(live.launch, folder, self._batch.submit(live.attempt.token)))
            if live.cancelled:
                number = "KILL" if time.monotonic() > live.cancelled else "TERM"
                parts.append(f"cc_end {folder} {token} {number}")
            parts.append(f"cc_look {folder} {token} {live.offset}")
        return "{\n" + "\n".join(parts) + "\necho; echo cc-end\n}\n"

    def _see(self, live: _Live, look: Look) -> list[Observation]:
        folder, seen = read_folder(look.names, look.claim), Observation(live.attempt.job, live.attempt.number)
        if look.gone or not look.names:
            if live.launch and look.gone != "cc-lost" and not live.cancelled:
                self._sent.clear()  # perhaps somebody has removed what was there
                return []
            ending, why = ("cancelled", "") if live.cancelled else ("lost", "its folder is gone")
            return self._over(live, replace(seen, ending=ending, reason=why))
        live.launch = None if folder.claim or folder.by_engine else live.launch
        report = replace(
            protocol.report(look.lines, live.attempt.pattern),
            error=protocol.failure(look.error),
            add="\n".join(look.add),
        )
        started = look.times[0] if look.times else None
        if folder.ending and not look.left:
            ending = "cancelled" if "cancel" in look.names else folder.ending
            ended = look.times[-1] if len(look.times) > 1 else None
            end = replace(seen, claim=folder.claim, started=started, ending=ending, code=folder.code, ended=ended)
            return self._over(live, replace(end, report=report))
        if folder.by_engine:
            return self._over(live, replace(seen, ending="cancelled"))
        live.bereft = live.bereft + 1 if look.left == 0 else 0
        if live.bereft > 2 and not live.cancelled:
            return self._over(live, replace(seen, claim=folder.claim, ending="lost", reason=LOST))
        news, live.offset = look.size > live.offset, max(live.offset, look.size)
        known = folder.claim if folder.claim and folder.claim.pid else None  # made a moment ago: the next look knows
        if (known and live.claim is None) or (news and report != protocol.Report()):
            live.claim = live.claim or known
            return [replace(seen, claim=live.claim, started=started, report=report)]
        return []

    def _over(self, live: _Live, seen: Observation) -> list[Observation]:
        attempt = live.attempt
        del self._live[attempt.folder]
        good = seen.ending == "exit" and seen.code == 0
        if self.results and ((attempt.out and good) or (attempt.notebook and seen.ending == "exit")):
            self._travels.put((attempt if good else replace(attempt, out=()), seen, 0))
            return []  # the end is told when its files are here
        return [seen]

    def _bring(self) -> None:
        """The thread of the files that come back: an end is told after them, however often the line is cut."""
        while not self._closed.is_set():
            attempt, seen, tries = self._travels.get()
            try:
                assert self.results
                travel.bring(self.transport, self._run_dir, attempt, self.results)
            except InputError as error:
                seen = replace(seen, code=None, ending="files", reason=str(error))
            except Exception as error:  # the line, and a full disk, may be better later
                line = isinstance(error, UnavailableError) or getattr(error, "errno", 0) in WAIT
                if line and tries < TRIES:
                    self._say(str(error), "files")
                    self._travels.put((attempt, seen, tries + isinstance(error, travel.Cut)))
                    self._closed.wait(BACK_OFF[1])
                    continue
                seen = replace(seen, code=None, ending="files", reason=f"its files cannot be brought: {error}")
            self._say("", "files")
            self._outbox.put(seen)
            os.write(self._ring, b"!")


def large(launch: Launch) -> list[tuple[str, str]]:
    """The inputs, with their hashes, that go on their own: long ones, and those with a zero byte, which no sh holds."""
    found = []
    for source in launch.inputs:
        data = Path(source).read_bytes()
        if len(data) > EMBEDDED or b"\0" in data:
            found.append((source, hashlib.sha256(data).hexdigest()))
    return found


def _start(launch: Launch, folder: str, submit: str) -> str:
    """sh that makes the attempt's folder, once, and starts its wrapper while nobody has claimed it."""
    work = "files" if launch.attempt.isolated else '"$cc_run"/files'
    sent = dict(large(launch))
    steps = [f"printf %s {shlex.quote(text)} > {shlex.quote(name)}" for name, text in launch.files.items()]
    for source, name in launch.inputs.items():
        target = f"{work}/{shlex.quote(name)}"
        steps.append(f"mkdir -p {work}/{shlex.quote(os.path.dirname(name))}")
        if source in sent:
            steps.append(f'cp "$cc_run"/inputs/{sent[source]} {target}.part && mv {target}.part {target}')
        else:
            steps.append(_file(target, Path(source).read_bytes().decode(errors="surrogateescape")))
    make = " &&\n".join([*steps, f"cc_made {folder}"])  # on a full disk nothing of it counts
    start = f'cd "$cc_run"/{folder} && [ ! -e claim ] && {{\n{submit}\n}}'
    return f"if cc_begin {folder}; then\n{{ {make}\n}} || cc_undo {folder}\nfi\n{start}"


def _file(target: str, text: str) -> str:
    """sh that makes a file whole: under another name first, then renamed; printf is a builtin, nothing is expanded."""
    return f"printf %s {shlex.quote(text)} > {target}.part && mv {target}.part {target}"
