"""A workflow as it is written: read from a file or built, changed, checked, saved. It knows of no job that runs."""

import os
from collections.abc import Callable, Sequence
from inspect import Parameter
from itertools import pairwise
from pathlib import Path
from typing import Any, Self

from cc_notebook import fields, model, save, spec, store, yamltext
from cc_notebook.errors import InputError, nearest
from cc_notebook.files import place, read_file, shown

File = str | Path | None


class Draft:
    """What a workflow file says, in the form of `save.plain`, and where that file is."""

    def __init__(self, name: File = None, filename: File = None) -> None:
        if filename is None and str(name).endswith((".yaml", ".yml")):
            name, filename = None, name
        self.filename = Path(os.path.expanduser(filename)).absolute() if filename else None
        self.name = str(name or (self.filename.stem if self.filename else "workflow"))
        self._body: dict[str, Any] = {"nodes": {}, "dependencies": []}
        self._model: model.Workflow | None = None  # of the body as it is; None after a change
        self.arguments: dict[str, Parameter] = {}  # of functions that are jobs, by the param that sets them
        self.taken: dict[str, dict[str, Any]] = {}  # jobs that were done when the state was saved, with their outputs
        self._text = b""  # of the file, as it was read or written last
        self._kept = self._written()  # the body as it was then
        if self.filename and (name is None or self.filename.exists()):
            self.load(self.filename)

    @property
    def folder(self) -> Path:
        """The workflow's home: where its scripts are looked for and its local jobs run."""
        return self.filename.parent if self.filename else Path.cwd()

    @property
    def nodes(self) -> dict[str, dict[str, Any]]:
        """The attributes of each declared job, as written; `add_job` changes them."""
        nodes: dict[str, dict[str, Any]] = self._body["nodes"]
        return nodes

    @property
    def params(self) -> dict[str, Any]:
        """The workflow's params with their values, as written; a change counts for the next run."""
        self._model = None
        params: dict[str, Any] = self._body.setdefault("params", {})
        return params

    def add_dependency(self, source: str, destination: str) -> None:
        """`destination` starts after `source`."""
        self.add_dependencies(f"{source}, {destination}")

    def add_dependencies(self, dependency: str | Sequence[str]) -> None:
        """Add a sequence such as `"start, a, b, end"`; each job starts after the one before it."""
        text = dependency if isinstance(dependency, str) else ", ".join(dependency)
        try:
            names = fields.expand(text)
        except ValueError as error:
            raise InputError(f"'{text}': {error}") from None
        if len(names) < 2:
            raise InputError(f"'{text}' is no dependency: write at least two names with commas between them")
        if text not in self._body["dependencies"]:
            self._body["dependencies"].append(text)
            self._model = None

    def remove_job(self, name: str, state: bool = False) -> None:
        """Remove a job and its dependencies (`state` is accepted as in the article; runs keep what they did)."""
        del self.nodes[self._declared(name)]
        self._rewrite(lambda *edge: name not in edge)

    def rename_job(self, name: str, new: str) -> None:
        """Give a job another name, also where others come after it; it runs what it ran. Raises InputError.

        Its outputs in the expressions and braces of other jobs are the author's: `model()` tells each of them.
        """
        script, own = self.model().jobs[self._declared(name)].script, self.nodes[name]
        if new in self.model().jobs:
            raise InputError(f"there is a job '{new}' already; take another name")
        own |= ({"script": script} if script else {}) | ({"name": new} if "name" in own else {})
        self._body["nodes"] = {new if job == name else job: node for job, node in self.nodes.items()}
        self._rewrite(lambda *edge: True, name, new)

    def remove_dependency(self, source: str, destination: str) -> None:
        """`destination` no longer starts after `source`. Raises InputError if it did not."""
        if (source, destination) not in self.model().edges:
            raise InputError(f"'{destination}' does not start after '{source}'; look at the dependencies")
        self._rewrite(lambda *edge: edge != (source, destination))

    def _rewrite(self, keep: Callable[[str, str], bool], old: str = "", new: str = "") -> None:
        """Leave the dependencies for which `keep(source, destination)` is true, the job `old` by the name `new`."""

        def told(names: Sequence[str]) -> str:
            return ", ".join(new if name == old else name for name in names)

        pieces = list[str]()
        for sequence in self._body["dependencies"]:
            names = fields.expand(sequence)
            cuts = [0, *(place for place, edge in enumerate(pairwise(names), 1) if not keep(*edge)), len(names)]
            parts = [names[left:right] for left, right in pairwise(cuts) if right - left > 1]
            pieces += [sequence] if parts == [names] and old not in names else map(told, parts)
        self._body["dependencies"], self._model = pieces, None
        for name, node in self.nodes.items():
            parents = fields.expand(node.get("after") or [])
            kept = [parent for parent in parents if keep(parent, name)]
            if len(kept) < len(parents) or old in kept:
                node["after"] = told(kept)
                if not kept:
                    del node["after"]

    def _declared(self, name: str) -> str:
        nearest(name, self.nodes, f"workflow '{self.name}' has no job")
        return name

    def load(self, filename: str | Path, clear: bool = True) -> Self:
        """Read a workflow file; with `clear=False` its jobs and dependencies are added to those that are there."""
        path = Path(os.path.expanduser(filename)).absolute()
        text = read_file(path)
        document = yamltext.read(text, shown(path))
        checked = spec.check(document, path.stem, place(path.parent))
        body = save.plain(document.value["workflow"])
        if clear:
            self._body, self.filename, self._text = body, path, text
            self._kept = self._written()
        else:
            for key in ("nodes", "params", "hosts"):
                self._body[key] = {**self._body.get(key, {}), **body.get(key, {})}
            self._body["dependencies"] += [d for d in body["dependencies"] if d not in self._body["dependencies"]]
        self._model = checked if clear and self.name == path.stem else None
        store.register(path.stem, path)
        return self

    def load_with_state(self, filename: str | Path) -> Self:
        """Load what `save_with_state` wrote: the next run takes over the jobs that were done, with their outputs."""
        nodes = self.load(filename).nodes.items()
        self.taken = {name: dict(node.get("outputs") or {}) for name, node in nodes if node.get("status") == "done"}
        return self

    def save(self, filename: File = None, overwrite: bool = False) -> Path:
        """Write the workflow; comments and order of a file that is there survive. Returns the path.

        Raises InputError if somebody else has changed the workflow's file since it was loaded, unless `overwrite`.
        """
        path = Path(filename or self.filename or f"{self.name}.yaml").expanduser().absolute()
        with store.alone("save"):
            there = path.read_bytes() if path.exists() else b""
            if self._text and path == self.filename and there not in (self._text, b"") and not overwrite:
                raise InputError(f"{path} was changed on disk since it was loaded; load() it, or save(overwrite=True)")
            text = save.text(self._body, there.decode())
            store.write_new(path, text)
        if path == (self.filename or path):
            self.filename, self._text, self._kept = path, text.encode(), self._written()
        return path

    @property
    def changed(self) -> bool:
        """True if it is not what its file said when that was read or saved here: who runs the file runs another."""
        return self._kept != self._written() or bool(self.taken)

    def _written(self) -> str:
        return repr({"params": {}, **self._body})

    def model(self) -> model.Workflow:
        """The workflow as a valid value. Raises SpecError with everything that is wrong."""
        if self._model is None:
            document = yamltext.Document(f"workflow '{self.name}'", {"workflow": self._body})
            self._model = spec.check(document, self.name, place(self.folder))
        return self._model
