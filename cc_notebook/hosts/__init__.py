"""Machines that run jobs. `make` is the only place that knows which class serves which kind."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from cc_notebook.hosts.base import Attempt, Host
from cc_notebook.hosts.local import LocalHost
from cc_notebook.model import Job

if TYPE_CHECKING:
    from cc_notebook.runs import RunSpec

__all__ = ["Attempt", "Host", "make", "name_of"]


def name_of(job: Job) -> str:
    """The key of the host that runs a job: `local`, or `kind:host`."""
    return "local" if job.kind == "local" else f"{job.kind}:{job.host}"


def make(spec: RunSpec, folder: Path, name: str) -> Host:
    """The host of this name for one run."""
    limit = spec.max_parallel or spec.workflow.max_parallel or os.cpu_count() or 1
    env = {key: value for key, value in os.environ.items() if not key.startswith("CC_ATTEMPT")}
    results = Path(spec.folder) / f"{spec.workflow.name}-runs" / spec.run
    return LocalHost(folder, folder.parent.parent / "slots", limit, env, results)
