"""Machines that run jobs. Here alone is known which class serves which kind."""

import os
import shlex
from collections.abc import Mapping
from pathlib import Path

from cc_notebook import model, store
from cc_notebook.errors import InputError
from cc_notebook.freshness import Reach
from cc_notebook.hosts.base import Host
from cc_notebook.hosts.gate import Gate
from cc_notebook.hosts.known import user_hosts
from cc_notebook.hosts.parts import part
from cc_notebook.hosts.transport import Transport, there

KINDS = ("local", "ssh", "wsl")  # the pairs of transport and queue that this version has


def name_of(job: model.Job) -> str:
    """The key of the host that runs a job: `local`, or kind, user and host."""
    return "local" if job.kind == "local" else f"{job.kind}:{job.user.replace('@', '%40')}@{job.host}"


def supported(flow: model.Workflow) -> model.Workflow:
    """The workflow with the user's own hosts. Raises InputError, before anything starts, for a job that cannot run."""
    from cc_notebook.hosts.slots import here, lacks

    flow = flow.model_copy(update={"hosts": {**user_hosts(store.home()), **flow.hosts}})
    for job in flow.jobs.values():
        if job.kind not in KINDS:
            raise InputError(
                f"job '{job.name}': kind {job.kind} is not part of this version; it has {', '.join(KINDS)}"
            )
        host = settings(flow, job)
        if job.kind != "local":
            line(job.host, job.user, host)
            part("queues", host.queue)
        if why := lacks(job.resources, here(host, job.resources) if job.kind == "local" else host):
            raise InputError(f"job '{job.name}' can never start: {why}")
    for sub in flow.subs.values():
        supported(sub.model_copy(update={"hosts": {**sub.hosts, **flow.hosts}}))
    return flow


def settings(flow: model.Workflow, job: model.Job) -> model.Host:
    """What the workflow's `hosts:` says about a job's host, `local` about this computer; an alias needs nothing."""
    host = flow.hosts.get("local" if job.kind == "local" else job.host, model.Host())
    return host.model_copy(update={"transport": "wsl"}) if job.kind == "wsl" else host


def results(spec: model.RunSpec) -> str:
    """The folder beside the workflow where logs and executed notebooks of a run can be opened."""
    return f"{spec.folder}/{spec.workflow.name}-runs/{spec.run}"


def make(spec: model.RunSpec, folder: Path, job: model.Job, address: str | None = None) -> Host:
    """The host of a job for one run. Only engines need the classes, so they are imported here; `address` as in way."""
    from cc_notebook.hosts.local import LocalHost
    from cc_notebook.hosts.mirror import Mirror
    from cc_notebook.hosts.remote import RemoteHost
    from cc_notebook.hosts.slots import Slots

    most, host = spec.max_parallel or spec.workflow.max_parallel, settings(spec.workflow, job)
    if job.kind == "local":
        env = {key: value for key, value in os.environ.items() if key not in ("CC_ATTEMPT", "CC_HOLD")}
        places = Slots(folder.parent.parent / "slots", most or host.max_parallel or os.cpu_count() or 1, host)
        return LocalHost(folder, places, env, Path(results(spec)), spec.python)
    gate, mirror = way(spec, job, address), Mirror(folder, name_of(job))
    remote = RemoteHost(gate, host, spec.run, most or host.max_parallel or 8, Path(results(spec)), mirror)
    gate.needed = remote.needed if address is None else gate.needed  # where it was open something may be there
    return remote


def way(spec: model.RunSpec, job: model.Job, address: str | None) -> Gate:
    """The line to a job's host, at the `address` that its `before` told; None: that has not been run."""
    host = settings(spec.workflow, job)

    def made(told: str) -> Transport:
        return line(job.host, job.user, host.model_copy(update={"address": told or host.address}))

    return Gate(host, spec.folder, made, address)


def line(name: str, user: str, host: model.Host) -> Transport:
    """The line to a machine by its name and settings. Raises NotFoundError for a transport that nobody has."""
    found: Transport = part("transports", host.transport).connect(name, user, host)
    return found


def read_log(
    spec: model.RunSpec, job: model.Job, folder: Path, known: Mapping[str, Reach], start: int, limit: int
) -> bytes:
    """A part of the log of an attempt on another machine. Raises UnavailableError."""
    from cc_notebook.hosts import travel

    path = f"{there(f'{settings(spec.workflow, job).workdir}/{spec.run}')}/{shlex.quote(str(folder))}/log"
    return travel.read(way(spec, job, known.get(name_of(job), Reach()).way or ""), path, start, limit)
