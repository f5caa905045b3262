"""What the routes below `workflows` do: each is a few lines over `Workflow` and the store. No HTTP here."""

import dataclasses
import hashlib
import secrets
import shutil
import threading
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote

from cc_jupyter import archive, models
from cc_jupyter.route import YAML, Ask, Refusal, Reply
from cc_notebook import fields, files, keeping, save, spec, store, yamltext
from cc_notebook.errors import CCError, InputError, NotFoundError, SpecError, nearest
from cc_notebook.state import JobStatus, RunState
from cc_notebook.views import picture
from cc_notebook.workflow import Workflow

ARCHIVES = ("application/zip", "application/gzip", "application/x-tar", "multipart/form-data")
_editing = threading.Lock()  # between the look at a file's ETag and the change


def path_of(name: str, root: Path) -> Path:
    """The file of a known workflow, by its name, or by its path below the root where two have the same name."""
    there = _known(root)
    nearest(name, sorted({word for own in there.values() for word in own.values() if word}), "there is no workflow")
    found = sorted(path for path, own in there.items() if name in own.values())
    if len(found) > 1:
        paths = " or ".join(there[path]["path"] or "one elsewhere" for path in found)
        raise Refusal(409, f"there are {len(found)} workflows '{name}'", f"name its path in the place of it: {paths}")
    return found[0]


def known(ask: Ask) -> Any:
    """List the known workflows."""
    return {"workflows": list(_known(ask.root).values())}


def params(root: Path) -> dict[tuple[str, ...], dict[str, Any]]:
    """The params, with their values, of each known workflow that can be read, by the words that name it alone."""
    there, found = _known(root), dict[tuple[str, ...], dict[str, Any]]()
    count = Counter(word for own in there.values() for word in own.values())
    for path, own in there.items():
        with suppress(CCError, OSError):
            found[tuple(it for it in own.values() if it and count[it] == 1)] = Workflow(filename=path).model().params
    return {words: own for words, own in found.items() if words}


def create(ask: Ask, body: models.NewWorkflow | models.File | None = None, name: str = "") -> Reply:
    """Add a workflow: from JSON, YAML (with `?name=`), a file below the server's root, an archive, or a template.

    The workflow is checked and becomes known; nothing runs. An archive holds the YAML and its scripts. The templates
    are those of `jupyter cc new`.
    """
    if isinstance(body, dict) and "template" in body:
        found = files.template(body["template"])
        path = _store(name or body["template"], {file: text.encode() for file, text in found.items()})
    elif isinstance(body, dict):
        path = _below(ask.root, body.get("path", ""))
        Workflow(filename=path)
    elif ask.media in ARCHIVES:
        path = _unpack(ask, name)
    else:
        path = _store(body.name if body else name, {"": _yaml(ask, body.workflow if body else None).encode()})
    return Reply(_told(path, ask.root), at=path.stem)


def get(ask: Ask, name: str, format: Literal["json", "yaml"] | None = None, state: bool = False) -> Reply:
    """Get a workflow as it is written: as JSON, or as the YAML text by `Accept` or `?format=yaml`.

    With `state` the newest run is told too: in JSON as `state`, in YAML with each job, as `load_with_state` reads it.
    """
    path = path_of(name, ask.root)
    headers = {"Vary": "Accept"} | ({} if state else {"ETag": _tag(path)})
    if ask.wants(YAML, format):
        return Reply(_text(path, state), media=YAML, headers=headers)
    newest = Workflow(filename=path).newest() if state else None
    more = {"state": newest and newest.status()} if state else {}
    return Reply(_told(path, ask.root) | {"workflow": _written(path)} | more, headers=headers)


def replace(ask: Ask, name: str, body: models.Text | None = None) -> Reply:
    """Replace a workflow's text (YAML or JSON); with `If-Match` only the version that has this ETag."""
    path = path_of(name, ask.root)
    with _editing:
        _match(ask, path)
        text = _yaml(ask, body.get("workflow", {}) if body is not None else None, path.read_text(encoding="utf-8"))
        spec.parse(text, path.name, path.stem, files.place(path.parent))
        store.write_new(path, text)
    return get(Ask(ask.root, {}), name)


def delete(ask: Ask, name: str) -> None:
    """Remove what the program keeps of a workflow, its runs included; YAML and scripts in your folders stay.

    With `If-Match` only the version that has this ETag.
    """
    path = path_of(name, ask.root)
    with _editing:
        _match(ask, path)
        keeping.forget(path)


