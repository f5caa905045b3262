"""The Python face: `Workflow` and `Job` with the article's methods. A thin layer over spec, runs and views."""

from __future__ import annotations

import hashlib
import os
import socket
import sys
from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cc_notebook import graph, runs, spec, yamltext
from cc_notebook.errors import InputError, SpecError
from cc_notebook.model import Workflow as Model
from cc_notebook.runs import Run, RunSpec

if TYPE_CHECKING:
    import networkx

__all__ = ["Job", "Run", "Workflow"]


class Job:
    """One job of a workflow as written: `job["label"]` is an attribute, `a >> [b, c] >> d` adds dependencies."""

    def __init__(self, workflow: Workflow, name: str) -> None:
        self.workflow, self.name = workflow, name

    def __repr__(self) -> str:
        return f"<Job {self.name}: {self.attributes}>"

    def __getitem__(self, key: str) -> Any:
        return self.attributes[key]

    def __rshift__(self, other: Job | Sequence[Job]) -> Job | Sequence[Job]:
        for job in [other] if isinstance(other, Job) else other:
            self.workflow.add_dependency(self.name, job.name)
        return other

    def __rrshift__(self, others: Sequence[Job]) -> Job:
        for job in others:
            self.workflow.add_dependency(job.name, self.name)
        return self

    @property
    def attributes(self) -> dict[str, Any]:
        """What the workflow says about this job, by attribute name."""
        return {"name": self.name, **self.workflow._nodes[self.name]}


