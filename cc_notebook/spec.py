"""From a workflow file's text to a valid `Workflow`, or to every problem of the file with its place and a hint.

It looks at no disk: what it must know of the place (which files exist, this machine's names) is handed in.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from itertools import pairwise
from typing import Any

from pydantic import TypeAdapter, ValidationError

from cc_notebook import graph, template, yamltext
from cc_notebook.errors import InputError, SpecError
from cc_notebook.model import Host, Job, Workflow

SUFFIXES = (".sh", ".py")
LATER = ("foreach", "matrix", "exclude", "include", "when", "repeat", "workflow", "kernel", "kernel_gateway")
RUNTIME = ("created", "modified", "instance", "pid", "number", "parent", "label_format", "format")  # cloudmesh-cc saved
MARKERS = ("start", "end")
HERE = frozenset({"", "local", "localhost", "127.0.0.1", "::1"})
MAX_NAME = 200

_JOBS = TypeAdapter(dict[str, Job])
_HOSTS = TypeAdapter(dict[str, Host])
_JOB_WORDS = [*Job.model_fields, "command", "parameters"]
_KEYS = ("nodes", "dependencies", "params", "parameters", "hosts", "scheduler", "max_parallel", "name")
_BAD_NAME = re.compile(r"""[/\\'"`,\[\]{}<>|\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]|^[-.\s]|\s$|\.\.""")


@dataclass(frozen=True)
class Place:
    """What the spec may know of the place: which files exist (relative to the workflow), this machine's names."""

    exists: Callable[[str], bool]
    hostnames: frozenset[str] = HERE


def parse(text: str | bytes, file: str, name: str, place: Place, strict: bool = False) -> Workflow:
    """Read a workflow file. `strict` refuses unknown attributes. Raises SpecError with all problems at once."""
    document = yamltext.read(text, file)
    return check(document, name, place, strict)


def check(document: yamltext.Document, name: str, place: Place, strict: bool = False) -> Workflow:
    """Validate a parsed document; see `parse`."""
    body = _body(document)
    nodes = _nodes(document, body)
    jobs = _jobs(document, nodes, strict)
    sequences = list(_sequences(document, body.get("dependencies")))
    for job in jobs.values():
        sequences += [((parent, job.name), ("workflow", "nodes", job.name, "after")) for parent in job.after]
    known = set(nodes) | {name for name in MARKERS if any(name in sequence for sequence, _ in sequences)}
    jobs |= {name: Job(name=name) for name in MARKERS if name in known and name not in nodes}
    edges = _edges(document, sequences, known)
    jobs = {key: _script(document, job, place) for key, job in jobs.items()}
    params = body.get("params") or body.get("parameters") or {}
    _check_names(document, jobs, params)
    hosts = _models(document, _HOSTS, body.get("hosts") or {}, ("workflow", "hosts"))
    for job in jobs.values():
        _check_host(document, job, place)
    if document.problems:
        raise SpecError(document.problems)
    options = {key: body[key] for key in ("scheduler", "max_parallel") if key in body}
    fields = {"name": name, "params": params, "hosts": hosts, "jobs": jobs, "edges": edges}
    try:
        return Workflow.model_validate(fields | options)
    except ValidationError as error:
        _note_errors(document, error, ("workflow",))
        raise SpecError(document.problems) from None


def schema() -> dict[str, Any]:
    """The JSON Schema of a workflow file, generated from the model."""
    from pydantic.json_schema import models_json_schema

    _, made = models_json_schema([(Job, "validation"), (Host, "validation"), (Workflow, "validation")])
    job, host = {"$ref": "#/$defs/Job"}, {"$ref": "#/$defs/Host"}
    aliases = {"command": made["$defs"]["Job"]["properties"]["exec"], "parameters": {"type": "object"}}
    made["$defs"]["Job"]["properties"] |= aliases
    flow = made["$defs"].pop("Workflow")["properties"]
    properties = {
        "nodes": {"type": "object", "additionalProperties": {"anyOf": [job, {"type": "null"}]}},
        "dependencies": {"type": "array", "items": {"anyOf": [{"type": "string"}, {"type": "array"}]}},
        "hosts": {"type": "object", "additionalProperties": {"anyOf": [host, {"type": "null"}]}},
        "params": flow["params"],
        "scheduler": flow["scheduler"],
        "max_parallel": flow["max_parallel"],
    }
    workflow = {"type": "object", "required": ["nodes"], "properties": properties}
    head = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "cc-notebook workflow"}
    return head | {"type": "object", "required": ["workflow"], "properties": {"workflow": workflow}} | dict(made)