def pack(ask: Ask, name: str, state: bool = False) -> Reply:
    """Download a workflow as a zip: its YAML, and the scripts, files and workflows that it names.

    With `state` the YAML has that of each job in the newest run, as `load_with_state` reads it.
    """
    path = path_of(name, ask.root)
    found = {path.name: _text(path, state)} | files.named(Workflow(filename=path).model(), path.parent.resolve())
    return Reply(archive.packed(found), media="application/zip", headers=attachment(f"{path.stem}.zip"))


def jobs(ask: Ask, name: str) -> Any:
    """List the jobs with their attributes, as written."""
    return {"jobs": _written(path_of(name, ask.root))["nodes"]}


def job(ask: Ask, name: str, job: str) -> Any:
    """Get a job's attributes, as written."""
    return Workflow(filename=path_of(name, ask.root)).job(job).attributes


def add_job(ask: Ask, name: str, body: dict[str, Any]) -> Reply:
    """Add a job to the workflow: its `name` and its attributes, as in the YAML file. `If-Match` names the version."""
    job = str(body.pop("name", ""))
    return dataclasses.replace(_change(ask, name, lambda flow: _put(flow, job, body, True)), at=job)


def put_job(ask: Ask, name: str, job: str, body: dict[str, Any]) -> Reply:
    """Replace a job's attributes, or add the job; another `name` among them renames it.

    With `If-Match` only in the version that has this ETag.
    """
    new = str(body.get("name", job))

    def change(flow: Workflow) -> Any:
        known = job if new == job else flow.job(job).name
        _put(flow, known, body | {"name": job})
        if new != job:
            flow.rename_job(job, new)
        return flow.job(new).attributes

    return _change(ask, name, change)


def delete_job(ask: Ask, name: str, job: str) -> Reply:
    """Remove a job and its dependencies from the workflow, with `If-Match` only from the version of this ETag."""
    return _change(ask, name, lambda flow: flow.remove_job(job))


def dependencies(ask: Ask, name: str) -> Any:
    """List the dependencies, as written."""
    return {"dependencies": _written(path_of(name, ask.root))["dependencies"]}


def add_dependency(ask: Ask, name: str, body: models.Sequence) -> Reply:
    """Add a dependency: each job starts after the one before it. `If-Match` names the version that is meant."""
    changed = _change(ask, name, lambda flow: flow.add_dependencies(body.get("dependency", "")))
    return dataclasses.replace(changed, body=dependencies(ask, name))


def remove_dependency(ask: Ask, name: str, source: str, destination: str) -> Reply:
    """Remove a dependency, wherever it is written, with `If-Match` only from the version of this ETag."""
    return _change(ask, name, lambda flow: flow.remove_dependency(source, destination))


def scripts(ask: Ask, name: str) -> Any:
    """List the scripts and notebooks in the workflow's folder."""
    found = path_of(name, ask.root).parent.iterdir()
    return {"scripts": sorted(file.name for file in found if file.name.endswith(spec.SUFFIXES) and file.is_file())}


def graph(ask: Ask, name: str, ending: Literal["svg", "png", "json"], state: bool = True) -> Any:
    """Draw the workflow with the states of its newest run, or as it is written, as SVG or PNG, or get it as JSON."""
    flow = Workflow(filename=path_of(name, ask.root))
    newest = flow.newest() if state else None
    view = newest.refresh() if newest else RunState(flow.model())
    drawn = view.flow.drawn()
    if ending == "json":
        nodes = [{"name": job, "state": (view.jobs.get(job) or JobStatus()).state} for job in drawn.jobs]
        return {"nodes": nodes, "edges": drawn.edges}
    if ending == "png":
        return Reply(picture.drawn(picture.dot(drawn, view), ".png"), media="image/png")
    return Reply(picture.svg(drawn, view), media="image/svg+xml")


def validate(ask: Ask, name: str) -> Any:
    """Tell everything that is wrong in the body's text (none: in the file), as if it were this workflow."""
    path = path_of(name, ask.root)
    try:
        spec.parse(ask.data or files.read_file(path), path.name, path.stem, files.place(path.parent))
    except SpecError as error:
        return {"valid": False, "problems": error.problems}
    return {"valid": True, "problems": []}


def attachment(name: str) -> dict[str, str]:
    """The header by which a browser saves an answer and does not show it."""
    return {"Content-Disposition": f"attachment; filename*=utf-8''{quote(name, safe='')}"}