class Workflow:
    """A graph of jobs, from a file or built with `add_job`; `run()` executes it.

    `Workflow("w.yaml")`, `Workflow(filename="w.yaml")` load a file; `Workflow(name="w")` begins an empty workflow whose
    home is the current folder. Raises SpecError with every problem of a file, InputError for a file that is not there.
    """

    def __init__(self, name: str | Path | None = None, filename: str | Path | None = None) -> None:
        if filename is None and name is not None and str(name).endswith((".yaml", ".yml")):
            name, filename = None, name
        self.filename = Path(filename).expanduser().absolute() if filename else None
        self.name = str(name or (self.filename.stem if self.filename else "workflow"))
        if problem := spec.bad_name(self.name):
            raise InputError(problem)
        self._body: dict[str, Any] = {"nodes": {}, "dependencies": []}
        if self.filename and (name is None or self.filename.exists()):
            self.load(self.filename)

    def __repr__(self) -> str:
        return f"<Workflow {self.name}: {len(self.jobs)} jobs>"

    def __getitem__(self, name: str) -> Job:
        return self.job(name)

    def __iter__(self) -> Iterator[Job]:
        return iter(self.jobs.values())

    @property
    def folder(self) -> Path:
        """The workflow's home: where its scripts are looked for and its local jobs run."""
        return self.filename.parent if self.filename else Path.cwd()

    @property
    def jobs(self) -> dict[str, Job]:
        """The jobs by name, in file order; `start` and `end` too if a dependency names them."""
        names = [*self._nodes, *(m for m in spec.MARKERS if m not in self._nodes and m in self._named())]
        return {name: Job(self, name) for name in names if name in self._nodes}

    @property
    def _nodes(self) -> dict[str, dict[str, Any]]:
        nodes: dict[str, dict[str, Any]] = self._body["nodes"]
        return nodes

    def _named(self) -> set[str]:
        return {name for sequence in self._body["dependencies"] for name in spec.expand(str(sequence))}

    # ---- building -------------------------------------------------------------------------------------------------

    def add_job(self, name: str | None = None, script: str | None = None, **attributes: Any) -> Job:
        """Add a job, or replace the one of that name; the attributes are those of the YAML file.

        Without a name it is called as its script (or `filename`). Raises InputError for a wrong name or attribute.
        """
        script = script or attributes.pop("filename", None)
        name = name or (Path(script).stem if script else "")
        given = {"script": script, **attributes}
        given = {key: value for key, value in given.items() if value is not None}
        spec.check_job(name, given)
        self._nodes[name] = given
        return Job(self, name)

    def add_dependency(self, source: str, destination: str) -> None:
        """`destination` starts after `source`."""
        self.add_dependencies(f"{source}, {destination}")

    def add_dependencies(self, dependency: str | Sequence[str]) -> None:
        """Add a sequence such as `"start, a, b, end"`; each job starts after the one before it."""
        text = dependency if isinstance(dependency, str) else ", ".join(dependency)
        names = spec.expand(text)
        if len(names) < 2 or "" in names:
            raise InputError(f"'{text}' is no dependency: write at least two names with commas between them")
        if text not in self._body["dependencies"]:
            self._body["dependencies"].append(text)

    def job(self, name: str) -> Job:
        """The job with this name. Raises InputError with the nearest name if there is none."""
        if name not in self._nodes:
            near = get_close_matches(name, self._nodes, 1)
            hint = f"did you mean '{near[0]}'?" if near else f"its jobs are: {', '.join(list(self._nodes)[:10])}"
            raise InputError(f"workflow '{self.name}' has no job '{name}'; {hint}")
        return Job(self, name)

    def remove_job(self, name: str, state: bool = False) -> None:
        """Remove a job and its dependencies (`state` is accepted as in the article; runs keep what they did)."""
        del self._nodes[self.job(name).name]
        pieces: list[str] = []
        for sequence in self._body["dependencies"]:
            names, part = spec.expand(str(sequence)), list[str]()
            if name not in names:
                pieces.append(sequence)
                continue
            for other in [*names, name]:
                if other != name:
                    part.append(other)
                    continue
                pieces += [", ".join(part)] if len(part) > 1 else []
                part = []
        self._body["dependencies"] = pieces

    # ---- files ----------------------------------------------------------------------------------------------------

    def load(self, filename: str | Path, clear: bool = True) -> Workflow:
        """Read a workflow file; with `clear=False` its jobs and dependencies are added to those that are there."""
        path = Path(filename).expanduser().absolute()
        text = read_file(path)
        document = yamltext.read(text, _shown(path))
        model = spec.check(document, path.stem, place(path.parent))
        body = _plain(document.value["workflow"])
        if clear or self.filename is None:
            self.filename = path
        if clear:
            self._body = body
        else:
            for key in ("nodes", "params", "hosts"):
                self._body[key] = {**self._body.get(key, {}), **body.get(key, {})}
            self._body["dependencies"] += [d for d in body["dependencies"] if d not in self._body["dependencies"]]
        runs.register(model.name, path)
        return self

    def save(self, filename: str | Path | None = None) -> Path:
        """Write the workflow; comments and order of a file that is there survive. Returns the path."""
        from cc_notebook import save

        path = Path(filename or self.filename or f"{self.name}.yaml").expanduser().absolute()
        runs.write_new(path, save.text(self._body, path.read_text(encoding="utf-8") if path.exists() else ""))
        self.filename = self.filename or path
        return path

    def model(self, strict: bool = False) -> Model:
        """The workflow as a valid value. Raises SpecError with everything that is wrong."""
        import yaml

        text = yaml.safe_dump({"workflow": self._body}, sort_keys=False, allow_unicode=True)
        return spec.parse(
            text, _shown(self.filename) if self.filename else self.name, self.name, place(self.folder), strict
        )

    @property
    def graph(self) -> networkx.DiGraph[str]:
        """The workflow as a networkx graph; a node's attributes are the job's."""
        import networkx

        model = self.model()
        result: networkx.DiGraph[str] = networkx.DiGraph(name=self.name)
        result.add_nodes_from((name, job.model_dump(exclude_none=True)) for name, job in model.jobs.items())
        result.add_edges_from(model.edges)
        return result

    def sequential_order(self) -> list[str]:
        """The jobs in a topological order."""
        model = self.model()
        return graph.order(list(model.jobs), model.edges)

    @property
    def table(self) -> str:
        """A table of the workflow in its newest run, or as it is written."""
        from cc_notebook.views import table

        newest = self.newest()
        return table.text(table.rows(newest) if newest else table.written(self.model()))

    # ---- running --------------------------------------------------------------------------------------------------

    def newest(self) -> Run | None:
        """The newest run of this workflow in this store."""
        found = [run for run in runs.all_runs() if run.id.startswith(runs.safe(self.name) + "-")]
        mine = (
            run
            for run in reversed(found)
            if run.spec.folder == str(self.folder) and run.spec.workflow.name == self.name
        )
        return next(mine, None)

    def run(
        self,
        params: Mapping[str, Any] | None = None,
        *,
        max_parallel: int | None = None,
        sequential: bool = False,
        order: Sequence[str] | None = None,
        from_: str | None = None,
        only: str | Sequence[str] | None = None,
        new: bool = False,
    ) -> Run:
        """Start the workflow and return its run at once; an engine of its own executes it.

        `from_` runs one job and all that depends on it, `only` just the named jobs; what they depend on is taken as
        there. An unfinished run of the same text and parameters is attached to, unless `new`.
        """
        model = select(with_params(self.model(), params or {}), from_, [only] if isinstance(only, str) else only)
        if sequential or order:
            model = model.model_copy(update={"scheduler": "topological"})
        wanted = self._spec(model, order or (), max_parallel)
        if not new and (unfinished := self._unfinished(wanted.source)):
            print(
                f"attached to the unfinished run {unfinished.id} (new=True, or --new, starts another)", file=sys.stderr
            )
            return unfinished.resume()
        run = runs.create(wanted)
        runs.start_engine(run)
        return run

    def run_topo(
        self,
        order: Sequence[str] | None = None,
        dryrun: bool = False,
        show: bool = True,
        filename: str | Path | None = None,
    ) -> Run | None:
        """Run one job after the other, in `order` or a topological one, and wait; see `run_parallel`."""
        return self._run_and_wait(dryrun, show, filename, sequential=True, order=order)

    def run_parallel(
        self,
        order: Sequence[str] | None = None,
        dryrun: bool = False,
        show: bool = True,
        filename: str | Path | None = None,
        max_parallel: int | None = None,
    ) -> Run | None:
        """Run what can run at the same time, wait for the end and return the run; an interrupt leaves it going.

        `show` prints each change of a state, `filename` receives the picture at the end. `dryrun` executes nothing and
        returns None. `order` is accepted as in the article and ignored: the dependencies decide.
        """
        return self._run_and_wait(dryrun, show, filename, max_parallel=max_parallel)

    def _run_and_wait(self, dryrun: bool, show: bool, filename: str | Path | None, **options: Any) -> Run | None:
        from cc_notebook.views import picture, table

        if dryrun:
            print(table.text(table.written(self.model(), options.get("order") or ())))
            return None
        run = self.run(**options)
        try:
            table.watch_lines(run) if show else run.wait()
        except KeyboardInterrupt:
            print(f"run {run.id} goes on without this program; Workflow.run() attaches to it again", file=sys.stderr)
            return run
        if filename:
            picture.write(run.spec.workflow, run.refresh().jobs, Path(filename))
        return run

    def _unfinished(self, source: str) -> Run | None:
        mine = [run for run in runs.all_runs() if run.id.startswith(runs.safe(self.name) + "-")]
        return next((run for run in reversed(mine) if not run.finished and run.spec.source == source), None)

    def _spec(self, model: Model, order: Sequence[str], max_parallel: int | None) -> RunSpec:
        names = list(model.jobs)
        if order and (sorted(order) != sorted(names) or not _respects(order, model.edges)):
            raise InputError("the order must name every job once, each after the jobs that it depends on")
        source = hashlib.sha256(f"{self.folder}\0{model.model_dump_json()}\0{list(order)}".encode()).hexdigest()
        return RunSpec(
            run=runs.new_id(self.name),
            workflow=model,
            path=str(self.filename or ""),
            folder=str(self.folder),
            source=source,
            order=tuple(order),
            max_parallel=max_parallel,
            machine=runs.machine_id(),
            python=sys.executable,
            path_variable=os.environ.get("PATH", ""),
            variables=tuple(sorted(os.environ)),
            created=runs.now(),
        )


