"""Runs as any process sees them: create, list, find, follow, leave a request, start an engine.

Readers only read events; nothing here changes a run but by a request that its engine answers in the journal.
"""

import json
import os
import secrets
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from datetime import datetime
from functools import cache, cached_property, partial
from pathlib import Path
from typing import Any, Self

from cc_notebook import control, freshness, hosts, loops, process
from cc_notebook.errors import BugError, InputError, ResourceError, UnavailableError, nearest
from cc_notebook.hosts.folder import copied, piece, write
from cc_notebook.hosts.seen import FOLDER, answers
from cc_notebook.journal import Reader, decode
from cc_notebook.model import RunSpec
from cc_notebook.payload import attempt_of, serves
from cc_notebook.showing import Shown
from cc_notebook.state import ALIVE, FINAL, Event, JobStatus, RunState
from cc_notebook.store import ID_TIME, Ask, Request, home, new_id, now, rename, write_new

STARTING = 10.0  # seconds in which a new run needs no engine
FOLDERS = ("requests", FOLDER, "stub", "stub/cloudmesh", "stub/cloudmesh/common")  # of a run, beside those of jobs


def create(spec: RunSpec) -> "Run":
    """Write a new run, whole or not at all; no engine is started. Raises ResourceError if the store cannot take it."""
    folder = home() / "runs" / spec.run
    part = folder.with_name(f".{spec.run}")
    try:
        for path in (part, *(part / name for name in FOLDERS)):
            path.mkdir(mode=0o700)
        write(part / "engine.log", "")
        for name, text in copied().items():
            write(part / name, text)
        os.mkfifo(part / "bell", 0o600)
        write_new(part / "run.json", spec.model_copy(update={"store": str(home())}).model_dump_json())
        rename(part, folder)
    except (OSError, ResourceError) as error:
        shutil.rmtree(part, ignore_errors=True)
        raise ResourceError(f"run {spec.run} cannot be written to {folder.parent}: {error}") from error
    return Run(folder)


def all_runs(name: str = "") -> "list[Run]":
    """Every run of this store, or those of workflows of this name, oldest first."""
    head = new_id(name)[:-ID_TIME] if name else ""
    found = [Run(path.parent) for path in (home() / "runs").glob("[!.]*/run.json")]
    found = [run for run in found if not head or run.id[:-ID_TIME] == head]
    return sorted(found, key=lambda run: run.id[-ID_TIME:])


def unfinished(found: "Iterable[Run]") -> "list[Run]":
    """Those that have not ended. One whose files are damaged is left out: it must not stand in the way of others."""
    result = []
    for run in found:
        with suppress(UnavailableError):
            if not run.finished and run.refresh() and run.spec:
                result.append(run)
    return result


def find(name: str) -> "Run":
    """The run with this id, or the only one whose id begins so; `last` is the newest. Raises InputError."""
    runs = all_runs()
    matching = runs[-1:] if name == "last" else [run for run in runs if name and run.id.startswith(name)]
    if len(matching) == 1:
        return matching[0]
    if not matching:
        raise InputError(f"there is no run '{name}'; see: jupyter cc runs" if runs else "there are no runs yet")
    raise InputError(f"'{name}' could be {', '.join(run.id for run in matching[-5:])}: write more of it")


