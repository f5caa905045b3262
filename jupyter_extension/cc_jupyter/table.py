"""The table of the service: every route. The server's handlers and OpenAPI are both made from it."""

import inspect
from collections.abc import Sequence
from http.client import responses
from itertools import groupby
from typing import Any, Literal

import yaml
from pydantic import TypeAdapter

from cc_jupyter import flows, models, running
from cc_jupyter.handler import API, handler
from cc_jupyter.route import JSON, YAML, Ask, Reply, Route
from cc_notebook import __version__, spec
from cc_notebook.errors import Problem
from cc_notebook.hosts.base import job_folder
from cc_notebook.state import Event, JobStatus

SVG, PNG, ZIP, CSV = "image/svg+xml", "image/png", "application/zip", "text/csv"
TEXT, HTML, IPYNB, EVENTS = "text/plain", "text/html", "application/x-ipynb+json", "text/event-stream"

Any_ = dict[str, Any]
KNOWN: Any_ = {"name": str, "path": str | None}
WRITTEN = KNOWN | {"workflow": Any_}
GRAPH = {"nodes": list[Any_], "edges": list[list[str]]}
ORDER = {"dependencies": list[str]}
TOLD = {"events": list[Event], "seq": int, "ended": bool}
ERROR = dict.fromkeys(("code", "place", "message", "hint"), str)
HEADERS = ("If-Match", "Idempotency-Key", "Last-Event-ID")  # a route that reads one says so in its description
LOGIN = {"type": "apiKey", "in": "header", "name": "Authorization"}
_REF = "#/components/schemas/{model}"
SUMMARY = dict.fromkeys(("run", "workflow", "reason", "note"), str) | {"state": models.RunState, "seq": int}
SUMMARY |= {"progress": float, "counts": dict[str, int], "hosts": dict[str, dict[str, str]]}
FILES = list[dict[str, str | int | None]]
STARTED = SUMMARY | {"outputs": dict[str, Any_], "files": dict[str, FILES]}


def version() -> Any:
    """Tell which cc-notebook answers."""
    return {"version": __version__}


def described(ask: Ask, ending: Literal["json", "yaml"]) -> Reply:
    """Describe this service as OpenAPI 3.1, with the params of each known workflow."""
    found = document(flows.params(ask.root))
    return Reply(found) if ending == "json" else Reply(yaml.safe_dump(found, sort_keys=False), media=YAML)


FLOW, RUN = "workflows/{name}", "runs/{run}"
JOB = f"{RUN}/jobs/{{job}}"

ROUTES = (
    Route("GET", "version", version, ({"version": str},)),
    Route("GET", "openapi.{ending}", described, (Any_, YAML)),
    Route("GET", "schema", spec.schema, (Any_,)),
    Route("GET", "hosts", running.machines, ({"hosts": list[dict[str, str]]},)),
    Route("GET", "workflows", flows.known, ({"workflows": [KNOWN]},)),
    Route("POST", "workflows", flows.create, (KNOWN,), 201, takes=(YAML, *flows.ARCHIVES)),
    Route("GET", FLOW, flows.get, (WRITTEN, YAML)),
    Route("PUT", FLOW, flows.replace, (WRITTEN,), takes=(YAML,)),
    Route("DELETE", FLOW, flows.delete, status=204, wrong=409),
    Route("GET", f"{FLOW}/archive", flows.pack, (ZIP,)),
    Route("POST", f"{FLOW}/validation", flows.validate, ({"valid": bool, "problems": list[Problem]},), takes=("*/*",)),
    Route("GET", f"{FLOW}/graph.{{ending}}", flows.graph, (GRAPH, SVG, PNG)),
    Route("GET", f"{FLOW}/dependencies", flows.dependencies, (ORDER,)),
    Route("POST", f"{FLOW}/dependencies", flows.add_dependency, (ORDER,)),
    Route("DELETE", f"{FLOW}/dependencies/{{source}}/{{destination}}", flows.remove_dependency, status=204, wrong=404),
    Route("GET", f"{FLOW}/scripts", flows.scripts, ({"scripts": list[str]},)),
    Route("GET", f"{FLOW}/jobs", flows.jobs, ({"jobs": Any_},)),
    Route("POST", f"{FLOW}/jobs", flows.add_job, (Any_,), 201),
    Route("GET", f"{FLOW}/jobs/{{job}}", flows.job, (Any_,)),
    Route("PUT", f"{FLOW}/jobs/{{job}}", flows.put_job, (Any_,)),
    Route("DELETE", f"{FLOW}/jobs/{{job}}", flows.delete_job, status=204),
    Route("GET", "runs", running.known, ({"runs": [SUMMARY], "total": int},)),
    Route("POST", "runs", running.start, ((STARTED, {"jobs": list[str]}),), 201, also=(200, 202), runs=True),
    Route("POST", "workflow/run/{name}", running.start_named, (STARTED,), 201, also=(200, 202), runs=True),
    Route("GET", RUN, running.get, (SUMMARY | {"jobs": dict[str, JobStatus]},)),
    Route("DELETE", RUN, running.remove, status=204, wrong=409),
    Route("POST", f"{RUN}/{{verb}}", running.steer, (SUMMARY,), wrong=409, runs=True),
    Route("GET", f"{RUN}/events", running.events, (TOLD, EVENTS), also=(204,)),
    Route("GET", f"{RUN}/graph.{{ending}}", running.graph, (GRAPH, SVG)),
    Route("GET", f"{RUN}/report", running.report, (HTML,)),
    Route("GET", f"{RUN}/archive", running.pack, (ZIP,)),
    Route("GET", f"{RUN}/results/{{job}}", running.rows, (list[Any_], CSV)),
    Route("POST", f"{RUN}/jobs", running.add_job, (SUMMARY,), 201, wrong=409, runs=True),
    Route("GET", JOB, running.job, (JobStatus,)),
    Route("POST", f"{JOB}/{{verb}}", running.steer_job, (JobStatus,), wrong=409, runs=True),
    Route("GET", f"{JOB}/log", running.log, (TEXT,)),
    Route("GET", f"{JOB}/outputs", running.outputs, (Any_,)),
    Route("GET", f"{JOB}/explanation", running.explanation, ({"explanation": str},)),
    Route("GET", f"{JOB}/notebook", running.notebook, (IPYNB,)),
    Route("GET", f"{JOB}/files", running.files, ({"files": FILES},)),
)


