"""Machines that run jobs. `make` is the only place that knows which class serves which kind."""

import os
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from cc_notebook import model
from cc_notebook.errors import InputError
from cc_notebook.hosts.base import Host

if TYPE_CHECKING:
    from cc_notebook.hosts.transport import Command

KINDS = ("local", "ssh")  # the pairs of transport and queue that this version has


def name_of(job: model.Job) -> str:
    """The key of the host that runs a job: `local`, or kind, user and host."""
    return "local" if job.kind == "local" else f"{job.kind}:{job.user}@{job.host}"


def supported(flow: model.Workflow) -> None:
    """Raises InputError, before anything starts, for a job of a kind that this version cannot run."""
    for job in flow.jobs.values():
        if job.kind not in KINDS:
            raise InputError(
                f"job '{job.name}': kind {job.kind} is not part of this version; it has {', '.join(KINDS)}"
            )
    for sub in flow.subs.values():
        supported(sub)


def settings(spec: model.RunSpec, job: model.Job) -> model.Host:
    """What the workflow's `hosts:` says about a job's host; an ssh alias needs nothing there."""
    return spec.workflow.hosts.get(job.host, model.Host())


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
    return RemoteHost(line_to(spec, job), host.workdir, spec.run, most or host.max_parallel or 8, Path(results(spec)))


def line_to(spec: model.RunSpec, job: model.Job) -> "Command":
    """The line to a job's host."""
    return line(job.host, job.user, settings(spec, job))


def line(name: str, user: str, host: model.Host) -> "Command":
    """The line to a machine by its name and settings."""
    from cc_notebook.hosts.transport import openssh

    return openssh(host.address or name, user or host.user, host.port, host.ssh_config)


def read_log(spec: model.RunSpec, job: model.Job, folder: str, start: int, limit: int) -> bytes:
    """A part of the log of an attempt on another machine. Raises UnavailableError."""
    from cc_notebook.hosts import remote, travel

    path = f"{remote.run_dir(settings(spec, job).workdir, spec.run)}/{shlex.quote(folder)}/log"
    return travel.read(line_to(spec, job), path, start, limit)
