"""The engine: one process per active run, the only writer of its journal.

    main → Engine.run → tick → _requests, _observe → _emit → journal
                             → _launch → _emit("submit"), journal.sync, host.start

Ordinary synchronous code. Between ticks it waits for what can wake it: a host's descriptors, the run's FIFO, a time.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import importlib
import json
import os
import resource
import select
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from cc_notebook import control, hosts, payload
from cc_notebook.errors import CCError, InputError, ResourceError, UnavailableError
from cc_notebook.hosts.base import Host, Launch, Observation
from cc_notebook.journal import Journal, Reader
from cc_notebook.model import Job
from cc_notebook.runs import Run, RunSpec, now
from cc_notebook.state import ALIVE, FINAL, Event, JobStatus, RunState

HEARTBEAT = 60.0  # the longest wait between two ticks
RETRY_IO = 1.0  # seconds before a full disk is tried again
Scheduler = Callable[[Sequence[str], Sequence[str], int], Sequence[str]]
HostMaker = Callable[[RunSpec, Path, str], Host]


class Engine:
    """Executes one run. `tick()` does everything that can be done now; `run()` ticks until the run has ended."""

    def __init__(self, folder: Path, make_host: HostMaker = hosts.make) -> None:
        self.folder = folder
        self.spec = Run(folder).spec
        self.jobs = self.spec.workflow.jobs
        self.journal = Journal(folder / "events.jsonl")
        self.state = RunState(self.jobs)
        for event in Reader(folder / "events.jsonl").new():
            self.state.feed(event)
        self.plan = self._plan()
        self.alive = {name: None for name, status in self.state.jobs.items() if status.state in ALIVE}
        self.choose = _scheduler(self.spec)
        self.bell = os.open(folder / "bell", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)  # RDWR: never at end of file
        self._make_host = make_host
        self._hosts: dict[str, Host] = {}
        self._later: dict[str, float] = {}  # retries that wait, by their deadline
        self._unstarted: list[tuple[str, Launch]] = []  # journalled as submitted, but a disk was full
        self._shebangs: dict[str, tuple[tuple[int, int], str, str]] = {}
        self._hold = 0.0
        self._emit(Event("engine", native_id=str(os.getpid())))
        self._adopt()

    def run(self) -> None:
        """Tick until the run has ended and nobody asks for more."""
        while True:
            try:
                self.tick()
            except ResourceError as error:
                print(now(), error, file=sys.stderr, flush=True)
                self._hold = time.monotonic() + RETRY_IO
            if self.state.ended and not self._waiting_requests():
                return
            self._wait()

    def tick(self) -> None:
        """Take requests, see what the hosts saw, start what may start, and write it all down first."""
        self._requests()
        self._observe()
        self._skip()
        launches = self._launch()
        self._end()
        self._sync()
        self._start(launches)

    def close(self) -> None:
        """Stop listening and let go of everything; jobs go on."""
        for host in self._hosts.values():
            host.close()
        os.close(self.bell)
        self.journal.close()

    # ---- events -------------------------------------------------------------------------------------------------

    def _emit(self, event: Event) -> None:
        """The one place where this run's state changes."""
        event = replace(event, seq=self.state.seq + 1, at=now())
        self.state.feed(event)
        self.journal.add(event)
        if event.job:
            state = self.state.jobs[event.job].state
            if state in ALIVE:
                self.alive[event.job] = None
            else:
                self.alive.pop(event.job, None)
            if state in FINAL and event.type != "mark":
                self.plan.settle(event.job, state)

    def _sync(self) -> None:
        try:
            self.journal.sync()
        except OSError as error:
            raise ResourceError(f"the journal {self.journal.path} cannot be written: {error.strerror}") from error

    def _plan(self) -> control.Plan:
        return control.Plan(self.spec.workflow, self.state.jobs, self.spec.order, hosts.name_of)

    # ---- requests -----------------------------------------------------------------------------------------------

    def _waiting_requests(self) -> list[Path]:
        return sorted(path for path in (self.folder / "requests").iterdir() if path.name[0] != ".")

    def _requests(self) -> None:
        with suppress(BlockingIOError):
            while os.read(self.bell, 4096):
                pass
        done = []
        for path in self._waiting_requests():
            if path.stem not in self.state.answered:
                self._answer(path)
            done.append(path)
        if done:
            self._sync()
        for path in done:
            path.unlink(missing_ok=True)

    def _answer(self, path: Path) -> None:
        try:
            asked = json.loads(path.read_bytes())
            kind, jobs = str(asked["type"]), [str(job) for job in asked["jobs"]]
            action = {"cancel": self._cancel, "retry": self._retry, "mark": self._mark}.get(kind, self._switch)
            action(kind, [job for job in jobs if job in self.jobs], str(asked.get("state", "")), path.stem)
        except (InputError, ValueError, KeyError, TypeError) as error:
            self._emit(Event("refused", reason=str(error), request=path.stem))

    def _switch(self, kind: str, jobs: Sequence[str], state: str, request: str) -> None:
        if kind not in ("pause", "resume"):
            raise InputError(f"a run cannot be asked to '{kind}'")
        self._refuse_if_ended()
        self._emit(Event(kind, request=request))

    def _refuse_if_ended(self) -> None:
        if self.state.ended:
            raise InputError(f"run {self.spec.run} has ended already ({self.state.ended})")

    def _cancel(self, kind: str, jobs: Sequence[str], state: str, request: str) -> None:
        self._refuse_if_ended()
        statuses = self.state.jobs
        chosen = [name for name in jobs or self.jobs if statuses[name].state not in FINAL]
        if jobs and not chosen:
            raise InputError(f"'{jobs[0]}' has ended already ({statuses[jobs[0]].state})")
        self._cancel_jobs(chosen)
        self._emit(Event("cancel_job" if jobs else "cancel_run", reason=", ".join(jobs), request=request))

    def _cancel_jobs(self, names: Sequence[str]) -> None:
        """Those not on a host end at once, the others when their host says that nothing of them is left."""
        unstarted = {launch.attempt.job for _, launch in self._unstarted}
        self._unstarted = [item for item in self._unstarted if item[1].attempt.job not in names]
        groups: dict[str, list[hosts.Attempt]] = {}
        for name in names:
            status = self.state.jobs[name]
            if name in self.alive and name not in unstarted:
                groups.setdefault(status.host, []).append(self._attempt(name))
            elif status.state not in FINAL:
                self._forget(name)
                number = status.attempt if name in unstarted else 0
                reason = "cancelled by the user"
                self._emit(Event("cancel", job=name, attempt=number, ending="cancelled", reason=reason))
        for host, attempts in groups.items():
            self._host(host).cancel(attempts)

    def _retry(self, kind: str, jobs: Sequence[str], state: str, request: str) -> None:
        statuses = self.state.jobs
        names = list(jobs) or [name for name, s in statuses.items() if s.state in ("failed", "cancelled")]
        alive = [name for name in names if statuses[name].state in ALIVE]
        if alive or not names:
            raise InputError(f"'{alive[0]}' is still {statuses[alive[0]].state}" if alive else "no job failed")
        found = control.resettable(names, statuses, self.plan)
        self._emit(Event("reset", jobs=tuple(found), request=request, reason=", ".join(names)))
        self.plan = self._plan()

    def _mark(self, kind: str, jobs: Sequence[str], state: str, request: str) -> None:
        name = jobs[0]
        if self.state.jobs[name].state in ALIVE:
            raise InputError(f"'{name}' is {self.state.jobs[name].state}: cancel it first, then set its state")
        self._forget(name)
        self._emit(Event("mark", job=name, state=state, request=request))
        self.plan = self._plan()

    def _forget(self, name: str) -> None:
        self._later.pop(name, None)
        self.plan.remove(name)

    # ---- observations -------------------------------------------------------------------------------------------

    def _observe(self) -> None:
        for host in self._hosts.values():
            for seen in host.observe():
                status = self.state.jobs[seen.job]
                if status.state in ALIVE and status.attempt == seen.number:
                    self._take(seen, status)

    def _take(self, seen: Observation, status: JobStatus) -> None:
        head = Event("", job=seen.job, attempt=seen.number)
        if seen.claim and status.state == "submitted":
            native = f"{seen.claim.pid}@{seen.claim.host}"
            self._emit(replace(head, type="start", native_id=native, started=_stamp(seen.started)))
        report = seen.report
        if seen.ending:
            self._ended(seen, replace(head, progress=report.progress, outputs=report.outputs, ended=_stamp(seen.ended)))
            return
        new = {key: value for key, value in report.outputs.items() if status.outputs.get(key, seen) != value}
        if (report.progress or 0) > status.progress or new:
            self._emit(replace(head, type="progress", progress=report.progress, outputs=new))

    def _ended(self, seen: Observation, event: Event) -> None:
        status, job = self.state.jobs[seen.job], self.jobs[seen.job]
        ending, code = seen.ending, seen.code
        event = replace(event, ending=ending, code=code, reason=_reason(seen, job))
        if ending == "exit" and code == 0:
            self._emit(replace(event, type="done", reason=""))
        elif ending == "cancelled":
            self._emit(replace(event, type="cancel"))
        elif not self.state.cancelled and control.wants_retry(job, status, ending, code):
            self._emit(replace(event, type="retry"))
            self._later[seen.job] = time.monotonic() + job.retry.delay
        else:
            self._emit(replace(event, type="fail"))

    def _skip(self) -> None:
        while self.plan.to_skip:
            name = self.plan.to_skip.pop()
            trigger = self.jobs[name].trigger
            self._emit(Event("skip", job=name, reason=f"trigger {trigger}: {_tally(self.plan.tally.get(name, {}))}"))

    def _end(self) -> None:
        """Write the end once nothing runs and nothing can start any more."""
        if self.state.ended or self.alive or self._later or any(self.plan.runnable.values()):
            return
        counts = self.state.counts()
        failed = [name for name, status in self.state.jobs.items() if status.state == "failed"]
        blocked = f", {len(self.plan.blocked)} not run because of it" if self.plan.blocked else ""
        if failed:
            self._emit(Event("end", state="failed", reason=f"failed: {', '.join(failed[:5])}{blocked}"))
        elif counts.get("cancelled"):
            self._emit(Event("end", state="cancelled", reason=f"{counts['cancelled']} cancelled{blocked}"))
        else:
            self._emit(Event("end", state="done"))

    # ---- starting -----------------------------------------------------------------------------------------------

    def _launch(self) -> list[tuple[str, Launch]]:
        """Choose what starts now and journal the intent; the hosts are told after the sync."""
        for name in [name for name, deadline in self._later.items() if deadline <= time.monotonic()]:
            del self._later[name]
            self.plan.again(name)
        launches = self._unstarted
        self._unstarted = []
        if self.state.paused or self.state.cancelled or time.monotonic() < self._hold:
            return launches
        for host in sorted(self.plan.runnable, key=self._first):
            while found := self._launch_on(host):
                launches += [(host, launch) for launch in found if launch]
        return launches

    def _first(self, host: str) -> int:
        return min((self.plan.rank[name] for name in self.plan.runnable[host][:1]), default=0)

    def _launch_on(self, host: str) -> list[Launch | None]:
        """One round of the scheduler on one host; None stands for a job that is over already (a marker, an error)."""
        queue = self.plan.runnable[host]
        if not queue:
            return []
        most = self.spec.max_parallel or self.spec.workflow.max_parallel or 10**6
        instant = [name for name in queue[:1] if self.jobs[name].instant]
        free = min(most - len(self.alive), self._host(host).free())
        chosen = instant or list(self.choose(queue, tuple(self.alive), max(0, free)))
        started: list[Launch | None] = []
        for name in chosen:
            launch = self._try_prepare(name)
            if isinstance(launch, tuple) and not self._host(host).reserve():
                break
            self.plan.remove(name)
            started.append(self._submit(name, host, launch))
            self._skip()
        return started

    def _try_prepare(self, name: str) -> tuple[Launch, str] | str | None:
        """The launch and the script's hash; None for a marker, a text for what is wrong with the job."""
        if self.jobs[name].instant:
            return None
        try:
            return self._prepare(self.jobs[name], self.state.jobs[name].attempt + 1)
        except (CCError, OSError) as error:
            return str(error)

    def _submit(self, name: str, host: str, prepared: tuple[Launch, str] | str | None) -> Launch | None:
        if isinstance(prepared, str):
            self._emit(Event("fail", job=name, ending="input", reason=prepared))
            return None
        launch, digest = prepared or (None, "")
        number = self.state.jobs[name].attempt + 1
        self._emit(Event("submit", job=name, attempt=number, host=host, script=digest))
        if launch is None:
            self._emit(Event("done", job=name, attempt=number, ending="exit", code=0))
        return launch

    def _prepare(self, job: Job, number: int) -> tuple[Launch, str]:
        """The files of an attempt, from the script as it is now."""
        folder = Path(self.spec.folder)
        shebang, digest = self._script(folder / job.script) if job.script else ("", _digest(str(job.exec)))
        named = {*self.plan.parents[job.name], *payload.jobs_named(job, self.jobs)}
        outputs = {name: self.state.jobs[name].outputs for name in named if self.state.jobs[name].outputs}
        values = payload.values_of(job, self.spec.workflow.params, outputs)
        is_folder = bool(job.venv) and ("/" in str(job.venv) or (folder / str(job.venv) / "bin").is_dir())
        around = payload.Surroundings(self.spec.run, self.spec.folder, self.spec.python, shebang, is_folder, values)
        attempt = payload.attempt_of(job, self.spec.run, number)
        parents = {parent: outputs[parent] for parent in self.plan.parents[job.name] if parent in outputs}
        note = {"token": attempt.token, "script": digest, "outputs": parents}
        needed = [name for name in (job.script, *job.files.in_) if name] if job.isolated else []
        return Launch(attempt, payload.files(job, attempt, around, note), {str(folder / n): n for n in needed}), digest

    def _script(self, path: Path) -> tuple[str, str]:
        """Interpreter line and hash of a script, read again only when the file changed."""
        found = os.stat(path)
        stamp = (found.st_mtime_ns, found.st_size)
        known = self._shebangs.get(str(path))
        if known is None or known[0] != stamp:
            text = path.read_bytes()
            first = text.split(b"\n", 1)[0].decode(errors="replace").strip()
            known = (stamp, first[2:].strip() if first.startswith("#!") else "", _digest(text))
            self._shebangs[str(path)] = known
        return known[1], known[2]

    def _start(self, launches: Sequence[tuple[str, Launch]]) -> None:
        for place, (host, launch) in enumerate(launches):
            try:
                self._host(host).start([launch])
            except ResourceError:
                self._unstarted = list(launches[place:])
                raise

    # ---- hosts --------------------------------------------------------------------------------------------------

    def _host(self, name: str) -> Host:
        if name not in self._hosts:
            self._hosts[name] = self._make_host(self.spec, self.folder, name)
        return self._hosts[name]

    def _attempt(self, name: str) -> hosts.Attempt:
        return payload.attempt_of(self.jobs[name], self.spec.run, self.state.jobs[name].attempt)

    def _adopt(self) -> None:
        """Take over the attempts of an earlier engine: start once more what may not have started, watch the rest."""
        for name in list(self.alive):
            status = self.state.jobs[name]
            if self.jobs[name].instant:
                self._emit(Event("done", job=name, attempt=status.attempt, ending="exit", code=0))
                continue
            try:
                if status.state == "submitted":
                    self._unstarted.append((status.host, self._prepare(self.jobs[name], status.attempt)[0]))
                    continue
            except (OSError, CCError):  # the script is gone: what is on the resource decides
                pass
            self._host(status.host).watch([self._attempt(name)])
        if self.state.cancelled:
            self._cancel_jobs(list(self.jobs))

    def _wait(self) -> None:
        moment = time.monotonic()
        patience = [HEARTBEAT, *(host.patience() for host in self._hosts.values())]
        patience += [deadline - moment for deadline in self._later.values()]
        if self._unstarted or self._hold > moment:
            patience.append(max(self._hold - moment, 0.05))
        if any(self.plan.runnable.values()) and not self.state.paused and not self.state.cancelled:
            patience.append(0.2)  # another run may free a place
        ready = [self.bell, *(fd for host in self._hosts.values() for fd in host.wakers())]
        select.select(ready, [], [], max(0.0, min(patience)))