def place(folder: Path) -> spec.Place:
    """What the spec may know of this computer."""
    names = {socket.gethostname(), socket.gethostname().partition(".")[0]}
    return spec.Place(lambda name: (folder / os.path.expanduser(name)).is_file(), spec.HERE | names)


def read_file(path: Path) -> bytes:
    """A workflow file's bytes. Raises InputError if it cannot be read."""
    try:
        with open(path, "rb") as file:
            return file.read(yamltext.MAX_BYTES + 1)
    except IsADirectoryError:
        raise InputError(f"{_shown(path)} is a folder; name the workflow file in it") from None
    except OSError as error:
        near = [str(found) for found in sorted(path.parent.glob("*.y*ml"))[:5]] if path.parent.is_dir() else []
        hint = f"; there is {', '.join(map(_shown, map(Path, near)))}" if near else ""
        raise InputError(f"{_shown(path)} cannot be read: {error.strerror}{hint}") from None


def with_params(model: Model, given: Mapping[str, Any]) -> Model:
    """The workflow with params set; texts are read as YAML. Raises InputError for an unknown name or another type."""
    params = dict(model.params)
    for key, value in given.items():
        if key not in params:
            near = get_close_matches(key, params, 1)
            known = f"did you mean '{near[0]}'?" if near else f"it has: {', '.join(params) or 'none'}"
            raise InputError(f"the workflow has no param '{key}'; {known}")
        default = params[key]
        if isinstance(value, str) and not isinstance(default, str):
            try:
                value = yamltext.read(value, f"param {key}").value
            except SpecError as error:
                raise InputError(str(error)) from None
        wider = isinstance(default, float) and isinstance(value, int) and not isinstance(value, bool)
        if default is not None and type(value) is not type(default) and not wider:
            raise InputError(f"param '{key}' is {type(default).__name__} {default!r}; {value!r} is not")
        params[key] = value
    return model.model_copy(update={"params": params})


