"""A run taken up again from its hosts, where this computer knows nothing of it: the store was lost, or is elsewhere."""

import sys
from dataclasses import replace

from cc_notebook import hosts, model, runs, store
from cc_notebook.errors import InputError, UnavailableError
from cc_notebook.hosts.mirror import gather
from cc_notebook.journal import decode, encode
from cc_notebook.state import ALIVE, Event, RunState

GONE = "it ran where the run was begun, and nothing is known of it here: retry it"


def attach(flow: model.Workflow, path: str, folder: str, run: str) -> runs.Run:
    """Rebuild the run in this store from the hosts of the workflow, and go on with it. Raises InputError."""
    if (store.home() / "runs" / run / "run.json").exists():
        return runs.find(run).resume()
    flow = hosts.supported(flow)
    told, journal = _found(model.RunSpec(run=run, workflow=flow, path=path, folder=folder, source=""))
    spec = model.RunSpec.model_validate_json(told)
    own = {"path": path, "folder": folder, "machine": store.machine_id(), "python": sys.executable}
    flow = spec.workflow.model_copy(update={"hosts": {**spec.workflow.hosts, **flow.hosts}})
    made = runs.create(spec.model_copy(update={**own, "workflow": flow}))
    store.write_new(made.folder / "events.jsonl", _closed(flow, journal.decode()))
    return made.resume()


def _found(spec: model.RunSpec) -> tuple[str, bytes]:
    """The run's spec and journal, from the host that was told most of it."""
    best, troubles = ("", b""), []
    for name, job in {hosts.name_of(job): job for job in spec.workflow.jobs.values() if job.kind != "local"}.items():
        try:
            line = hosts.way(spec, job, None)
            workdir = hosts.settings(spec.workflow, job).workdir
            best = max(best, gather(line, workdir, spec.run), key=lambda told: len(told[1]))
        except UnavailableError as error:
            troubles.append(f"{name} cannot be reached: {error}")
    if not best[0]:
        raise InputError("; ".join([f"no host of the workflow knows a run '{spec.run}'", *troubles]))
    return best


def _closed(flow: model.Workflow, journal: str) -> str:
    """The journal; attempts of the local kind, of which nothing can be known here, have failed in it."""
    state = RunState(flow)
    for line in journal.splitlines():
        state.feed(decode(line.encode()))
    for name, status in list(state.jobs.items()):
        if status.state in ALIVE and not state.flow.members.get(name) and state.flow.jobs[name].kind == "local":
            event = Event("fail", job=name, attempt=status.attempt, ending="lost", reason=GONE)
            event = replace(event, seq=state.seq + 1, at=store.now())
            state.feed(event)
            journal += encode(event).decode()
    return journal