class Run(Shown):
    """One execution of a workflow, as any process sees it: a reader of its events that can leave requests."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.id = folder.name
        self._reader = Reader(folder / "events.jsonl")
        self._state: RunState | None = None

    def __repr__(self) -> str:
        return f"<Run {self.id}: {self.state}>"

    @cached_property
    def spec(self) -> RunSpec:
        """What the run executes. Raises UnavailableError if its file is gone or damaged."""
        try:
            return RunSpec.model_validate_json((self.folder / "run.json").read_bytes())
        except (OSError, ValueError) as error:
            why = f"{self.folder / 'run.json'} is damaged: {str(error).splitlines()[0]}"
            raise UnavailableError(f"run {self.id} cannot be read: {why}") from None

    def refresh(self) -> RunState:
        """The state of now, from every event so far."""
        if self._state is None:
            self._state = RunState(self.spec.workflow, self.spec.created)
        try:
            for event in self._reader.new():
                self._state.feed(event)
        except (BugError, UnavailableError) as error:
            why = f"{self._reader.path} is damaged: {error}; put back a copy of it, or remove the run's folder"
            raise UnavailableError(f"run {self.id} cannot be read: {why}") from None
        return self._state

    @property
    def state(self) -> str:
        """`running`, `paused`, `cancelling`, `done`, `failed` or `cancelled`."""
        return self.refresh().state

    @property
    def finished(self) -> bool:
        """True if the last event is the end; reads only the journal's last lines."""
        with suppress(OSError, UnavailableError), open(self.folder / "events.jsonl", "rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - 65536))
            types = [decode(line).type for line in file.read().split(b"\n")[-200:-1] if line.startswith(b"{")]
            return [kind for kind in types if kind not in ("engine", "refused", "host")][-1:] == ["end"]
        return False

    @property
    def rewritten(self) -> bool:
        """True if the workflow file has changed since the run was made, which executes it as it was."""
        path = Path(self.spec.path)
        return path.is_file() and path.stat().st_mtime > datetime.fromisoformat(self.spec.created).timestamp()

    def status(self, job: str | None = None) -> dict[str, Any]:
        """The whole run as one JSON object, or one job's part of it."""
        view = self.refresh()
        plan = cache(lambda: control.Plan(view.flow, view.jobs))  # it takes a while, and most need none
        names = view.jobs if job is None else (self._known(job),)
        jobs = {name: view.jobs[name].to_dict() | self._derived(name, view.jobs[name], plan) for name in names}
        for name in view.flow.members.keys() & names:
            jobs[name] |= loops.summary(view.flow, view.jobs, name)
        return jobs[job] if job is not None else self.summary() | {"jobs": jobs}

    def summary(self) -> dict[str, Any]:
        """The run without its jobs, as one JSON object; `counts` says how many are in each state."""
        view, progress = self.refresh(), round(self.refresh().progress, 1)
        head = {"run": self.id, "workflow": self.spec.workflow.name, "state": view.state, "reason": view.reason}
        head |= freshness.hosts(answers(self.folder, view.hosts), now())
        return head | {"seq": view.seq, "progress": progress, "counts": view.counts(), "note": self.note()}

    def outputs(self, job: str | None = None) -> dict[str, Any]:
        """The outputs of one job, or of all as `{job: {key: value}}`."""
        if job is not None:
            return dict(self.refresh().jobs[self._known(job)].outputs)
        return {name: dict(status.outputs) for name, status in self.refresh().jobs.items() if status.outputs}

    def log(self, job: str, attempt: int | None = None, start: int = 0, limit: int = 1 << 20) -> str:
        """Up to `limit` bytes of a job's log from byte `start` (negative: from the end); control codes included."""
        return self.log_reader(job, attempt)(start, limit).decode(errors="replace")

    def log_reader(self, job: str, attempt: int | None = None) -> Callable[[int, int], bytes]:
        """What reads a part of a log by its start and limit, see `log`. It needs nothing of this object any more.

        Of a job on another machine it asks there, so it may wait, and raise UnavailableError.
        """
        path, view = self.log_path(job, attempt), self.refresh()
        if path and (own := view.flow.jobs[job]).kind != "local":
            return partial(hosts.read_log, self.spec, own, path.parent.relative_to(self.folder), dict(view.hosts))
        return partial(piece, path or Path(os.devnull))

    def log_path(self, job: str, attempt: int | None = None) -> Path | None:
        """The log file of an attempt (default: the newest), None before the first."""
        view = self.refresh()
        newest = view.jobs[self._known(job)].attempt
        number = attempt or newest
        if number > newest:
            raise InputError(f"job '{job}' has {newest or 'no'} attempts, not {number}")
        return self.folder / attempt_of(view.flow.jobs[job], self.id, number).folder / "log" if number else None

    def reader(self) -> Reader:
        """Reads the events from the first, and at each further call those that came since."""
        return Reader(self.folder / "events.jsonl")

    def events(self) -> Iterator[Event]:
        """Every event so far, from the first."""
        return self.reader().new()

    def follow(self, period: float = 0.1, timeout: float | None = None, every: float = 10.0**9) -> Iterator[RunState]:
        """Yield the state now, after each change, and `every` so many seconds, until the run ends.

        It stops also when `timeout` seconds are over, and when no engine works on the run.
        """
        view, deadline = self.refresh(), time.monotonic() + (timeout if timeout is not None else 10**9)
        last, told, seen_alive = -1, 0.0, time.monotonic()
        while True:
            if view.seq != last or time.monotonic() > told + every:
                last, told = view.seq, time.monotonic()
                yield view
            if view.ended or time.monotonic() > deadline:
                return
            if self.engine_alive():
                seen_alive = time.monotonic()
            elif time.monotonic() - seen_alive > 3 and self.refresh().seq == last:
                return
            time.sleep(min(period, max(0.0, deadline - time.monotonic())))
            view = self.refresh()

    def wait(self, timeout: float | None = None) -> Self:
        """Wait for the end (at most `timeout` seconds). An interrupt leaves the run going. Raises UnavailableError."""
        for _ in self.follow(timeout=timeout):
            pass
        if not self.refresh().ended and not self.engine_alive() and timeout is None:
            raise UnavailableError(f"run {self.id} has no engine any more: {self.note()}")
        return self

    def cancel(self, *jobs: str) -> Self:
        """Cancel the run, or only `jobs`. Returns when the request is safely on disk."""
        return self._ask("cancel", jobs)

    def pause(self) -> Self:
        """Start no further job; running ones go on."""
        return self._ask("pause")

    def resume(self) -> Self:
        """Go on after a pause, a crash or a restart of this computer; harmless at any time."""
        if self.finished:
            return self
        if self.refresh().paused:
            return self._ask("resume")
        process.start(self.folder)
        return self

    def retry(self, *jobs: str) -> Self:
        """Run `jobs` again (default: every failed or cancelled one), and what ended because of them."""
        return self._ask("retry", jobs)

    def mark(self, job: str, new_state: str) -> Self:
        """Set the state of a job that is not running by hand; it is shown as such."""
        if new_state not in ("ready", *FINAL):
            raise InputError(f"'{new_state}' is no state to set by hand: use ready, {', '.join(FINAL)}")
        return self._ask("mark", (job,), new_state)

    def add_job(
        self, /, name: str, after: str | Sequence[str] = (), before: str | Sequence[str] = (), **attributes: Any
    ) -> Self:
        """Add a job to the run as it goes on, after and before others. Raises InputError if the past would change."""
        ends = [[other, name] for other in ([after] if isinstance(after, str) else after)]
        ends += [[name, other] for other in ([before] if isinstance(before, str) else before)]
        return self._ask("add", text=json.dumps({"nodes": {name: attributes}, "dependencies": ends}))

    def results(self, job: str | None = None, frame: bool = False) -> Any:
        """The members of a loop as rows (values, state, outputs, time, file): dicts, or a pandas DataFrame."""
        from cc_notebook.views import results

        found = results.rows(self, job)
        if not frame:
            return found
        import pandas

        return pandas.DataFrame(found)

    def explain(self, job: str) -> str:
        """Why a job is in its state, with the proof."""
        from cc_notebook.views import explain

        return explain.job(self, job)

    def report(self, path: str | Path | None = None) -> Path:
        """Write the run as one HTML page that needs nothing else; by default beside its logs. Returns its path."""
        from cc_notebook.views import report

        return report.report(self, path)

    def engine_alive(self) -> bool:
        """True if an engine works on this run."""
        return process.ring(self.folder)

    def note(self) -> str:
        """What a reader must know beside the state: a full disk, an engine that is missing; empty if all is well."""
        with suppress(OSError):
            space = os.statvfs(self.folder)
            if space.f_bavail == 0 or (space.f_files and space.f_favail == 0):
                return f"the disk of {self.folder} is full: free some space, the run goes on by itself"
        view = self.refresh()
        if not view.seq and time.time() < self.folder.stat().st_ctime + STARTING:
            return ""  # its engine is about to begin
        living = (status.host for status in view.jobs.values() if status.state in ALIVE)
        told = freshness.note(answers(self.folder, view.hosts), living, now())
        if not view.ended and not self.engine_alive():
            words = piece(self.folder / "engine.log", -1000, 1000).decode(errors="replace").strip().split("\n")[-1]
            more = f" (its last words: {words})" * bool(words) + f"; {told}" * bool(told)
            return f"no engine works on it: jupyter cc resume {self.id}{more}"
        return told

    def _ask(self, kind: Ask, jobs: Sequence[str] = (), new_state: str = "", text: str = "") -> Self:
        for job in jobs:
            self._known(job)
        ended = self.refresh().ended
        if ended and kind in ("cancel", "pause"):
            if (ended, kind) == ("cancelled", "cancel"):
                return self
            raise InputError(f"run {self.id} has ended already ({ended})")
        request = f"{time.time_ns()}-{secrets.token_hex(4)}"  # they are taken in this order
        asked = Request(type=kind, jobs=tuple(jobs), state=new_state, text=text)
        write_new(self.folder / "requests" / f"{request}.json", asked.model_dump_json())
        if not process.ring(self.folder, b"!"):
            process.start(self.folder)
        self._answer(request)
        return self

    def _answer(self, request: str) -> None:
        """Wait a moment for the engine's answer; a refusal is an error, silence is not."""
        deadline = time.monotonic() + 5
        while request not in (answered := self.refresh().answered) and time.monotonic() < deadline:
            time.sleep(0.01)
        if answered.get(request):
            raise InputError(answered[request])

    def _known(self, job: str) -> str:
        nearest(job, self.refresh().jobs, f"run {self.id} has no job")
        return job

    def _derived(self, name: str, status: JobStatus, plan: Callable[[], control.Plan]) -> dict[str, Any]:
        shown: dict[str, Any] = {"changed": status.changed, **serves(self.refresh().flow.jobs[name], status.state)}
        if status.state == "ready":
            shown["waiting"] = "blocked" if name in plan().blocked else ("waiting", "ready")[name in plan().queue(name)]
            if name in plan().blocked:
                shown["reason"] = f"blocked by '{plan().root_cause(name)}'"
        return shown