def bad_name(name: str) -> str:
    """Why `name` cannot be a job's name, or an empty text."""
    if not name:
        return "a name is empty"
    if len(name) > MAX_NAME:
        return f"the name '{name[:20]}…' has {len(name)} characters, the limit is {MAX_NAME}"
    if found := _BAD_NAME.search(name):
        return f"the name {name!r} has {found[0]!r} at column {found.start() + 1}, which a name cannot have there"
    return ""


def check_job(name: str, attributes: Mapping[str, Any]) -> None:
    """Validate one job that is being added by a program. Raises InputError with everything that is wrong."""
    document = yamltext.Document(f"job '{name}'", None, None)
    nodes = _nodes(document, {"nodes": {name: dict(attributes)}})
    if not document.problems:
        _jobs(document, nodes, strict=False)
    if document.problems:
        raise InputError("; ".join(f"{p.message} ({p.hint})" if p.hint else p.message for p in document.problems))


def expand(text: str) -> list[str]:
    """A dependency sequence `a, b[0-2], c` as names; blanks around the commas do not count."""
    result = []
    for part in re.findall(r"(?:[^,\[]|\[[^\]]*\]?)+|(?<=,)(?=,|$)|^(?=,)", text):
        if match := re.fullmatch(r"(.*)\[([\d,-]+)\](.*)", part.strip()):
            for piece in match[2].split(","):
                low, _, high = piece.partition("-")
                if low.isdigit() and (high or low).isdigit() and int(high or low) - int(low) < 100_000:
                    numbers = range(int(low), int(high or low) + 1)
                    result += [f"{match[1]}{number:0{len(low)}d}{match[3]}" for number in numbers]
        else:
            result.append(part.strip())
    return result


def _body(document: yamltext.Document) -> dict[str, Any]:
    top = document.value
    if top is None:
        document.problem((), "the file is empty", "begin with 'workflow:' and below it 'nodes:'")
    elif not isinstance(top, dict) or "workflow" not in top:
        hint = "put 'workflow:' in the first line and indent the rest below it"
        document.problem((), "there is no 'workflow:' at the top", hint)
    elif not isinstance(top["workflow"], dict):
        document.problem(("workflow",), "'workflow:' holds no mapping", "write 'nodes:' below it, indented")
    if document.problems:
        raise SpecError(document.problems)
    body: dict[str, Any] = top["workflow"]
    for key, value in body.items():
        _check_key(document, key, value, "nodes" in body)
    for key in ("params", "parameters", "hosts"):
        if not isinstance(body.get(key) or {}, dict):
            document.problem(("workflow", key), f"'{key}:' holds no mapping", "write 'name: value' lines below it")
            body = body | {key: {}}
    return body


def _check_key(document: yamltext.Document, key: str, value: Any, has_nodes: bool) -> None:
    if key in _KEYS:
        return
    slipped = key in MARKERS or (isinstance(value, dict) and any(word in _JOB_WORDS for word in value))
    if slipped and has_nodes:
        message = f"'{key}' stands beside 'nodes:', not inside it"
        document.problem(("workflow", key), message, "indent it (and what is below it) like the other jobs")
    elif near := get_close_matches(key, _KEYS, 1, 0.75):
        document.problem(("workflow", key), f"'{key}' is not known here", f"did you mean '{near[0]}'?")


