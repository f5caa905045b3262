"""Every name in braces and in conditions must stand for something: an attribute, a param, an output of a job before."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from cc_notebook import expressions, graph, template
from cc_notebook.errors import did_you_mean
from cc_notebook.model import Job
from cc_notebook.yamltext import Document

LISTS = ("args", "foreach", "env", "params")  # attributes with texts that are templates


def check(document: Document, jobs: Mapping[str, Job], edges: Sequence[graph.Edge], params: Mapping[str, Any]) -> None:
    """Note each name that stands for nothing, and each output of a job that may end later."""
    parents: dict[str, list[str]] = {}
    for job in jobs.values():
        loop = {*(job.foreach or ()), *(key for item in job.include for key in item)}
        loop |= {"iteration"} if job.repeat else set()
        known = {*Job.model_fields, *params, "params", *(job.model_extra or {}), *job.params, *loop}
        braces: list[tuple[tuple[object, ...], str, str]] = [
            (place, name, name) for place, text in _texts(job) for name in template.names(text)
        ]
        conditions: list[tuple[tuple[object, ...], str | None]] = [
            (("when",), job.when),
            (("repeat", "until"), job.repeat.until if job.repeat else None),
        ]
        for place, text in ((place, text) for place, text in conditions if text):
            if wrong := expressions.check(text, {*params, "params", "jobs", *loop, *jobs}):
                _note(document, job, place, f"{place[-1]} '{text}': {wrong}", "")
            braces += [(place, f"{name}.", text) for name in expressions.names(text) if name in jobs]
        for key, text in (job.foreach or {}).items():
            if isinstance(text, str) and not set(text) & {*"*?[{"}:
                message = f"foreach {key}: '{text}' is no list"
                _note(document, job, ("foreach", key), message, f"write '{{{text}}}', or a pattern such as '*.csv'")
        for place, name, text in braces:
            heads = template.heads(name)
            if name.startswith("params.") and name.split(".")[1] not in {*params, *job.params, *loop}:
                hint = did_you_mean(name.split(".")[1], params) or "declare it below 'params:'"
                _note(document, job, place, f"{{{name}}}: the workflow has no such param", hint)
                continue
            if name in known or any(head in known for head in heads):
                continue
            if not (other := next((head for head in heads if head in jobs), None)):
                hint = did_you_mean(name, known) or "write {{ and }} for braces"
                _note(document, job, place, f"{{{name}}} is not known", hint)
                continue
            parents = parents or graph.relatives(jobs, (edge for edge in edges if jobs.keys() >= {*edge}))[0]
            if other not in graph.reach(parents[job.name], parents) and not (other == job.name and job.repeat):
                told = f"{{{name}}}" if name == text else f"{place[-1]} '{text}'"
                message = f"{told} is an output of '{other}', which may end later"
                _note(document, job, place, message, f"add the dependency '{other}, {job.name}'")


def named(job: Job) -> set[str]:
    """What may be jobs of the names in a job's braces and conditions: all that stands before a dot."""
    conditions = [text for text in (job.when, job.repeat and job.repeat.until) if text]
    braces = [head for _, text in _texts(job) for name in template.names(text) for head in template.heads(name)]
    return {*braces}.union(*map(expressions.names, conditions))


def _texts(job: Job) -> Iterator[tuple[tuple[object, ...], object]]:
    """Each text that is a template, with its place below the job."""
    for word in LISTS:
        value = getattr(job, word) or {}
        pairs: Collection[tuple[object, Any]] = value.items() if isinstance(value, Mapping) else list(enumerate(value))
        for key, text in pairs:
            yield from (
                ((word, key), part) for part in (text if isinstance(text, list) and word == "foreach" else [text])
            )


def _note(document: Document, job: Job, place: Sequence[object], message: str, hint: str) -> None:
    document.problem(("workflow", "nodes", job.name, *place), f"job '{job.name}': {message}", hint)
