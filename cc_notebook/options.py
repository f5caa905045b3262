"""What is asked of one run of a workflow: values of params, a part of the graph, an order. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any

from cc_notebook import graph, yamltext
from cc_notebook.errors import InputError, SpecError, nearest
from cc_notebook.model import Workflow


def with_params(value: Workflow, given: Mapping[str, Any]) -> Workflow:
    """The workflow with params set; texts are read as YAML. Raises InputError for an unknown name or another type."""
    params = dict(value.params)
    for key, new in given.items():
        nearest(key, params, "the workflow has no param")
        default = params[key]
        if isinstance(new, str) and not isinstance(default, str):
            try:
                new = yamltext.read(new, f"param {key}").value
            except SpecError as error:
                raise InputError(str(error)) from None
        wider = isinstance(default, float) and type(new) is int
        if default is not None and type(new) is not type(default) and not wider:
            raise InputError(f"param '{key}' is a {type(default).__name__} such as {default!r}; {new!r} is not")
        params[key] = new
    return value.model_copy(update={"params": params})


def select(value: Workflow, from_: str | None, only: Sequence[str] | None) -> Workflow:
    """The part of a workflow that is to run. Raises InputError for a name that it does not have."""
    if from_ is not None and only is not None:
        raise InputError("give --from or --only (from_ or only), not both")
    for name in [*([from_] if from_ else []), *(only or ())]:
        nearest(name, value.jobs, "there is no job")
    chosen = graph.reach([from_], graph.relatives(value.jobs, value.edges)[1]) if from_ else set(value.jobs)
    chosen &= set(only) if only else chosen
    jobs = {name: job for name, job in value.jobs.items() if name in chosen}
    return value.model_copy(update={"jobs": jobs, "edges": tuple(e for e in value.edges if set(e) <= chosen)})


def in_order(value: Workflow, order: Sequence[str]) -> Workflow:
    """The workflow to be run one job after the other. Raises InputError if an `order` is given and cannot be."""
    rank = {name: place for place, name in enumerate(order)}
    complete = not order or sorted(order) == sorted(value.jobs)
    if not complete or any(rank.get(a, 0) > rank.get(b, 0) for a, b in value.edges):
        raise InputError("the order must name every job once, each after the jobs that it depends on")
    return value.model_copy(update={"scheduler": "topological"})
