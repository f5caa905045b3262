"""What the routes below `runs` do: each is a few lines over `Run`. What waits for a run is async, without a thread."""

import asyncio
import fcntl
import hashlib
import json
import tempfile
import time
from bisect import bisect_left
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from dataclasses import asdict
from functools import lru_cache, partial
from itertools import takewhile
from pathlib import Path
from threading import get_ident
from typing import Any, Literal

from cc_jupyter import archive
from cc_jupyter.flows import attachment, path_of
from cc_jupyter.following import READER, Follower, in_thread, stream
from cc_jupyter.models import Byte, Bytes, Chosen, Count, Limit, NewJob, Nothing, Past, RunState, Start, Wait
from cc_jupyter.route import Ask, Refusal, Reply
from cc_notebook import hosts, keeping, launching, runs, state, store
from cc_notebook.errors import NotFoundError, UnavailableError
from cc_notebook.hosts.base import shown_name
from cc_notebook.options import select, with_params
from cc_notebook.runs import Run
from cc_notebook.views import picture, results, table
from cc_notebook.workflow import Workflow

STREAM = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}  # what a stream says to proxies
PERIOD, MIB = 0.2, 1 << 20  # seconds between two looks at a log; bytes of it at once
# What was read of a run is not read again. Each thread has its own, for two must not feed one.
_kept = lru_cache(512)(lambda folder, thread: Run(folder))


def run_of(name: str) -> Run:
    """The run with this id, or the newest by the name `last`. Raises NotFoundError."""
    folder = runs.find(name).folder if name == "last" else store.home() / "runs" / name
    if folder.name != name != "last" or name.startswith(".") or not (folder / "run.json").exists():
        raise NotFoundError(f"there is no run '{name}'; GET runs lists them", name)
    return _kept(folder, get_ident())


def known(ask: Ask, workflow: str = "", state: RunState | None = None, limit: Limit = 50, offset: Count = 0) -> Any:
    """List runs, newest first; those of one `workflow` by its name, or by its path below the server's root."""
    name = Path(workflow).name.removesuffix(".yaml")
    found = [_kept(run.folder, get_ident()) for run in reversed(runs.all_runs(name))]
    if workflow or state:  # else only those of this page are read
        found = [run for run in found if _is(run, workflow, ask.root, state)]
    told = []
    for run in found[offset : offset + limit]:
        with suppress(UnavailableError):
            told.append(run.summary())
    return {"runs": told, "total": len(found)}


def _is(run: Run, workflow: str, root: Path, state: str | None) -> bool:
    with suppress(UnavailableError):
        asked = workflow in ("", run.spec.workflow.name) or keeping.belongs(run, root / workflow)
        return asked and state in (None, run.state)
    return False


async def start(ask: Ask, body: Start, wait: Wait = 0) -> Reply:
    """Run a workflow. With an `Idempotency-Key` the same request starts it once, however often it is sent.

    201: it was started; 200: it was there already, or ended within `wait` seconds; 202: it still runs after them. The
    answer has the outputs and the files of its jobs so far; that of a dry run has the jobs.
    """
    if body.dry_run:
        return Reply(await in_thread(_plan, ask, body), status=200)
    run, made = await in_thread(_begin, ask, body)
    if wait:
        async with Follower.of(run) as follower:
            await follower.past_soon(10**9, wait)
    status = (200 if run.refresh().ended else 202) if wait else 201 if made else 200
    return Reply(await in_thread(_told, ask, run), status=status, at=run.id)


async def start_named(ask: Ask, name: str, wait: Wait = 0) -> Reply:
    """Run a workflow by its name in the path, as the article does by GET; once for each `Idempotency-Key`."""
    return await start(ask, Start(workflow=name), wait)


def get(run: str) -> Any:
    """Get a run with the state of each job."""
    return run_of(run).status()


def remove(run: str) -> None:
    """Remove an ended run with its logs; executed notebooks beside the workflow stay."""
    keeping.remove(run_of(run))