def _nodes(document: yamltext.Document, body: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    nodes = body.get("nodes")
    if not isinstance(nodes, dict) or not nodes:
        document.problem(("workflow", "nodes"), "there are no jobs", "write them below 'nodes:', indented")
        raise SpecError(document.problems)
    result = {}
    for key, value in nodes.items():
        path = ("workflow", "nodes", key)
        if problem := bad_name(str(key)):
            document.problem(path, problem, "use letters, digits, '-', '_', '.' and single blanks")
        if value is not None and not isinstance(value, dict):
            message = f"job '{key}' is a {_kind(value)}, not a list of attributes"
            document.problem(path, message, "write 'script: …' or 'exec: …' below it, indented")
            value = None
        value = dict(value or {})
        if str(value.get("name", key)) != str(key):
            hint = f"write 'name: {key}' or leave the line out"
            document.problem((*path, "name"), f"the name '{value['name']}' differs from its key '{key}'", hint)
        result[str(key)] = value | {"name": str(key)}
    return result


def _jobs(document: yamltext.Document, nodes: Mapping[str, dict[str, Any]], strict: bool) -> dict[str, Job]:
    for key, value in nodes.items():
        for word in value:
            if word not in _JOB_WORDS and word not in RUNTIME:
                _check_word(document, key, word, strict)
    return dict(_models(document, _JOBS, nodes, ("workflow", "nodes")))


def _check_word(document: yamltext.Document, job: str, word: str, strict: bool) -> None:
    path = ("workflow", "nodes", job, word)
    if word in LATER:
        document.problem(path, f"'{word}' is not part of this version", "remove it, or use a later version")
    elif near := get_close_matches(word, _JOB_WORDS, 1, 0.75):
        document.problem(path, f"job '{job}' has the unknown attribute '{word}'", f"did you mean '{near[0]}'?")
    elif strict:
        document.problem(path, f"job '{job}' has the unknown attribute '{word}'", "validate --strict allows none")


def _models(document: yamltext.Document, adapter: TypeAdapter[Any], value: Any, path: tuple[str, ...]) -> Any:
    try:
        return adapter.validate_python({key: item or {} for key, item in value.items()})
    except ValidationError as error:
        _note_errors(document, error, path)
        bad = {entry["loc"][0] for entry in error.errors()}
        return adapter.validate_python({key: item or {} for key, item in value.items() if key not in bad})


def _note_errors(document: yamltext.Document, error: ValidationError, path: tuple[str, ...]) -> None:
    seen = set()
    for entry in error.errors(include_url=False):
        steps = [step for step in entry["loc"] if not str(step).startswith(("function-", "constrained-", "tagged-"))]
        where = document.at((*path, *steps))
        if where in seen:  # the other branches of one union
            continue
        seen.add(where)
        label = ".".join(str(step) for step in steps[:3] if step not in ("str", "int", "float", "bool"))
        message = entry["msg"].removeprefix("Value error, ")
        document.problem((*path, *steps), f"{label}: {message[:1].lower()}{message[1:]}", _got(entry.get("input")))


def _got(value: Any) -> str:
    text = repr(value)
    return f"found {_kind(value)} {text if len(text) < 60 else text[:57] + '…'}"


def _kind(value: Any) -> str:
    names = {dict: "mapping", list: "list", str: "text", bool: "truth value", int: "number", float: "number"}
    return names.get(type(value), "value")


Sequenced = tuple[tuple[str, ...], tuple[object, ...]]


def _sequences(document: yamltext.Document, value: Any) -> Iterable[Sequenced]:
    path = ("workflow", "dependencies")
    if value is None:
        return
    if isinstance(value, str):
        value = [value]
    if isinstance(value, dict):  # as cloudmesh-cc itself saved them
        for key, edge in value.items():
            if isinstance(edge, dict) and edge.get("source") and edge.get("destination"):
                yield (str(edge["source"]), str(edge["destination"])), (*path, key)
            else:
                document.problem((*path, key), f"dependency '{key}' lacks source and destination", "write '- a, b'")
        return
    for index, item in enumerate(value if isinstance(value, list) else [value]):
        if isinstance(item, (dict, type(None))) or not isinstance(value, list):
            document.problem((*path, index), "a dependency is a sequence of names", "write '- first, second, third'")
            continue
        parts = [str(part).strip() for part in item] if isinstance(item, list) else expand(str(item))
        if "" in parts:
            document.problem((*path, index), "a name is missing between two commas", "remove the extra comma")
        yield tuple(part for part in parts if part), (*path, index)


def _edges(document: yamltext.Document, sequences: Iterable[Sequenced], known: set[str]) -> tuple[graph.Edge, ...]:
    edges: dict[graph.Edge, tuple[object, ...]] = {}
    for names, path in sequences:
        for name in dict.fromkeys(names):
            if name not in known:
                near = get_close_matches(name, known, 1)
                hint = f"did you mean '{near[0]}'?" if near else "declare it below 'nodes:'"
                document.problem(path, f"the dependency names an unknown job '{name}'", hint)
        for edge in pairwise(names):
            if set(edge) <= known:
                edges.setdefault(edge, path)
    if loop := graph.cycle(sorted(known), list(edges)):
        path = edges.get((loop[0], loop[1]), ())
        document.problem(path, f"the dependencies form a cycle: {' → '.join(loop)}", "remove one of them")
    return tuple(edges)


def _script(document: yamltext.Document, job: Job, place: Place) -> Job:
    """Find the script of a job that names none, and refuse one that is not there or that cannot be executed."""
    path = ("workflow", "nodes", job.name)
    if job.exec is not None:
        return job
    if job.script is None:
        found = next(
            (job.name + end for end in ("", *SUFFIXES) if place.exists(job.name + end) and job.name + end), None
        )
        if found and found.endswith(SUFFIXES):
            return job.model_copy(update={"script": found})
        if job.name not in MARKERS:
            hint = f"add 'script:' or 'exec:', or put {job.name}.sh beside the workflow file"
            document.problem(path, f"job '{job.name}' has nothing to run", hint)
    elif job.script.endswith(".ipynb"):
        document.problem((*path, "script"), "notebooks are not part of this version", "use a .sh or .py script")
    elif not job.script.endswith(SUFFIXES):
        document.problem((*path, "script"), f"'{job.script}' is no .sh or .py file", "or run it with 'exec:'")
    elif not place.exists(job.script):
        hint = "put it beside the workflow file or correct the name"
        document.problem((*path, "script"), f"job '{job.name}': the script '{job.script}' does not exist", hint)
    return job


def _check_host(document: yamltext.Document, job: Job, place: Place) -> None:
    path = ("workflow", "nodes", job.name)
    foreign = job.host not in HERE and job.host not in place.hostnames
    if job.kind == "local" and foreign:
        message = f"job '{job.name}' is local but names the host '{job.host}'"
        document.problem((*path, "host"), message, "write 'kind: ssh' to run it there, or remove the host")
    if job.host.startswith("-"):
        document.problem((*path, "host"), f"'{job.host}' is no host name", "a host name does not begin with '-'")


def _check_names(document: yamltext.Document, jobs: Mapping[str, Job], params: Mapping[str, Any]) -> None:
    """Every `{name}` in args and env must be an attribute, a param or an output of an earlier job."""
    for job in jobs.values():
        known = {*Job.model_fields, *(job.model_extra or {}), *params, *job.params, *jobs, "params"}
        texts = [("args", index, text) for index, text in enumerate(job.args)]
        for word, key, text in [*texts, *(("env", key, text) for key, text in job.env.items())]:
            for name in template.names(text):
                if name not in known and not any(name.startswith(f"{prefix}.") for prefix in known):
                    near = get_close_matches(name, [str(k) for k in known], 1)
                    hint = f"did you mean '{{{near[0]}}}'?" if near else "write {{ and }} for braces"
                    where = ("workflow", "nodes", job.name, word, key)
                    document.problem(where, f"job '{job.name}': {{{name}}} is not known", hint)
