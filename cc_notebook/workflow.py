"""The Python face: `Workflow` and `Job` with the article's methods. A thin layer over draft, runs and views."""

import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

from cc_notebook import functions, graph, keeping, protocol, runs, save, spec, starting, store
from cc_notebook.attach import attach
from cc_notebook.draft import Draft, File
from cc_notebook.errors import RunError
from cc_notebook.functions import Function
from cc_notebook.job import Job
from cc_notebook.runs import Run
from cc_notebook.showing import Shown
from cc_notebook.starting import Wish
from cc_notebook.state import RunState

if TYPE_CHECKING:
    import networkx

__all__ = ["Job", "Run", "Workflow"]
Order = Sequence[str] | None


class Workflow(Draft, Shown):
    """A graph of jobs, from a file or built with `add_job`; `run()` executes it.

    `Workflow("w.yaml")`, `Workflow(filename="w.yaml")` load a file; `Workflow(name="w")` begins an empty workflow whose
    home is the current folder. Raises SpecError with every problem of a file, InputError for a file that is not there.
    """

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
            return Job(self, self._declared(name))
        return (lambda function: self._function(function, attributes)) if name is None else self._function(name, {})

    def _function(self, function: Function, attributes: dict[str, Any]) -> Function:
        own = dict(attributes.get("params") or {})
        free = {key: argument for key, argument in functions.arguments(function).items() if key not in own}
        for key, argument in free.items():
            self.params.setdefault(key, None if argument.default is argument.empty else argument.default)
            self.arguments[key] = argument
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

    def remove_workflow(self) -> int:
        """Remove what this program keeps of the workflow: its file's entry in the register, its runs with their logs.

        Your YAML, your scripts and the executed notebooks in `<name>-runs` stay; only a workflow that was made in the
        store, by `jupyter cc workflow add`, goes with its folder there. Returns how many runs went. Raises InputError,
        and removes nothing, while one of them has not ended.
        """
        return keeping.forget(self.filename or self.folder / f"{self.name}.yaml", saved=self.filename is not None)

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
        path, saved = self.filename or self.folder / f"{self.name}.yaml", self.filename is not None
        return (run for run in reversed(runs.all_runs(self.name)) if keeping.belongs(run, path, saved))

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
        wish = Wish(max_parallel, sequential, order, from_, only, new, reuse, run_id)
        return starting.start(self, params or {}, wish)

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