def steer(run: str, verb: Literal["cancel", "pause", "resume", "retry"], body: Chosen = None) -> Any:
    """Cancel, pause, resume or retry a run; cancel and retry take `jobs`, without which all are meant.

    Cancel ends whole process trees, pause starts no further job, resume is harmless at any time, retry runs again
    what failed or was cancelled, and what ended because of it.
    """
    jobs = (body or {}).get("jobs", [])
    if jobs and verb in ("pause", "resume"):
        raise Refusal(422, f"{verb} is for the whole run", "leave 'jobs' out")
    return getattr(run_of(run), verb)(*jobs).summary()


def add_job(run: str, body: NewJob) -> Reply:
    """Add a job to a run as it goes on, after and before others."""
    found = run_of(run).add_job(body.name, body.after, body.before, **(body.model_extra or {}))
    return Reply(found.summary(), at=body.name)


def job(run: str, job: str) -> Any:
    """Get the state of a job."""
    return run_of(run).status(job)


def steer_job(run: str, job: str, verb: Literal["cancel", "retry"], body: Nothing = None) -> Any:
    """Cancel a job with its whole process tree, or run it again and what ended because of it."""
    return getattr(run_of(run), verb)(job).status(job)


async def log(run: str, job: str, attempt: int = 0, start: Byte = 0, limit: Bytes = MIB, follow: bool = False) -> Reply:
    """Get up to `limit` bytes of a job's log from byte `start` (negative: from the end, a tail).

    With `follow` all that is there from `start` and all that comes, until the job has ended, also by later attempts.
    """
    read = await in_thread(lambda: run_of(run).log_reader(job, attempt or None), pool=READER)
    if not follow:
        found = await in_thread(read, start, limit)  # it may wait for another machine
        return Reply(found.decode(errors="replace"), media="text/plain; charset=utf-8")
    end = await in_thread(partial(bisect_left, range(1 << 44), True, key=lambda n: not read(n, 1))) if start < 0 else 0
    return Reply(_followed(run, job, attempt, max(0, end + start)), media="text/plain; charset=utf-8", headers=STREAM)


def outputs(run: str, job: str) -> Any:
    """Get the outputs of a job."""
    return run_of(run).outputs(job)


def explanation(run: str, job: str) -> Any:
    """Say why a job is in its state, with the proof."""
    return {"explanation": run_of(run).explain(job)}


def notebook(run: str, job: str) -> Reply:
    """Download the executed notebook of a job."""
    path = Path(hosts.results(run_of(run).spec), f"{shown_name(job)}.ipynb")
    if not path.is_file():
        raise NotFoundError(f"job '{job}' has no executed notebook", job)
    return Reply(path.read_bytes(), media="application/x-ipynb+json", headers=attachment(path.name))


def rows(ask: Ask, run: str, job: str, format: Literal["json", "csv"] | None = None) -> Any:
    """Get the members of a loop as a table: JSON, or CSV by `Accept` or `?format=csv`."""
    found, csv = results.rows(run_of(run), job), ask.wants("text/csv", format)
    return Reply(results.as_csv(found), media="text/csv", headers=attachment(f"{job}.csv")) if csv else found


def graph(run: str, ending: Literal["svg", "json"], members: bool = False, open: str = "", seq: Past = None) -> Any:
    """Draw a run with the state of each job, or get its graph and params as JSON, with all members of groups.

    `members` draws the members of all groups, `open` those of the groups that it names, one a line. With `seq` the
    drawing is as it was after that event.
    """
    found = run_of(run)
    view = found.refresh() if seq is None else state.RunState(found.spec.workflow, found.spec.created)
    for event in () if seq is None else takewhile(lambda event: event.seq <= seq, found.events()):
        view.feed(event)
    flow = view.flow
    if ending == "svg":
        return Reply(picture.svg(flow.drawn(members or open.split("\n")), view), media="image/svg+xml")
    nodes, rows = [], table.rows(found, members=True)
    for row in [row for row in rows if row.name in flow.jobs]:  # others joined after `seq`
        own = flow.jobs[row.name]
        more = {"group": flow.group.get(row.name), "loop": bool(own.foreach or own.repeat)}
        nodes.append(asdict(row) | more | {"members": len(flow.members.get(row.name, ()))})
    edges = [(parent, name) for name, parents in flow.parents.items() for parent in parents]
    return {"nodes": nodes, "edges": edges, "params": found.spec.workflow.params}