def handlers() -> list[tuple[str, Any]]:
    """The patterns of the URLs with their handlers; what is below the API and no route is answered in JSON too."""
    paths = groupby(sorted(ROUTES, key=lambda route: route.path), key=lambda route: route.pattern)
    found = [(f"/{API}/{pattern}", handler(list(own))) for pattern, own in paths]
    return [*found, (f"/{API}(?:/.*)?", handler(()))]


def document(known: dict[tuple[str, ...], Any_]) -> dict[str, Any]:
    """OpenAPI 3.1 from the table, the models and the workflows' params: nothing in it is written a second time."""
    schemas: dict[str, Any] = {}
    paths: dict[str, Any] = {}
    for route in ROUTES:
        paths.setdefault(f"/{route.path}", {})[route.method.lower()] = _operation(route, schemas)
    taken = paths["/runs"]["post"]["requestBody"]["content"][JSON]
    schemas |= (typed := {job_folder(own[0]): _start_of(own, it, taken["schema"]) for own, it in known.items()})
    other = {"not": {"properties": {"workflow": {"enum": [word for own in known for word in own]}}}} if known else {}
    taken["schema"] = {"anyOf": [*({"$ref": _REF.format(model=name)} for name in typed), taken["schema"] | other]}
    head = {"openapi": "3.1.0", "info": {"title": "cc-notebook", "version": __version__}, "servers": [{"url": "."}]}
    parts = {"schemas": schemas, "securitySchemes": {"token": LOGIN}}
    return head | {"security": [{"token": []}], "paths": paths, "components": parts}


def _start_of(words: Sequence[str], own: Any_, start: Any_) -> Any_:
    """The schema of what starts one workflow: each param has the type of its value, which is the default."""
    own = {key: TypeAdapter(Any if it is None else type(it)).json_schema() | {"default": it} for key, it in own.items()}
    own = {"workflow": {"enum": words}, "params": {"type": "object", "properties": own, "additionalProperties": False}}
    return {**start, "title": words[0], "properties": start["properties"] | own}


def _operation(route: Route, schemas: dict[str, Any]) -> dict[str, Any]:
    good, content = dict[str, Any](), dict[str, Any]()
    for given in route.gives:
        content |= {given: {}} if isinstance(given, str) else {JSON: {"schema": _schema(given, schemas)}}
    for status in (route.status, *route.also, *([304] if route.method == "GET" else [])):
        good[str(status)] = {"description": responses[status]} | ({} if status in (204, 304) else {"content": content})
    failed = {"description": "what is wrong", "content": {JSON: {"schema": _schema(ERROR, schemas)}}}
    text, module = inspect.cleandoc(route.work.__doc__ or ""), route.work.__module__.rpartition(".")[2]
    found: dict[str, Any] = {"summary": text.split("\n")[0], "description": text, "tags": [route.path.split("/")[0]]}
    found |= {"operationId": f"{route.method.lower()}_{module}_{route.work.__name__}"}
    model = route.arguments.model_json_schema(ref_template=_REF)
    own = model.get("properties", {}).items()
    asked = [({"name": it, "schema": schema}, it in route.names) for it, schema in own if it != "body"]
    known = [it | {"in": "path" if named else "query", "required": named} for it, named in asked]
    known += [{"name": it, "in": "header", "schema": {"type": "string"}} for it in HEADERS if f"`{it}`" in text]
    found |= {"parameters": known, "responses": good | {"default": failed}}
    body = route.known.get("body")
    taken: dict[str, Any] = {JSON: {"schema": _schema(body.annotation, schemas)}} if body else {}
    if taken := taken | {media: {} for media in route.takes}:
        found["requestBody"] = {"content": taken, "required": bool(body and body.default is body.empty)}
    return found


def _schema(given: Any, schemas: dict[str, Any]) -> dict[str, Any]:
    """A type's schema; the models in it go to the components."""
    if isinstance(given, dict):
        fields = {key: _schema(kind, schemas) for key, kind in given.items()}
        return {"type": "object", "properties": fields, "required": list(fields)}
    if isinstance(given, tuple):
        return {"anyOf": [_schema(kind, schemas) for kind in given]}
    if isinstance(given, list):
        return {"type": "array", "items": _schema(given[0], schemas)}
    found = TypeAdapter(given).json_schema(ref_template=_REF)
    schemas |= found.pop("$defs", {})
    return found