def _reason(seen: Observation, job: Job) -> str:
    if seen.reason or seen.ending == "exit":
        return seen.reason or f"exit code {seen.code}"
    if seen.ending == "signal":
        return f"signal {seen.code}" + (" (perhaps out of memory)" if seen.code == 9 else "")
    limit = f" of {job.limit:g} s" if job.limit else ""
    return {"timeout": f"the time limit{limit} was reached", "cancelled": "cancelled by the user"}.get(seen.ending, "")


def _stamp(moment: float | None) -> str:
    return "" if moment is None else datetime.fromtimestamp(moment, UTC).isoformat()


def _digest(data: str | bytes) -> str:
    return hashlib.sha256(data.encode() if isinstance(data, str) else data).hexdigest()[:16]


def _tally(tally: Mapping[str, int]) -> str:
    return ", ".join(f"{number} {outcome}" for outcome, number in tally.items()) or "no parents"


def _scheduler(spec: RunSpec) -> Scheduler:
    """A shipped scheduler by name, or `module:function` with the module beside the workflow file."""
    name = spec.workflow.scheduler
    if name in ("parallel", "topological"):
        return {"parallel": control.parallel, "topological": control.topological}[name]
    module, _, function = name.partition(":")
    sys.path.insert(0, spec.folder)
    try:
        found: Scheduler = getattr(importlib.import_module(module), function)
    except (ImportError, AttributeError, ValueError) as error:
        raise InputError(f"the scheduler '{name}' cannot be loaded from {spec.folder}: {error}") from None
    return found


def _lock(folder: Path) -> int | None:
    """The run's writer lock, which dies with its holder; None if a living engine has it."""
    descriptor = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    deadline = time.monotonic() + 5
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return descriptor
        except OSError as error:
            if error.errno not in (errno.EWOULDBLOCK, errno.EACCES):
                raise UnavailableError(f"{folder} cannot be locked: {error}") from error
        if Run(folder).engine_alive() or time.monotonic() > deadline:
            os.close(descriptor)
            return None
        time.sleep(0.02)  # it is about to end, or about to listen


def main(folder: Path) -> int:
    """Be the engine of the run in `folder` until it has ended; at once if it has another."""
    os.umask(0o077)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard == resource.RLIM_INFINITY or soft < hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 65536) if hard > 0 else 65536, hard))
    lock = _lock(folder)
    if lock is None:
        return 0
    while True:
        engine = Engine(folder)
        try:
            engine.run()
        finally:
            engine.close()
        if not engine._waiting_requests():  # one that came while the bell was let go
            return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
