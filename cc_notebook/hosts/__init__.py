"""Machines that run jobs. Here alone is known which class serves which kind."""

import os
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from cc_notebook import model
from cc_notebook.errors import InputError
from cc_notebook.hosts.base import Host
from cc_notebook.hosts.parts import part

if TYPE_CHECKING:
    from cc_notebook.hosts.transport import Transport

KINDS = ("local", "ssh", "wsl")  # the pairs of transport and queue that this version has


def name_of(job: model.Job) -> str:
    """The key of the host that runs a job: `local`, or kind, user and host."""
    return "local" if job.kind == "local" else f"{job.kind}:{job.user}@{job.host}"


def supported(flow: model.Workflow) -> None:
    """Raises InputError, before anything starts, for a job of a kind, or on a host, that cannot be used here."""
    for job in flow.jobs.values():
        if job.kind not in KINDS:
            raise InputError(
                f"job '{job.name}': kind {job.kind} is not part of this version; it has {', '.join(KINDS)}"
            )
        if job.kind != "local":
            line(job.host, job.user, host := _settings(flow, job))
            part("queues", host.queue)
    for sub in flow.subs.values():
        supported(sub.model_copy(update={"hosts": flow.hosts}))


def settings(spec: model.RunSpec, job: model.Job) -> model.Host:
    """What the workflow's `hosts:` says about a job's host; an ssh alias needs nothing there."""
    return _settings(spec.workflow, job)


def _settings(flow: model.Workflow, job: model.Job) -> model.Host:
    host = flow.hosts.get(job.host, model.Host())
    return host.model_copy(update={"transport": "wsl"}) if job.kind == "wsl" else host


def results(spec: model.RunSpec) -> str:
    """The folder beside the workflow where logs and executed notebooks of a run can be opened."""
    return f"{spec.folder}/{spec.workflow.name}-runs/{spec.run}"


def make(spec: model.RunSpec, folder: Path, job: model.Job) -> Host:
    """The host of a job for one run. Only engines need the classes, so they are imported here."""
    from cc_notebook.hosts.local import LocalHost
    from cc_notebook.hosts.remote import RemoteHost

    most = spec.max_parallel or spec.workflow.max_parallel
    if job.kind == "local":
        env = {key: value for key, value in os.environ.items() if not key.startswith("CC_ATTEMPT")}
        slots, most = folder.parent.parent / "slots", most or os.cpu_count() or 1
        return LocalHost(folder, slots, most, env, Path(results(spec)), spec.python)
    host = settings(spec, job)
    most, queue = most or host.max_parallel or 8, part("queues", host.queue)
    return RemoteHost(line_to(spec, job), host.workdir, spec.run, most, Path(results(spec)), queue)


def line_to(spec: model.RunSpec, job: model.Job) -> "Transport":
    """The line to a job's host."""
    return line(job.host, job.user, settings(spec, job))


def line(name: str, user: str, host: model.Host) -> "Transport":
    """The line to a machine by its name and settings. Raises NotFoundError for a transport that nobody has."""
    found: Transport = part("transports", host.transport).connect(name, user, host)
    return found


def read_log(spec: model.RunSpec, job: model.Job, folder: str, start: int, limit: int) -> bytes:
    """A part of the log of an attempt on another machine. Raises UnavailableError."""
    from cc_notebook.hosts import travel
    from cc_notebook.hosts.transport import there

    path = f"{there(f'{settings(spec, job).workdir}/{spec.run}')}/{shlex.quote(folder)}/log"
    return travel.read(line_to(spec, job), path, start, limit)
