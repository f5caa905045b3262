"""The Python face: `Workflow` and `Job` with the article's methods. A thin layer over spec, runs and views."""

import hashlib
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from inspect import Parameter
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, overload

from cc_notebook import functions, graph, hosts, keeping, launching, model, protocol, runs, save, spec, store, yamltext
from cc_notebook.attach import attach
from cc_notebook.editing import rewrite
from cc_notebook.errors import InputError, RunError, nearest
from cc_notebook.files import place, read_file, shown
from cc_notebook.functions import Function
from cc_notebook.job import Job
from cc_notebook.options import in_order, select, with_done, with_params
from cc_notebook.reuse import Earlier
from cc_notebook.runs import Run
from cc_notebook.showing import Shown
from cc_notebook.state import RunState

if TYPE_CHECKING:
    import networkx

__all__ = ["Job", "Run", "Workflow"]
File = str | Path | None
Order = Sequence[str] | None


class Workflow(Shown):
    """A graph of jobs, from a file or built with `add_job`; `run()` executes it.

    `Workflow("w.yaml")`, `Workflow(filename="w.yaml")` load a file; `Workflow(name="w")` begins an empty workflow whose
    home is the current folder. Raises SpecError with every problem of a file, InputError for a file that is not there.
    """

    def __init__(self, name: File = None, filename: File = None) -> None:
        if filename is None and str(name).endswith((".yaml", ".yml")):
            name, filename = None, name
        self.filename = Path(os.path.expanduser(filename)).absolute() if filename else None
        self.name = str(name or (self.filename.stem if self.filename else "workflow"))
        self._body: dict[str, Any] = {"nodes": {}, "dependencies": []}
        self._model: model.Workflow | None = None  # of the body as it is; None after a change
        self._arguments: dict[str, Parameter] = {}  # of functions that are jobs, by the param that sets them
        self._text = b""  # of the file, as it was read or written last
        self._kept = self._written()  # the body as it was then
        self._taken: dict[str, dict[str, Any]] = {}  # jobs that were done when the state was saved, with their outputs
        if self.filename and (name is None or self.filename.exists()):
            self.load(self.filename)

    def __repr__(self) -> str:
        return f"<Workflow {self.name}: {len(self.nodes)} job{'s' * (len(self.nodes) != 1)}>"

    def __getitem__(self, name: str) -> Job:
        return self.job(name)

    def __iter__(self) -> Iterator[Job]:
        return iter(self.jobs.values())

    def __call__(self, **params: Any) -> dict[str, dict[str, Any]]:
        """Run with these params, wait, and return the outputs by job: a workflow is a function. Raises RunError."""
        run = self.run(params).wait()
        if run.state != "done":
            raise RunError(f"run {run.id} {run.state}: {run.refresh().reason}; see run.explain(job), run.log(job)")
        return run.outputs()

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

    @property
    def jobs(self) -> dict[str, Job]:
        """The declared jobs by name, in file order."""
        return {name: Job(self, name) for name in self.nodes}

    @overload
    def job(self, name: str) -> Job: ...
    @overload
    def job(self, name: Function) -> Function: ...
    @overload
    def job(self, name: None = None, **attributes: Any) -> Callable[[Function], Function]: ...
    def job(self, name: str | Function | None = None, **attributes: Any) -> Any:
        """The job with this name, or, above a function, `@w.job(after="fetch")`: makes that function a job.

        Its arguments become params of the workflow with their defaults, but for those that `params={…}` sets; the
        dict that it returns is the job's outputs. Raises InputError with the nearest name if there is no such job.
        """
        if isinstance(name, str):
            nearest(name, self.nodes, f"workflow '{self.name}' has no job")
            return Job(self, name)
        return (lambda function: self._function(function, attributes)) if name is None else self._function(name, {})

    def _function(self, function: Function, attributes: dict[str, Any]) -> Function:
        own = dict(attributes.get("params") or {})
        free = {key: argument for key, argument in functions.arguments(function).items() if key not in own}
        for key, argument in free.items():
            self.params.setdefault(key, None if argument.default is argument.empty else argument.default)
            self._arguments[key] = argument
        params = own | {key: f"{{params.{key}}}" for key in free}
        script = functions.write(function, self.folder)
        self.add_job(function.__name__, script, **attributes | {"params": params})
        return function

    def add_job(self, name: str | None = None, script: str | None = None, **attributes: Any) -> Job:
        """Add a job, or replace the one of that name; the attributes are those of the YAML file.

        Without a name it is called as its script (or `filename`). Raises SpecError for a wrong name or attribute.
        """
        script = script or attributes.pop("filename", None)
        name = name or Path(script or "").stem
        given = {key: value for key, value in {"script": script, **attributes}.items() if value is not None}
        spec.check_job(name, given)
        self.nodes[name], self._model = given, None
        return Job(self, name)

    def add_dependency(self, source: str, destination: str) -> None:
        """`destination` starts after `source`."""
        self.add_dependencies(f"{source}, {destination}")

    def add_dependencies(self, dependency: str | Sequence[str]) -> None:
        """Add a sequence such as `"start, a, b, end"`; each job starts after the one before it."""
        text = dependency if isinstance(dependency, str) else ", ".join(dependency)
        try:
            names = model.expand(text)
        except ValueError as error:
            raise InputError(f"'{text}': {error}") from None
        if len(names) < 2:
            raise InputError(f"'{text}' is no dependency: write at least two names with commas between them")
        if text not in self._body["dependencies"]:
            self._body["dependencies"].append(text)
            self._model = None

    def remove_job(self, name: str, state: bool = False) -> None:
        """Remove a job and its dependencies (`state` is accepted as in the article; runs keep what they did)."""
        del self.nodes[self.job(name).name]
        rewrite(self._body, lambda *edge: name not in edge)
        self._model = None

    def rename_job(self, name: str, new: str) -> None:
        """Give a job another name, also where others come after it; it runs what it ran. Raises InputError.

        Its outputs in the expressions and braces of other jobs are the author's: `model()` tells each of them.
        """
        script, own = self.model().jobs[self.job(name).name].script, self.nodes[name]
        if new in self.model().jobs:
            raise InputError(f"there is a job '{new}' already; take another name")
        own |= ({"script": script} if script else {}) | ({"name": new} if "name" in own else {})
        self._body["nodes"] = {new if job == name else job: node for job, node in self.nodes.items()}
        rewrite(self._body, lambda *edge: True, name, new)
        self._model = None

    def remove_dependency(self, source: str, destination: str) -> None:
        """`destination` no longer starts after `source`. Raises InputError if it did not."""
        if (source, destination) not in self.model().edges:
            raise InputError(f"'{destination}' does not start after '{source}'; look at the dependencies")
        rewrite(self._body, lambda *edge: edge != (source, destination))
        self._model = None

    def remove_workflow(self) -> int:
        """Remove what this program keeps of the workflow: its file's entry in the register, its runs with their logs.

        Your YAML, your scripts and the executed notebooks in `<name>-runs` stay; only a workflow that was made in the
        store, by `jupyter cc workflow add`, goes with its folder there. Returns how many runs went. Raises InputError,
        and removes nothing, while one of them has not ended.
        """
        return keeping.forget(self.filename or self.folder / f"{self.name}.yaml", saved=self.filename is not None)

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
        return self._kept != self._written() or bool(self._taken)

    def _written(self) -> str:
        return repr({"params": {}, **self._body})

    def save_with_state(self, filename: str | Path | None, stdout: bool = False) -> str | None:
        """Save the workflow with each job's status, progress and outputs in its newest run; the text if `stdout`.

        Comments in its file survive. With None in the place of a file it is written nowhere.
        """
        run, nodes = self.newest(), {name: dict(node) for name, node in self.nodes.items()}
        for name, status in run.refresh().jobs.items() if run else ():
            if name in nodes:  # not a member of a loop, and not one that has joined the run
                outputs = {"outputs": dict(status.outputs)} if status.outputs else {}
                nodes[name] |= {"status": status.state, "progress": status.progress, **outputs}
        text = save.text({**self._body, "nodes": nodes}, self._text.decode())
        if filename is not None:
            store.write_new(Path(os.path.expanduser(filename)).absolute(), text)
        return text if stdout else None

    def load_with_state(self, filename: str | Path) -> Self:
        """Load what `save_with_state` wrote: the next run takes over the jobs that were done, with their outputs."""
        nodes = self.load(filename).nodes.items()
        self._taken = {name: dict(node.get("outputs") or {}) for name, node in nodes if node.get("status") == "done"}
        return self

    def model(self) -> model.Workflow:
        """The workflow as a valid value. Raises SpecError with everything that is wrong."""
        if self._model is None:
            document = yamltext.Document(f"workflow '{self.name}'", {"workflow": self._body})
            self._model = spec.check(document, self.name, place(self.folder))
        return self._model

    @property
    def graph(self) -> "networkx.DiGraph[str]":
        """The workflow as a networkx graph; a node's attributes are the job's."""
        import networkx

        value = self.model()
        result: networkx.DiGraph[str] = networkx.DiGraph(name=self.name)
        result.add_nodes_from((name, job.model_dump(exclude_none=True)) for name, job in value.jobs.items())
        result.add_edges_from(value.edges)
        return result

    def sequential_order(self) -> list[str]:
        """The jobs in a topological order."""
        return graph.order(list(self.model().jobs), self.model().edges)

    def predecessors(self, name: str) -> list[str]:
        """The jobs on which a job depends directly."""
        return [parent for parent, child in self.model().edges if child == self.job(name).name]

    def update_status(self, name: str, status: str) -> None:
        """Set a job's state in the newest run by hand; it is shown as such. Raises InputError while the job runs."""
        self.job(name)._newest().mark(name, status)

    def update_progress(self, name: str) -> int:
        """Read a job's log again: its progress, which the run itself takes over as long as its engine works."""
        job = self.job(name)
        told = protocol.report(protocol.pick(job.get_log().encode())[0], self.model().jobs[name].pattern)
        return max(job.get_progress(), told.progress or 0)

    @property
    def table(self) -> str:
        """A table of the workflow in its newest run, or as it is written."""
        from cc_notebook.views import table

        newest = self.newest()
        return table.text(table.rows(newest) if newest else table.written(self.model()))

    def newest(self) -> Run | None:
        """The newest run of this workflow, None if there is none."""
        return next(self.runs(), None)

    def runs(self) -> Iterator[Run]:
        """The runs of this workflow, newest first."""
        return (run for run in reversed(runs.all_runs(self.name)) if run.spec.folder == str(self.folder))

    def display(self, filename: File = None, name: str = "workflow", first: bool = True) -> Path | None:
        """Show the graph of the workflow in its newest run, or as it is written; in a notebook this returns None.

        With a `filename` (.svg .png .pdf .dot) the picture is written there; without one, and where nothing can be
        shown, to `<name>.svg` beside the workflow. Returns its path. `first` is accepted as in the article.
        """
        from cc_notebook.views import picture

        newest = self.newest()
        view = newest.refresh() if newest else RunState(self.model())
        path = Path(filename).expanduser() if filename else None
        return picture.display(view.flow.drawn(), view, path, self.folder / f"{name}.svg")

    def run(
        self,
        params: Mapping[str, Any] | None = None,
        *,
        max_parallel: int | None = None,
        sequential: bool = False,
        order: Sequence[str] = (),
        from_: str | None = None,
        only: str | Sequence[str] | None = None,
        new: bool = False,
        reuse: bool = False,
        run_id: str = "",
    ) -> Run:
        """Start the workflow and return its run at once; an engine of its own executes it.

        `from_` runs one job and all that depends on it, `only` just the named jobs; what they depend on is taken over
        from earlier runs, with its outputs. An unfinished run of the same text and parameters is attached to, unless
        `new`. `reuse` takes over what an earlier run has done of jobs whose script, args, params, environment, inputs
        and parents are the same. A new run is called `run_id`, if that is given (by `store.new_id`).
        """
        value = whole = with_params(self.model(), params or {})
        for key, argument in self._arguments.items():
            functions.check(argument, value.params[key])
        value = select(value, from_, [only] if isinstance(only, str) else only)
        value = in_order(value, order) if sequential or order else value
        launching.scheduler(value.scheduler, str(self.folder))
        runs_before = list(self.runs()) if reuse or from_ or only else []
        done = Earlier(runs_before).outputs
        value, taken = with_done(value, whole, lambda name: self._taken.get(name, done(name)))
        taken |= {name: outputs for name, outputs in self._taken.items() if name in value.jobs}
        source = hashlib.sha256(f"{self.folder}\0{value.model_dump_json()}\0{order}{taken or ''}".encode()).hexdigest()
        value = hosts.supported(value)
        python = Path(sys.executable).with_name("python{}.{}".format(*sys.version_info))  # by whatever name we began
        wanted = model.RunSpec(
            run=run_id or store.new_id(self.name),
            workflow=value,
            path=str(self.filename or ""),
            folder=str(self.folder),
            source=source,
            order=tuple(order),
            taken=taken,
            reuse=tuple(run.id for run in runs_before) if reuse else (),
            max_parallel=max_parallel,
            machine=store.machine_id(),
            python=str(python if python.exists() else sys.executable),
            created=store.now(),
        )
        with store.alone("start"):
            known = [] if new else runs.unfinished(reversed(runs.all_runs(self.name)))
            run = next((run for run in known if run.spec.source == source), None) or runs.create(wanted)
        if run.id != wanted.run:
            print(f"attached to the unfinished run {run.id} (new=True, or --new, starts another)", file=sys.stderr)
        return run.resume()

    def attach(self, run: str) -> Run:
        """Take up a run that this computer does not know, from its hosts, and go on with it; see attach."""
        return attach(self.model(), str(self.filename or ""), str(self.folder), run)

    def run_topo(
        self, order: Order = None, dryrun: bool = False, show: bool = True, filename: File = None
    ) -> Run | None:
        """Run one job after the other, in `order` or a topological one, and wait; see `run_parallel`."""
        return self._run_and_wait(dryrun, show, filename, sequential=True, order=order or ())

    def run_parallel(
        self,
        order: Order = None,
        dryrun: bool = False,
        show: bool = True,
        filename: File = None,
        max_parallel: int | None = None,
    ) -> Run | None:
        """Run what can run at the same time, wait for the end and return the run; an interrupt leaves it going.

        `show` prints each change of a state, `filename` receives the picture at the end. `dryrun` executes nothing and
        returns None. `order` is accepted as in the article and ignored: the dependencies decide.
        """
        return self._run_and_wait(dryrun, show, filename, max_parallel=max_parallel)

    def _run_and_wait(self, dryrun: bool, show: bool, filename: File, **options: Any) -> Run | None:
        from cc_notebook.views import picture, table

        if filename:
            picture.check(Path(filename))
        if dryrun:
            print(table.text(table.written(self.model(), options.get("order", ()), self.folder)))
            return None
        run = self.run(**options)
        try:
            table.watch_lines(run) if show else run.wait()
        except KeyboardInterrupt:
            print(f"run {run.id} goes on without this program; Workflow.run() attaches to it again", file=sys.stderr)
            return run
        if filename:
            picture.write(run.refresh().flow.drawn(), run.refresh(), Path(filename))
        return run
