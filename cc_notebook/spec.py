"""From a workflow file's text to a valid `Workflow`, or to every problem of the file with its place and a hint.

It looks at no disk: what it must know of the place (which files exist, this machine's names) is handed in.
"""

import posixpath
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from reprlib import repr
from typing import Any

from pydantic import ValidationError

from cc_notebook import graph, references, template, yamltext
from cc_notebook.errors import SpecError, did_you_mean
from cc_notebook.model import MARKERS, File, Flow, Host, Job, Repeat, Resources, Retry, Workflow

SUFFIXES = (".sh", ".py", ".ipynb")
OF_WORKFLOWS = {  # attributes that mean something on a node that is a workflow
    *("name", "workflow", "params", "foreach", "exclude", "include", "repeat", "when", "trigger", "after"),
    *("label", "shape", "style", "status", "progress"),
}
MAX_WORKFLOWS = 20  # within each other
RUNTIME = ("created", "modified", "instance", "pid", "number", "parent", "label_format", "format")  # cloudmesh-cc saved
HERE = frozenset({"", "local", "localhost", "127.0.0.1", "::1"})

_FLOW_WORDS = [*Flow.model_fields, "parameters", "name"]
_JOB_WORDS = [*Job.model_fields, "command", "parameters", "matrix"]
_PARTS = (Host, Resources, Retry, Repeat)
_ALL_WORDS = [*_JOB_WORDS, *(word for part in _PARTS for word in part.model_fields)]
_TOLD = {  # pydantic's errors in our words: what is wrong, what to do
    "dict_type": ("this is not a mapping", "write 'name: value' lines below it, indented"),
    "model_type": ("this is not a mapping", "write its attributes below it, indented"),
    "missing": ("this is missing", "write it below 'workflow:', indented"),
    "too_short": ("there are no jobs", "write them below 'nodes:', indented"),
    "extra_forbidden": ("this is not known here", "remove it"),
}
_WRITE = {  # what can be written in more than one way
    **dict.fromkeys(("timeout", "time", "delay", "cell_timeout"), "write seconds, 10m, 1h or hh:mm:ss"),
    "memory": "write bytes, 500M or 4G",
    "retry": "write how often, or {max: 2, on: [timeout], delay: 30s}",
    "repeat": "write how often, or {until: 'a.error < 1', max: 20}",
}
UNKNOWN_PAYLOAD = ((), ("script",), ("exec",), ("command",))  # where an error hides what a job runs


@dataclass(frozen=True)
class Place:
    """What the spec may know of the place: which files exist (relative to the workflow), this machine's names."""

    exists: Callable[[str], bool]
    hostnames: frozenset[str] = HERE
    read: Callable[[str], bytes] = lambda name: b""  # a file's bytes; raises InputError
    above: tuple[str, ...] = ()  # the workflow files that have brought us here, as seen from the first one's folder
    folder: str = ""  # from the first one's folder to this one's

    def below(self, path: str) -> "Place":
        """The place of a workflow that this one names."""
        folder = posixpath.dirname(path)
        exists, read, join = self.exists, self.read, posixpath.join
        above = (*self.above, posixpath.normpath(join(self.folder, path)))
        there, text = (lambda name: exists(join(folder, name))), (lambda name: read(join(folder, name)))
        return Place(there, self.hostnames, text, above, join(self.folder, folder))


def parse(text: str | bytes, file: str, name: str, place: Place, strict: bool = False) -> Workflow:
    """Read a workflow file. `strict` refuses unknown attributes. Raises SpecError with all problems at once."""
    return check(yamltext.read(text, file), name, place, strict)


def check(document: yamltext.Document, name: str, place: Place, strict: bool = False) -> Workflow:
    """Validate a parsed document; see `parse`."""
    flow, broken = _flow(document)
    named = {name for sequence in flow.dependencies for name in sequence}
    for key, job in flow.nodes.items():
        _check_job(document, key, job, place, strict)
    jobs = {key: job.model_copy(update={"name": key}) for key, job in flow.nodes.items()}
    first, last = ({name: Job(name=name)} if name in named - jobs.keys() else {} for name in MARKERS)
    jobs = first | jobs | last
    edges = _edges(document, flow, {*jobs, *broken})
    jobs = {n: job if n in broken else _with_script(document, job, place) for n, job in jobs.items()}
    references.check(document, jobs, edges, flow.params)
    subs = _subs(document, jobs, place, strict)
    for key, value in (flow.model_extra or {}).items():
        _check_word(document, key, value)
    if document.problems:
        raise SpecError(document.problems)
    hosts = {name: host for sub in subs.values() for name, host in sub.hosts.items()} | flow.hosts
    same = {key: getattr(flow, key) for key in ("params", "scheduler", "max_parallel")}
    return Workflow(name=name, jobs=jobs, edges=edges, subs=subs, hosts=hosts, **same)


