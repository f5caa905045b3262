"""Jobs that join a run while it goes on: checked like a file, and refused where the past would change."""

from collections.abc import Mapping
from typing import Any

from cc_notebook import graph, spec, yamltext
from cc_notebook.errors import InputError
from cc_notebook.model import Job
from cc_notebook.state import RunState

MOST = 262_144  # bytes; what is longer has been cut


def added(
    run: RunState, text: str, file: str, place: spec.Place, again: bool
) -> tuple[dict[str, Any], tuple[graph.Edge, ...]]:
    """The new jobs as written and the new edges, from YAML with `nodes` and `dependencies` (with `workflow:` or not).

    Jobs that are there already, as they were, are passed over if `again`: a retry of the job that adds them.
    Raises InputError for what is wrong in it, a name that is there already, a cycle, or a job that has begun and would
    get something new before it.
    """
    if len(text.encode()) >= MOST:
        raise InputError(f"{file} has {MOST:,} bytes or more: add fewer jobs at once")
    document = yamltext.read(text, file)
    value = document.value if isinstance(document.value, dict) else {}
    body = value.get("workflow", value)
    given = body.get("nodes") if isinstance(body, dict) else None
    if not isinstance(given, Mapping):
        raise InputError(f"{file}: write 'nodes:' with the new jobs below it, and 'dependencies:'")
    written = [name for name in run.flow.jobs if name not in run.flow.group]
    known = {name: {"exec": ":"} for name in written}
    whole = {"nodes": {**known, **given}, "dependencies": body.get("dependencies"), "params": run.flow.workflow.params}
    checked = spec.check(yamltext.Document(file, {"workflow": whole}), "", place)
    for name in given:
        if name in run.jobs and not (again and _dump(checked.jobs[name]) == _dump(run.flow.jobs[name])):
            raise InputError(f"{file}: the run has a job '{name}' already")
    new = {name: job for name, job in checked.jobs.items() if name not in run.jobs}
    old = {(parent, name) for name in written for parent in run.flow.parents[name]}
    edges = [edge for edge in checked.edges if edge not in old]
    if odd := next((job for job in new.values() if job.workflow), None):
        raise InputError(f"{file}: job '{odd.name}' is a workflow, which cannot join a run: add its jobs")
    for _, child in edges:
        if child in run.jobs and (run.jobs[child].state != "ready" or run.jobs[child].tries):
            raise InputError(f"{file}: '{child}' is {run.jobs[child].state}: nothing new can come before it")
    if loop := graph.cycle([*written, *new], [*old, *edges]):
        raise InputError(f"{file}: the dependencies would form a cycle: {' → '.join(loop)}")
    return {name: _dump(job) for name, job in new.items()}, tuple(edges)


def _dump(job: Job) -> dict[str, Any]:
    return job.model_dump(mode="json", by_alias=True, exclude_defaults=True)
