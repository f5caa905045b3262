"""The engine: one process per active run, the only writer of its journal.

    main → Engine.run → tick → _requests, _observe → _emit → journal
                             → _choose → _emit("submit"), journal.sync → _start → host.start

Ordinary synchronous code. Between ticks it waits for what can wake it: a host's descriptors, the run's FIFO, a time.
"""

import os
import resource
import select
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path

from cc_notebook import control, hosts, loops, payload, reuse
from cc_notebook.adding import added
from cc_notebook.errors import CCError, InputError, ResourceError, clean
from cc_notebook.files import place
from cc_notebook.hosts.base import Attempt, Host, Launch, Observation
from cc_notebook.hosts.seen import last
from cc_notebook.journal import Journal, Reader
from cc_notebook.launching import glob, prepare, scheduler
from cc_notebook.model import Job
from cc_notebook.process import lock, told
from cc_notebook.runs import Run
from cc_notebook.state import ALIVE, FINAL, Event, JobStatus, RunState
from cc_notebook.store import Request, now

HEARTBEAT = 60.0  # seconds: the longest wait between two ticks
RETRY_IO = 1.0  # seconds until a full disk is tried again
CONTENTION = 0.2  # seconds until a place that other runs hold is asked for again


class Engine:
    """Executes one run. `tick()` does everything that can be done now; `run()` ticks until the run has ended."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.spec = folder, Run(folder).spec
        self.choose = scheduler(self.spec.workflow.scheduler, self.spec.folder)
        self.journal = Journal(folder / "events.jsonl")
        self.state = RunState(self.spec.workflow)
        self.jobs = self.state.flow.jobs
        for event in Reader(folder / "events.jsonl").new():
            self.state.feed(event)
        if self.spec.taken and not self.state.seq:
            first = Event("take", seq=1, at=now(), jobs=tuple(self.spec.taken), outputs=dict(self.spec.taken))
            self.state.feed(first)
            self.journal.add(first)
        self._later: dict[str, float] = {}  # retries that wait, by their time
        self.plan = self._plan()
        living = [name for name, status in self.state.jobs.items() if status.state in ALIVE]
        self.alive = dict.fromkeys(name for name in living if not self.jobs[name].group)
        self.bell = os.open(folder / "bell", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)  # RDWR: never at end of file
        self.earlier = [Run(folder.parent / name) for name in self.spec.reuse]
        self._hosts: dict[str, Host] = {}
        self._to_start: dict[str, Launch] = {}  # journalled as submitted, not yet handed to their host
        self._hold = 0.0  # nothing starts before, after a disk was full
        self._emit(Event("engine", native_id=str(os.getpid())))
        self._adopt()

    def run(self) -> None:
        """Tick until the run has ended and nobody asks for more."""
        while not self.state.ended or self._waiting():
            try:
                self.tick()
            except ResourceError as error:
                with suppress(OSError):  # engine.log is on the same disk
                    print(now(), error, file=sys.stderr, flush=True)
                self._hold = time.monotonic() + RETRY_IO
            if not self.state.ended or self._hold > time.monotonic():
                self._wait()

    def tick(self) -> None:
        """Take requests, see what the hosts saw, start what may start; what is decided is written down first."""
        self._requests()
        self._observe()
        self._choose()
        self._end()
        self._sync()
        self._start()

    def close(self) -> None:
        """Stop listening and let go of everything; jobs go on."""
        for host in self._hosts.values():
            host.close()
        os.close(self.bell)
        self.journal.close()

    def _emit(self, event: Event) -> None:
        """The one place where this run's state changes."""
        event, known = replace(event, seq=self.state.seq + 1, at=now()), len(self.jobs)
        if event.type in ("submit", "take", "fail", "grow", "cancel"):
            self.plan.remove(event.job)
        self.state.feed(event)
        self.journal.add(event)
        if event.type == "grow":
            self.plan.grow(event.job, list(islice(self.jobs, known, None)))
        if event.job and event.type != "mark":
            state = self.state.jobs[event.job].state
            if state in ALIVE and not self.jobs[event.job].group:
                self.alive[event.job] = None
            else:
                self.alive.pop(event.job, None)
            if state in FINAL and not event.nodes:
                self.plan.settle(event.job, state)
        if event.nodes:
            self.plan = self._plan()

    def _sync(self) -> None:
        try:
            self.journal.sync()
        except OSError as error:
            raise ResourceError(f"the journal {self.journal.path} cannot be written: {error.strerror}") from error

    def _plan(self) -> control.Plan:
        plan = control.Plan(self.state.flow, self.state.jobs, self.spec.order, hosts.name_of)
        for name in list(self._later):
            if self.state.jobs[name].state == "ready" and self.state.jobs[name].tries:
                plan.remove(name)  # its delay goes on
            else:
                del self._later[name]
        return plan

    # ---- requests -----------------------------------------------------------------------------------------------

    def _waiting(self) -> list[Path]:
        found = f"{self.folder}/requests"  # listed at every tick, so without pathlib's objects
        return sorted(Path(found, name) for name in os.listdir(found) if name[0] != ".")

    def _requests(self) -> None:
        with suppress(BlockingIOError):
            os.read(self.bell, 65536)
        waiting = self._waiting()
        for path in waiting:
            cancelled: list[str] = []
            if path.stem not in self.state.answered:
                try:
                    asked = Request.read(path)
                    if asked.type == "add":
                        event = self._added(Event("add"), asked.text, "the new job")
                    else:
                        event, cancelled = control.answer(asked.type, asked.jobs, asked.state, self.state, self.plan)
                except Exception as error:  # also one of ours: a request must never take the run with it
                    event = Event("refused", reason=_told(error))
                self._cancel(cancelled)
                self._emit(replace(event, request=path.stem))
                self.plan = self._plan() if event.type in ("reset", "mark", "cancel_job") else self.plan
        if waiting:
            self._sync()
        for path in waiting:
            path.unlink(missing_ok=True)

    def _added(self, event: Event, text: str, file: str) -> Event:
        """The event with the jobs that a YAML text adds to the run. Raises InputError."""
        again = event.type != "add"
        nodes, edges = added(self.state, text, file, place(Path(self.spec.folder)), again)
        jobs = {name: Job.model_validate(node | {"name": name}) for name, node in nodes.items()}
        hosts.supported(self.spec.workflow.model_copy(update={"jobs": jobs, "subs": {}}))
        return replace(event, nodes=nodes, edges=edges)

    def _cancel(self, names: Sequence[str]) -> None:
        """Those not on a host end at once, the others when their host says that nothing of them is left."""
        groups: dict[str, list[Attempt]] = {}
        for name in names:
            status = self.state.jobs[name]
            if name in self.alive and name not in self._to_start:
                groups.setdefault(status.host, []).append(self._attempt(name))
            elif status.state not in FINAL:
                self._later.pop(name, None)
                if launch := self._to_start.pop(name, None):
                    self._host(status.host).release(launch.attempt)
                number = status.attempt if name in self.alive else 0
                self._emit(Event("cancel", job=name, attempt=number, ending="cancelled", reason=control.BY_USER))
        for host, attempts in groups.items():
            self._host(host).cancel(attempts)

    # ---- observations -------------------------------------------------------------------------------------------

    def _observe(self) -> None:
        for name, host in list(self._hosts.items()):
            known = self.state.hosts[name]
            if known.opened and known.way is None and host.address is not None:
                self._emit(Event("opened", host=name, native_id=host.address))
            if host.trouble != known.trouble:
                self._emit(Event("host", host=name, reason=host.trouble, seen=last(self.folder, name)))
            for seen in host.observe():
                status = self.state.jobs[seen.job]
                if status.state in ALIVE and status.attempt == seen.number:
                    self._take(seen, status)
            if host.left is not None:
                self._emit(Event("closed", host=name, reason=host.left))  # killed before that, the next does it again
                self._hosts.pop(name).close()

    def _take(self, seen: Observation, status: JobStatus) -> None:
        name, number, job = seen.job, seen.number, self.jobs[seen.job]
        if seen.claim and seen.claim.pid and status.state == "submitted":
            native = f"{seen.claim.pid}@{seen.claim.host}"
            self._emit(Event("start", job=name, attempt=number, native_id=native, started=_stamp(seen.started)))
        new = {key: value for key, value in seen.report.outputs.items() if status.outputs.get(key, seen) != value}
        progress, step = seen.report.progress, seen.report.step
        told = Event("progress", job=name, attempt=number, progress=progress, outputs=new, step=step)
        if not seen.ending:
            if self.state.jobs[name].state == "running" and ((progress or 0) > status.progress or new):
                self._emit(told)
            return
        told = replace(told, ended=_stamp(seen.ended), ending=seen.ending, code=seen.code, reason=seen.reason)
        event = control.outcome(job, status, told, seen.report.error, self.state.cancelled)
        if event.type == "done" and seen.report.add:
            try:
                event = self._added(event, seen.report.add, "add.yaml")
            except Exception as error:  # also one of ours: a job's file must never take the run with it
                event = replace(event, type="fail", reason=_told(error))
        if event.type == "retry":
            self._later[name] = time.monotonic() + job.retry.delay
        self._emit(event)

    def _end(self) -> None:
        """Write the end once nothing runs and nothing can start any more."""
        more = self._later or self.plan.to_skip or self.plan.closing or any(self.plan.runnable.values())
        if self.state.ended or self.alive or more:
            return
        opened = [name for name, known in self.state.hosts.items() if known.opened]
        for name in opened:
            if not self.state.hosts[name].closing:
                self._emit(Event("closing", host=name, native_id=self.state.hosts[name].way or ""))
        if not opened:
            self._emit(control.ending(self.state, self.plan))

    # ---- starting -----------------------------------------------------------------------------------------------

    def _choose(self) -> None:
        """Choose what starts now and journal the intent; the hosts are told after the sync."""
        for name in [name for name, moment in self._later.items() if moment <= time.monotonic()]:
            del self._later[name]
            self.plan.again(name)
        while self.plan.closing:
            self._close(self.plan.closing.pop())
        while not (self.state.paused or self.state.cancelled or time.monotonic() < self._hold) and self._round():
            pass

    def _round(self) -> bool:
        """One round of the scheduler over the hosts; True if it changed anything."""
        seq = self.state.seq
        while self.plan.closing:
            self._close(self.plan.closing.pop())
        while self.plan.to_skip:
            name = self.plan.to_skip.pop()
            parents = ", ".join(f"{number} {outcome}" for outcome, number in self.plan.tally.get(name, {}).items())
            self._emit(Event("skip", job=name, reason=f"trigger {self.jobs[name].trigger}: parents {parents}"))
        rank = self.plan.rank  # the host whose first job comes first in the order has the first choice
        for host, queue in sorted(self.plan.runnable.items(), key=lambda item: [rank[job] for job in item[1][:1]]):
            if queue and (self.jobs[queue[0]].instant or self.jobs[queue[0]].group):
                self._submit(queue[0], host)
                continue
            try:
                self._fill(host, queue)
            except InputError as error:
                self._emit(Event("cancel_run", reason=str(error)))
                self._cancel(list(self.jobs))
                break
        return self.state.seq > seq

    def _fill(self, host: str, queue: Sequence[str]) -> None:
        """Start what fits. What one job waits for is not given to those behind it; those that want none of it start."""
        most = self.spec.max_parallel or self.spec.workflow.max_parallel or len(self.jobs)
        short, missing = set[str](), "nothing"
        while missing and queue:
            free = 0 if self.state.hosts[host].closing else max(0, min(most - len(self.alive), self._host(host).free()))
            chosen = self.choose(control.content(queue, self.jobs, short), tuple(self.alive), free)
            missing = next(filter(None, (self._submit(name, host) for name in chosen)), "")
            short.add(missing)

    def _submit(self, name: str, host: str) -> str:
        """Journal one start; else what of the host is short, see Host.reserve."""
        number = self.state.jobs[name].attempt + 1
        try:
            wanted, why = loops.wanted(self.state.flow, self.state.jobs, name)
            if self.jobs[name].group and wanted:
                return self._grow(name)
        except Exception as error:  # see _refuse
            return self._refuse(name, error)
        if not wanted:
            self.plan.remove(name)
            self._emit(Event("skip", job=name, reason=why))
            return ""
        if self.jobs[name].instant:
            self._emit(Event("submit", job=name, attempt=number, host=host))
            self._emit(Event("done", job=name, attempt=number, ending="exit", code=0))
            return ""
        try:
            launch = prepare(self.spec, self.state, name, number)
            outputs, why = self._unchanged(name, launch) if self.spec.reuse and number == 1 else (None, "")
            short = "" if outputs is not None else self._host(host).reserve(launch.attempt)
        except ResourceError:
            raise
        except Exception as error:  # see _refuse
            return self._refuse(name, error)
        if outputs is not None:
            self._emit(Event("take", job=name, outputs={name: outputs}, ending="reused", reason=why))
            return ""
        if short:
            return short
        self._emit(Event("submit", job=name, attempt=number, host=host, script=str(launch.facts["script"]), reason=why))
        self._to_start[name] = launch
        return ""

    def _refuse(self, name: str, error: Exception) -> str:
        """The job cannot start, whatever is tried. Whatever the error is: one job must never take the run with it."""
        self._emit(Event("fail", job=name, ending="input", reason=_told(error)))
        return ""

    def _grow(self, name: str) -> str:
        """A group's turn has come: decide its members, or watch again those that it has. Raises InputError."""
        flow, decided = self.state.flow, bool(self.state.flow.members.get(name))
        items = [] if decided else loops.items(flow, self.state.jobs, name, glob(self.spec.folder))
        self._emit(Event("grow", job=name, items=tuple(dict(item) for item in items)))
        self.plan.closing += [name] if not self.plan.open[name] else []
        return ""

    def _close(self, name: str) -> None:
        """Every member of a group has ended: it ends, or goes on with one more iteration."""
        if self.state.jobs[name].state == "running":
            self._emit(loops.ending(self.state.flow, self.state.jobs, name))

    def _unchanged(self, name: str, launch: Launch) -> tuple[dict[str, object] | None, str]:
        """Outputs of an earlier run if nothing has changed since, or None; and the reason."""
        flow, jobs = self.state.flow, self.state.jobs
        for parent, _ in flow.before(name):
            for one in flow.within(parent) or [parent]:
                same = self.jobs[one].instant or one in flow.members or jobs[one].state == "skipped"
                if not same and jobs[one].ending != "reused":
                    return None, f"'{one}' ran again"
        return reuse.look(self.earlier, self.jobs[name], launch.facts, self.spec.folder)

    def _start(self) -> None:
        for name, known in self.state.hosts.items():
            if known.closing:
                self._host(name).leave()  # in the host's own thread: it may take long
        for name, launch in list(self._to_start.items()):
            self._host(self.state.jobs[name].host).start([launch])  # a ResourceError leaves it for the next tick
            del self._to_start[name]

    def _adopt(self) -> None:
        """Take over the attempts of an earlier engine: start once more what may not have started, watch the rest."""
        for name in list(self.alive):
            status = self.state.jobs[name]
            if self.jobs[name].instant:
                self._emit(Event("done", job=name, attempt=status.attempt, ending="exit", code=0))
                continue
            with suppress(InputError):  # the script is gone: what is on the machine decides
                if status.state == "submitted":
                    self._to_start[name] = prepare(self.spec, self.state, name, status.attempt)
                    continue
            self._host(status.host).watch([self._attempt(name)])
        if self.state.cancelled:
            self._cancel(list(self.jobs))

    def _host(self, name: str) -> Host:
        if name not in self._hosts:
            job = next(job for job in self.jobs.values() if hosts.name_of(job) == name)
            self._hosts[name] = hosts.make(self.spec, self.folder, job, self.state.hosts[name].way)
            if self._hosts[name].address is None and not self.state.hosts[name].opened:
                self._emit(Event("opening", host=name))
        return self._hosts[name]

    def _attempt(self, name: str) -> Attempt:
        return payload.attempt_of(self.jobs[name], self.spec.run, self.state.jobs[name].attempt)

    def _wait(self) -> None:
        moment = time.monotonic()
        times = [HEARTBEAT, *(host.patience() for host in self._hosts.values())]
        times += [later - moment for later in self._later.values()]
        times += [max(self._hold - moment, 0.05)] if self._to_start or self._hold > moment else []
        times += [CONTENTION] if any(self.plan.runnable.values()) and not self.state.paused else []
        poll = select.poll()
        for waker in (self.bell, *(waker for host in self._hosts.values() for waker in host.wakers())):
            poll.register(waker, select.POLLIN)
        poll.poll(1000 * max(0.0, min(times)))


def _told(error: Exception) -> str:
    return clean(str(error) if isinstance(error, CCError) else f"{type(error).__name__}: {error}")


def _stamp(moment: float | None) -> str:
    return "" if moment is None else datetime.fromtimestamp(moment, UTC).isoformat()


def main(folder: Path) -> int:
    """Be the engine of the run in `folder` until it has ended; return at once if it has another."""
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most if 0 < most < 65536 else 65536, most))
    waiting = lock(folder, 5.0)
    while waiting:
        engine = Engine(folder)
        try:
            engine.run()
        finally:
            engine.close()
        waiting = bool(engine._waiting())  # a request that came while the bell was let go
    return 0


if __name__ == "__main__":
    sys.exit(main(told()))