def _subs(document: yamltext.Document, jobs: Mapping[str, Job], place: Place, strict: bool) -> dict[str, Workflow]:
    """The workflows that jobs stand for, by path; what is wrong in them is told with their own lines."""
    found: dict[str, Workflow] = {}
    for job in jobs.values():
        path = ("workflow", "nodes", job.name, "workflow")
        if not job.workflow or job.workflow in found:
            continue
        below = place.below(job.workflow)
        if not job.workflow.endswith((".yaml", ".yml")) or not place.exists(job.workflow):
            message = f"job '{job.name}': the workflow '{job.workflow}' does not exist"
            document.problem(path, message, "name a .yaml file")
        elif below.above[-1] in place.above or len(below.above) > MAX_WORKFLOWS:
            message = f"workflows contain each other: {' → '.join(below.above)}"
            document.problem(path, message, "use 'repeat:' for a loop")
        else:
            try:
                stem = posixpath.splitext(posixpath.basename(job.workflow))[0]
                sub = parse(place.read(job.workflow), job.workflow, stem, below, strict)
            except SpecError as error:
                document.problems += error.problems
                continue
            found[job.workflow] = sub
    for job in jobs.values():
        known = found[job.workflow].params if job.workflow in found else job.params
        for name in job.params.keys() - known.keys():
            hint = did_you_mean(name, known) or "it has none"
            place_of = ("workflow", "nodes", job.name, "params", name)
            document.problem(place_of, f"job '{job.name}': its workflow has no param '{name}'", hint)
    return found


def schema() -> dict[str, Any]:
    """The JSON Schema of a workflow file, generated from the model."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **File.model_json_schema()}


def check_job(name: str, attributes: Mapping[str, Any]) -> None:
    """Validate one job that a program adds. Raises SpecError with everything that is wrong."""
    document = yamltext.Document(f"job '{name}'", {"workflow": {"nodes": {name: dict(attributes)}}})
    for key, job in _flow(document)[0].nodes.items():
        _check_job(document, key, job, Place(lambda file: True), strict=False)
    if document.problems:
        raise SpecError(document.problems)


def _flow(document: yamltext.Document) -> tuple[Flow, set[str]]:
    """The part of the file that is well-formed, and the names of the jobs that are not (their problems are noted)."""
    value: Any = document.value
    if not isinstance(value, dict) or "workflow" not in value:
        empty = "the file is empty" if value is None else "there is no 'workflow:' at the top"
        document.problem((), empty, "begin with 'workflow:' and write 'nodes:' below it, indented")
        raise SpecError(document.problems)
    broken: set[str] = set()
    while True:
        try:
            return File.model_validate(value).workflow, broken
        except ValidationError as error:
            places = _note_errors(document, error)
        broken |= {
            str(path[2]) for path in places if path[1:2] == ("nodes",) and path[3:] in UNKNOWN_PAYLOAD and path[2:]
        }
        before = value
        for path in places:
            value = _without(value, path)
        if value == before or not (value.get("workflow") or {}).get("nodes"):
            raise SpecError(document.problems)


def _note_errors(document: yamltext.Document, error: ValidationError) -> list[tuple[Any, ...]]:
    """Note each error once, and say which parts of the file (at most four steps deep) hold one."""
    found: dict[tuple[int, int], tuple[Any, ...]] = {}
    for entry in error.errors(include_url=False):
        path = tuple(step for step in entry["loc"] if not str(step).startswith(("function-", "[key]", "constrained-")))
        where = document.at(path)
        if where in found and where != (0, 0):  # the other branches of one union
            continue
        found[where] = path
        words = [str(step) for step in path[2:5] if step not in ("str", "int", "float", "bool")]
        words = ["dependencies"] if path[1:2] == ("dependencies",) else words
        shown = f"found {repr(value := entry.get('input'))}"
        said = (
            entry["msg"].removeprefix("Value error, ").replace("Input should", "this should").partition(", unable")[0]
        )
        message, hint = _TOLD.get(entry["type"], (said, shown))
        if entry["type"] == "extra_forbidden":
            hint = did_you_mean(str(path[-1]), _ALL_WORDS, 0.75) or hint
        elif entry["type"] == "literal_error":
            hint = did_you_mean(str(value), entry["ctx"]["expected"].split("'")[1::2]) or shown
        elif path[-1] in _WRITE and entry["type"].endswith(("_parsing", "_type")):
            message, hint = f"{repr(value)} is not understood", _WRITE[path[-1]]
        document.problem(path, f"{'.'.join(words) or path[-1]}: {message}", hint)
    return [path[:4] for path in found.values()]


def _without(value: Any, path: tuple[Any, ...]) -> Any:
    """A copy of the file's value without the part at `path`; a bad dependency becomes the harmless `start`."""
    if isinstance(value, dict):
        head, rest = str(path[0]), path[1:]
        kept = {key: item for key, item in value.items() if rest or str(key) != head}
        return {key: _without(item, rest) if str(key) == head else item for key, item in kept.items()}
    if isinstance(value, list) and path:
        return ["start" if index == path[0] else item for index, item in enumerate(value)]
    return None


