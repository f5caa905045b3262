"""What is asked of one run of a workflow: values of params, a part of the graph, an order. Pure."""

from collections.abc import Callable, Mapping, Sequence, Set
from typing import Any

from cc_notebook import graph, references, yamltext
from cc_notebook.errors import InputError, nearest
from cc_notebook.model import Workflow

Outputs = dict[str, Any]  # of one job


def with_params(value: Workflow, given: Mapping[str, Any]) -> Workflow:
    """The workflow with params set. Raises InputError for an unknown name or another type."""
    params = dict(value.params)
    for key, new in given.items():
        nearest(key, params, "the workflow has no param")
        default = params[key]
        if type(default) is int and isinstance(new, float) and new.is_integer():
            new = int(new)  # to JSON Schema 3.0 is an integer
        wider = isinstance(default, float) and type(new) is int
        if default is not None and type(new) is not type(default) and not wider:
            raise InputError(f"param '{key}' is of type {type(default).__name__}, as {default!r} is; {new!r} is not")
        params[key] = new
    return value.model_copy(update={"params": params})


def typed(value: Workflow, texts: Mapping[str, str]) -> dict[str, Any]:
    """Params as a command line gives them: read as YAML, but for those that are texts. Raises SpecError."""
    params = value.params
    return {key: it if isinstance(params.get(key), str) else yamltext.read(it, key).value for key, it in texts.items()}


def select(value: Workflow, from_: str | None, only: Sequence[str] | None) -> Workflow:
    """The part of a workflow that is to run. Raises InputError for a name that it does not have."""
    if from_ is not None and only is not None:
        raise InputError("give --from or --only (from_ or only), not both")
    for name in [*([from_] if from_ else []), *(only or ())]:
        nearest(name, value.jobs, "there is no job")
    chosen = graph.reach([from_], graph.relatives(value.jobs, value.edges)[1]) if from_ else set(value.jobs)
    chosen &= set(only) if only else chosen
    return value.model_copy(update=_part(value, chosen))


def with_done(
    part: Workflow, whole: Workflow, done: Callable[[str], Outputs | None]
) -> tuple[Workflow, dict[str, Outputs]]:
    """A part of a workflow with the jobs before it that were done already, and the outputs of these.

    Raises InputError if a job names an output of one that was not.
    """
    left = graph.reach(part.jobs, graph.relatives(whole.jobs, whole.edges)[0]) - part.jobs.keys()
    taken = {name: outputs for name in whole.jobs if name in left and (outputs := done(name)) is not None}
    for job in part.jobs.values():
        if lacking := sorted(references.named(job) & left - taken.keys()):
            told = f"job '{job.name}' names an output of '{lacking[0]}', which is left out and no run has done"
            raise InputError(f"{told}: run the whole workflow once, or begin with --from {lacking[0]}")
    return part.model_copy(update=_part(whole, part.jobs.keys() | taken)), taken


def _part(value: Workflow, names: Set[str]) -> dict[str, Any]:
    jobs = {name: job for name, job in value.jobs.items() if name in names}
    return {"jobs": jobs, "edges": tuple(edge for edge in value.edges if names >= {*edge})}


def in_order(value: Workflow, order: Sequence[str]) -> Workflow:
    """The workflow to be run one job after the other. Raises InputError if an `order` is given and cannot be."""
    rank = {name: place for place, name in enumerate(order)}
    complete = not order or sorted(order) == sorted(value.jobs)
    if not complete or any(rank.get(a, 0) > rank.get(b, 0) for a, b in value.edges):
        raise InputError("the order must name every job once, each after the jobs that it depends on")
    return value.model_copy(update={"scheduler": "topological"})