def _known(root: Path) -> dict[Path, dict[str, Any]]:
    return {path: _told(path, root) for _, path in sorted(store.entries().values()) if path.exists()}


def _told(path: Path, root: Path) -> dict[str, Any]:
    """A workflow by its name, and by its path below the root; None if it lives elsewhere."""
    return {"name": path.stem, "path": str(path.relative_to(root)) if path.is_relative_to(root) else None}


def _text(path: Path, state: bool) -> bytes:
    """A workflow's text as it stands in its file, or with the state of each job in its newest run."""
    return (Workflow(filename=path).save_with_state(None, True) or "").encode() if state else files.read_file(path)


def _tag(path: Path) -> str:
    return f'"{hashlib.sha256(files.read_file(path)).hexdigest()[:32]}"'


def _match(ask: Ask, path: Path) -> None:
    """Raises Refusal if the file is no longer the version that `If-Match` names."""
    if ask.headers.get("If-Match", "*") != "*" and _tag(path) not in ask.headers["If-Match"]:
        raise Refusal(412, f"workflow '{path.stem}' was changed by somebody else", "get it again, and change that")


def _written(path: Path) -> dict[str, Any]:
    """What stands below `workflow:` in a valid file."""
    document = yamltext.read(files.read_file(path), path.name)
    spec.check(document, path.stem, files.place(path.parent))
    return save.plain(document.value["workflow"])


def _change(ask: Ask, name: str, change: Callable[[Workflow], Any]) -> Reply:
    """What a change returns that leaves the workflow valid, and the version that is there then."""
    path = path_of(name, ask.root)
    with _editing:
        _match(ask, path)
        flow = Workflow(filename=path)
        changed = change(flow)
        flow.model()
        return Reply(changed, headers={"ETag": _tag(flow.save())})


def _put(flow: Workflow, job: str, attributes: dict[str, Any], new: bool = False) -> dict[str, Any]:
    if new and job in flow.nodes:
        raise Refusal(409, f"there is a job '{job}' already", "PUT replaces it")
    without = {} if "name" in flow.nodes.get(job, {}) else {"name"}
    flow.add_job(job)
    flow.nodes[job] = {key: value for key, value in attributes.items() if key not in without}
    return flow.job(job).attributes


def _yaml(ask: Ask, body: dict[str, Any] | None, old: str = "") -> str:
    """The YAML text that a request gives, as it is or made from JSON; comments in `old` survive."""
    if body is None:
        return ask.data.decode("utf-8-sig")
    spec.check(yamltext.Document("the body", {"workflow": body}), "", spec.Place(lambda file: True))
    return save.text(save.plain(body), old)


def _below(root: Path, path: str) -> Path:
    """A workflow file below the root, also when links are followed. Raises NotFoundError."""
    found = root / path
    inside = found.is_relative_to(root) and not any(part.startswith(".") for part in found.relative_to(root).parts)
    if not (inside and found.is_file() and path.endswith(".yaml") and found.resolve().is_relative_to(root.resolve())):
        raise NotFoundError(f"there is no workflow file '{path}' below the server's folder; give a .yaml file", path)
    return found


def _unpack(ask: Ask, name: str) -> Path:
    """A workflow from an archive."""
    found = archive.files(ask.data)
    flows = [path for path in found if "/" not in path and path.endswith((".yaml", ".yml"))]
    chosen = [path for path in flows if Path(path).stem == name] or flows
    if len(chosen) != 1:
        raise Refusal(422, f"the archive has {len(flows)} workflow files at its top", "put one there, or add ?name=")
    return _store(name or Path(chosen[0]).stem, {"": found.pop(chosen[0]), **found})


def _store(name: str, content: dict[str, bytes]) -> Path:
    """Make a workflow in the store, whole or not at all, from its text (at "") and the files beside it."""
    try:
        path = store.own_file(fields.check_name(name))
    except ValueError as error:
        raise InputError(f"{error}; add ?name=") from None
    text, hidden = content.pop(""), path.parent.with_name(f".{secrets.token_hex(8)}")
    try:
        archive.write({**content, path.name: text}, hidden)
        spec.parse(text, path.name, name, files.place(hidden))
        with _editing:
            if path.parent.exists() or store.registered(name):
                raise Refusal(409, f"there is a workflow '{name}' already", "delete it, PUT it, or take another name")
            store.rename(hidden, path.parent)
    finally:
        shutil.rmtree(hidden, ignore_errors=True)
    store.register(name, path)
    return path