def _check_word(document: yamltext.Document, key: str, value: Any) -> None:
    """A key beside `nodes:` that is a job by mistake (the article's own Figure 2), or a misspelt one."""
    if key in MARKERS or (isinstance(value, dict) and any(word in _JOB_WORDS for word in value)):
        message = f"'{key}' stands beside 'nodes:', not inside it"
        document.problem(("workflow", key), message, "indent it (and what is below it) like the other jobs")
    elif key == "parameters":
        document.problem(("workflow", key), "parameters and params are two words for the same thing", "keep one")
    elif near := did_you_mean(key, _FLOW_WORDS, 0.75):
        document.problem(("workflow", key), f"'{key}' is not known here", near)


def _check_job(document: yamltext.Document, key: str, job: Job, place: Place, strict: bool) -> None:
    path = ("workflow", "nodes", key)
    for word in job.model_extra or {}:
        near = did_you_mean(word, _JOB_WORDS, 0.75)
        unknown = f"job '{key}' has the unknown attribute '{word}'"
        if word not in RUNTIME and (near or strict):
            document.problem((*path, word), unknown, near or "--strict allows none")
    for word in job.resources.model_extra or {}:
        if near := did_you_mean(word, Resources.model_fields, 0.75):
            document.problem((*path, "resources", word), f"job '{key}': resources has no '{word}'", near)
    if job.workflow and (idle := sorted(job.model_fields_set - OF_WORKFLOWS)):
        message = f"job '{key}' is a workflow, on which '{idle[0]}' has no effect"
        document.problem((*path, idle[0]), message, "give it to the jobs of that workflow")
    names = set(job.foreach or ())
    for number, left_out in enumerate(job.exclude):
        if not left_out or (odd := next((name for name in left_out if name not in names), None)):
            hint = did_you_mean(str(odd), names) if left_out else "name values, or remove it"
            document.problem((*path, "exclude", number), f"job '{key}': exclude names no loop value", hint)
    if job.include and not job.foreach:
        document.problem((*path, "include"), f"job '{key}': include without foreach", "write 'foreach:' beside it")
    if job.notebook and job.args:
        document.problem((*path, "args"), f"job '{key}' is a notebook, which has no args", "use 'params:'")
    if job.name not in ("", key):
        message = f"the name '{job.name}' differs from its key '{key}'"
        document.problem((*path, "name"), message, f"write 'name: {key}' or leave the line out")
    if job.kind == "local" and job.host not in HERE and job.host not in place.hostnames:
        message = f"job '{key}' is local but names the host '{job.host}'"
        document.problem((*path, "host"), message, "write 'kind: ssh' to run it there, or remove the host")
    elif job.kind != "local" and not job.host and "host" not in document.value["workflow"]["nodes"][key]:
        document.problem((*path, "kind"), f"job '{key}' is of kind {job.kind} but names no host", "add 'host: …'")


def _edges(document: yamltext.Document, flow: Flow, known: set[str]) -> tuple[graph.Edge, ...]:
    """The edges of all dependencies and `after` attributes; unknown names and a cycle are noted."""
    sequences: list[tuple[tuple[str, ...], tuple[object, ...]]] = [
        (names, ("workflow", "dependencies", index)) for index, names in enumerate(flow.dependencies)
    ]
    for key, job in flow.nodes.items():
        sequences += [((parent, key), ("workflow", "nodes", key, "after")) for parent in job.after]
    edges: dict[graph.Edge, tuple[object, ...]] = {}
    for names, path in sequences:
        unknown = () if known.issuperset(names) else dict.fromkeys(name for name in names if name not in known)
        for name in unknown:
            hint = did_you_mean(name, known) or "declare it below 'nodes:'"
            document.problem(path, f"the dependency names an unknown job '{name}'", hint)
        for edge in pairwise(names):
            if not unknown or (edge[0] in known and edge[1] in known):
                edges.setdefault(edge, path)
    if loop := graph.cycle(sorted(known), list(edges)):
        path = edges[loop[0], loop[1]]
        document.problem(path, f"the dependencies form a cycle: {' → '.join(loop)}", "remove one of them")
    return tuple(edges)


def _with_script(document: yamltext.Document, job: Job, place: Place) -> Job:
    """Find the script of a job that names none, and refuse one that is not there or that cannot be executed."""
    path = ("workflow", "nodes", job.name, "script")
    if job.workflow or template.TOKEN.search(job.script or ""):
        return job  # what a loop's value names is looked for when the job starts
    beside = [job.name + suffix for suffix in ("", *SUFFIXES) if (job.name + suffix).endswith(SUFFIXES)]
    if job.exec is None and job.script is None:
        if found := next((script for script in beside if place.exists(script)), None):
            return job.model_copy(update={"script": found})
        if job.name not in MARKERS:
            hint = f"add 'script:' or 'exec:', or put {beside[0]} beside the workflow file"
            document.problem(path, f"job '{job.name}' has nothing to run", hint)
    elif job.script and not job.script.endswith(SUFFIXES):
        document.problem(path, f"'{job.script}' is no .sh, .py or .ipynb file", "run other programs by 'exec:'")
    elif job.script and not place.exists(job.script):
        hint = "put it beside the workflow file or correct the name"
        document.problem(path, f"job '{job.name}': the script '{job.script}' does not exist", hint)
    return job
