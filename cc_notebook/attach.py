"""A run taken up again from its hosts, where this computer knows nothing of it: the store was lost, or is elsewhere."""

import sys
from dataclasses import replace
from pathlib import Path

from cc_notebook import hosts, model, runs, store
from cc_notebook.errors import InputError, UnavailableError
from cc_notebook.hosts.gate import Gate
from cc_notebook.hosts.mirror import gather
from cc_notebook.journal import decode, encode
from cc_notebook.state import Event, RunState

GONE = "it ran on {}, where jupyter cc show {} may know how it goes on; nothing is known of it here: retry it"


def attach(flow: model.Workflow, path: str, folder: str, run: str) -> runs.Run:
    """Rebuild the run in this store from the hosts of the workflow, and go on with it. Raises InputError."""
    if (store.home() / "runs" / run / "run.json").exists():
        return runs.find(run).resume()
    flow, ways = hosts.supported(flow), dict[str, Gate]()
    state = RunState(flow)
    try:
        told, journal = _found(model.RunSpec(run=run, workflow=flow, path=path, folder=folder, source=""), ways)
        spec = model.RunSpec.model_validate_json(told)
        here = spec.machine == store.machine_id()
        if here and Path(spec.store, "runs", run, "run.json").exists():
            raise InputError(f"its store is on this computer: CC_HOME={spec.store} jupyter cc resume {run}")
        own = {"path": path, "folder": folder, "machine": store.machine_id(), "python": sys.executable}
        flow = spec.workflow.model_copy(update={"hosts": {**spec.workflow.hosts, **flow.hosts}})
        state, gone = RunState(flow), "" if here else GONE.format(spec.machine.partition("@")[2], run)
        whole = _closed(state, journal.decode(), gone)
        made = runs.create(spec.model_copy(update={**own, "workflow": flow}))
        store.write_new(made.folder / "events.jsonl", whole)
    finally:
        for name, way in ways.items():
            if not state.hosts[name].opened:  # else its engine closes it
                way.leave()
    return made.resume()


def _found(spec: model.RunSpec, ways: dict[str, Gate]) -> tuple[str, bytes]:
    """The run's spec and journal, from the host that was told most of it."""
    best, troubles = ("", b""), []
    for name, job in {hosts.name_of(job): job for job in spec.workflow.jobs.values() if job.kind != "local"}.items():
        ways[name] = hosts.way(spec, job, None)
        try:
            workdir = hosts.settings(spec.workflow, job).workdir
            best = max(best, gather(ways[name], workdir, spec.run), key=lambda told: len(told[1]))
        except UnavailableError as error:
            troubles.append(f"{name} cannot be reached: {error}")
    if not best[0]:
        raise InputError("; ".join([f"no host of the workflow knows a run '{spec.run}'", *troubles]))
    return best


def _closed(state: RunState, journal: str, gone: str) -> str:
    """The journal, for attempts of the local kind too: they have failed if all is `gone`, else perhaps they run."""
    for line in journal.splitlines():
        state.feed(decode(line.encode()))
    for name, status in list(state.jobs.items()):
        own = state.flow.jobs[name].kind == "local" and not state.flow.members.get(name)
        if own and (status.state == "submitted" or (gone and status.state == "running")):
            what = Event("fail", ending="lost", reason=gone) if gone else Event("start")
            event = replace(what, job=name, attempt=status.attempt, seq=state.seq + 1, at=store.now())
            state.feed(event)
            journal += encode(event).decode()
    return journal