def files(ask: Ask, run: str, job: str) -> Any:
    """List the files that a job leaves, as far as they are here: declared results, its log, its executed notebook.

    `path` is that below the server's root, by which Jupyter opens or downloads it; null if it lies elsewhere.
    """
    found = run_of(run)
    found.outputs(job)  # it is there
    beside, own = hosts.results(found.spec), found.refresh().flow.jobs[job]
    paths = [Path(beside, f"{shown_name(job)}.{kind}") for kind in ("log", "ipynb")]
    for top in (beside, found.spec.folder):
        paths += [Path(top, name) for pattern in own.files.out for name in launching.glob(top)("", pattern)]
    below = {path: str(path.relative_to(ask.root)) if path.is_relative_to(ask.root) else None for path in paths}
    told = [{"name": path.name, "bytes": path.stat().st_size, "path": below[path]} for path in below if path.is_file()]
    return {"files": told}


def report(run: str) -> Reply:
    """Download a run as one HTML page that needs nothing else."""
    with tempfile.TemporaryDirectory() as folder:
        page = run_of(run).report(Path(folder, "report.html")).read_bytes()
    return Reply(page, media="text/html; charset=utf-8", headers=attachment(f"{run}.html"))


def pack(run: str) -> Reply:
    """Download a run as a zip: its workflow, its events, report, newest logs, executed notebooks and results."""
    paths = keeping.files_of(run_of(run))
    if sum(path.stat().st_size for path in paths.values()) > archive.MAX_BYTES:
        raise Refusal(413, f"the run's files have more than {archive.MAX_BYTES:,} bytes", "get them one by one")
    content = {name: path.read_bytes() for name, path in paths.items()} | {"report.html": report(run).body}
    return Reply(archive.packed(content), media="application/zip", headers=attachment(f"{run}.zip"))


async def events(ask: Ask, run: str, after: Count = 0, wait: Wait | None = None) -> Reply:
    """Get what happened: Server-Sent Events until the end of the run, or with `?wait=` (`&after=SEQ`) as JSON.

    A stream goes on after `Last-Event-ID`; 204 says that the run has ended and nothing is left to tell.
    """
    found, last = await in_thread(run_of, run), ask.headers.get("Last-Event-ID", "")
    seen = int(last) if last.isdecimal() and last.isascii() and len(last) < 20 else after
    async with Follower.of(found) as follower:
        if wait is not None:
            new = [json.loads(event.json) for event in await follower.past_soon(after, wait)]
            return Reply({"events": new, "seq": new[-1]["seq"] if new else after, "ended": follower.ended})
        if follower.ended and not follower.past(seen):
            return Reply(status=204)
    return Reply(stream(found, seen), media="text/event-stream", headers=STREAM)


def machines(ask: Ask) -> Any:
    """List the machines of unfinished and recent runs, and of hosts.yaml (without a run), with their last answers."""
    found, recent, none = runs.unfinished(runs.all_runs()), known(ask)["runs"], {"seen": "", "trouble": "", "told": ""}
    used = {(hosts.name_of(job), it.id) for it in found for job in it.refresh().flow.jobs.values() if not job.instant}
    used |= {(f"ssh:@{name}", "") for name in hosts.known.user_hosts(store.home())}
    told = {(host, it["run"]): at for it in [*map(Run.summary, found), *recent] for host, at in it["hosts"].items()}
    return {"hosts": [{"host": it[0], "run": it[1], **told.get(it, none)} for it in sorted(used | told.keys())]}