def select(model: Model, from_: str | None, only: Sequence[str] | None) -> Model:
    """The part of a workflow that is to run. Raises InputError for a name that it does not have."""
    if from_ is None and only is None:
        return model
    for name in [from_] if from_ is not None else only or ():
        if name not in model.jobs:
            near = get_close_matches(name, model.jobs, 1)
            raise InputError(f"there is no job '{name}'" + (f"; did you mean '{near[0]}'?" if near else ""))
    _, children = graph.relatives(model.jobs, model.edges)
    chosen = graph.reach([from_], children) if from_ is not None else set(only or ())
    jobs = {name: job for name, job in model.jobs.items() if name in chosen}
    return model.model_copy(update={"jobs": jobs, "edges": tuple(e for e in model.edges if set(e) <= chosen)})


def _respects(order: Sequence[str], edges: Sequence[graph.Edge]) -> bool:
    rank = {name: place for place, name in enumerate(order)}
    return all(rank[parent] < rank[child] for parent, child in edges)


def _plain(body: dict[str, Any]) -> dict[str, Any]:
    """The body as this class edits it: nodes are mappings, dependencies texts."""
    nodes = {str(name): dict(node or {}) for name, node in body["nodes"].items()}
    given = body.get("dependencies") or []
    if isinstance(given, dict):
        given = [f"{edge['source']}, {edge['destination']}" for edge in given.values()]
    listed = [given] if isinstance(given, str) else given
    texts = [", ".join(map(str, item)) if isinstance(item, list) else str(item) for item in listed]
    return {**body, "nodes": nodes, "dependencies": texts}


def _shown(path: Path) -> str:
    """A path as short as it can be told: relative if it is below the current folder."""
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)