async def _followed(run: str, job: str, attempt: int, at: int) -> AsyncIterator[bytes]:
    """A log from a byte on, until its job has ended; of a host that cannot be reached, when it can."""
    clock, number = asyncio.get_running_loop().time, attempt
    while True:
        ended, newest, read = await in_thread(_log_now, run, job, number, pool=READER)
        number, begun = number or newest, clock()
        with suppress(UnavailableError):
            while data := await in_thread(read, at, MIB):
                at += len(data)
                yield data
                begun = clock()
            if ended if number == newest else attempt:
                return
            number, at = (number, at) if number == newest else (number + 1, 0)
        await asyncio.sleep(min(30, max(PERIOD, 10 * (clock() - begun))))  # longer where a look takes long


def _log_now(run: str, job: str, attempt: int) -> tuple[bool, int, Callable[[int, int], bytes]]:
    """Whether a job has ended, its newest attempt, and what reads the log of one."""
    found, view = run_of(run), run_of(run).refresh()
    ended = bool(view.ended) or view.jobs[job].state in state.FINAL
    return ended, view.jobs[job].attempt, found.log_reader(job, attempt or None)


def _told(ask: Ask, run: Run) -> dict[str, Any]:
    """What is answered to a start: the run, and what its jobs have left so far."""
    left = {job: files(ask, run.id, job)["files"] for job in run.refresh().jobs}
    return run.summary() | {"outputs": run.outputs(), "files": {job: them for job, them in left.items() if them}}


def _begin(ask: Ask, body: Start) -> tuple[Run, bool]:
    flow = Workflow(filename=path_of(body.workflow, ask.root))
    options = body.model_dump(exclude={"workflow", "params", "dry_run", "only"}) | {"only": body.only or None}
    key, fresh = ask.headers.get("Idempotency-Key"), store.new_id(flow.name)
    if key is not None:
        return _once(key, body.model_dump_json(), flow.name, lambda name: flow.run(body.params, run_id=name, **options))
    run = flow.run(body.params, run_id=fresh, **options)
    return run, run.id == fresh


def _plan(ask: Ask, body: Start) -> dict[str, Any]:
    flow = with_params(Workflow(filename=path_of(body.workflow, ask.root)).model(), body.params)
    return {"jobs": [row.name for row in table.written(select(flow, body.from_, body.only or None))]}


def _once(key: str, asked: str, name: str, begin: Callable[[str], Run]) -> tuple[Run, bool]:
    """The run of a key, and whether this call has made it. `begin` starts a run with the id that it is given.

    The id is on disk before the run is, so neither a kill nor another process makes a second one.
    """
    if len(key) > 255 or not key.isprintable():
        raise Refusal(400, "the Idempotency-Key is no word of at most 255 characters", "send a new UUID for each start")
    folder = store.home() / "keys"
    folder.mkdir(exist_ok=True, mode=0o700)
    hashed, digest = (hashlib.sha256(text.encode()).hexdigest() for text in (key, asked))
    path = folder / f"{hashed}.json"
    for old in [file for file in folder.glob("*.json") if file.stat().st_mtime < time.time() - 30 * 86400]:
        old.unlink(missing_ok=True)
    with open(folder / f"{hashed[:2]}.lock", "a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        kept = json.loads(path.read_text()) if path.exists() else {"run": store.new_id(name), "asked": digest}
        if kept["asked"] != digest:
            raise Refusal(422, "this Idempotency-Key was used for another request", "send a new one")
        run = Run(store.home() / "runs" / kept["run"])
        if (run.folder / "run.json").exists():
            if not run.refresh().seq:
                run.resume()  # we were killed between the two
            return run, False
        if kept.get("begun"):
            raise Refusal(409, f"the run {run.id} of this Idempotency-Key was removed", "send a new one")
        store.write_new(path, json.dumps(kept))
        run = begin(kept["run"])
        store.write_new(path, json.dumps(kept | {"run": run.id, "begun": True}))
        return run, run.id == kept["run"]
