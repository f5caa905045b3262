"""The article's `workflow` commands: other words for the flat commands, and for `Workflow`'s methods on a file."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

import cc_notebook
from cc_notebook import keeping, model, store
from cc_notebook.cli import runs
from cc_notebook.cli.group import file_of, main, pair
from cc_notebook.errors import InputError, SpecError, clean, nearest
from cc_notebook.fields import check_name
from cc_notebook.runs import all_runs, find
from cc_notebook.state import RunState

NAME = click.option("--name", help="A known workflow or a .yaml file (default: the one called workflow).")
JOB = click.option("--job", help="One job of it.")


@main.group(invoke_without_command=True)
@NAME
@click.option("--dependencies", metavar="A,B,C", help="Add a dependency: each job starts after the one before it.")
@click.pass_context
def workflow(ctx: click.Context, name: str | None, dependencies: str | None) -> None:
    """Build a workflow job by job. These are the commands of the Cloudmesh-cc article."""
    ctx.default_map = {command: {"name": name} for command in workflow.commands}
    if dependencies:
        flow = _flow(name)
        flow.add_dependencies(dependencies)
        _save(flow, f"dependency {dependencies}")
    elif not ctx.invoked_subcommand:
        click.echo(ctx.get_help())


@workflow.command()
@NAME
@click.option("--job", help="The job (default: called as its script).")
@click.option("--filename", help="A workflow file: make it known, or add its jobs to those of NAME.")
@click.option("--run", "run_id", help="Add the job to this run, as it goes on; `before=B` puts it before a job.")
@click.argument("args", nargs=-1, metavar="[ATTRIBUTE=VALUE]...")
def add(name: str | None, job: str | None, filename: str | None, run_id: str | None, args: Sequence[str]) -> None:
    """Add or change a job. It keeps what is not named; `attribute=` removes one."""
    path, given = _path(name), dict(map(attribute, args))
    if run_id is not None and job:
        click.echo(f"{find(run_id).add_job(job, **given).id}: job {job} joins it")
        return
    job = job or given.get("name") or Path(given.get("script") or "").stem
    if bool(filename) == bool(job) or (filename and given):
        raise InputError("say what to add: --job=JOB ATTRIBUTE=VALUE …, or --filename=FILE")
    if filename and not (name and path.exists()):
        click.echo(f"{Path(filename).stem}: in {filename}, jobs: {len(cc_notebook.Workflow(filename=filename).nodes)}")
        return
    flow = cc_notebook.Workflow(path.stem, path)
    if filename:
        flow.load(filename, clear=False)
    else:
        given = flow.nodes.get(job, {}) | given
        flow.add_job(job).workflow.nodes[job] = {key: value for key, value in given.items() if value is not None}
    _save(flow, f"job {job}" if job else f"the jobs of {filename}")


@workflow.command()
@NAME
@JOB
def delete(name: str | None, job: str | None) -> None:
    """Remove a job or a workflow. With a workflow go its runs; files that you wrote stay."""
    if not (name or job):
        raise InputError("say what is to go: --name=NAME, --job=JOB or both")
    if job:
        flow = _flow(name)
        flow.remove_job(job)
        _save(flow, f"without job {job}")
    else:  # by its path: it may be no valid workflow any more
        path = _path(name, known=True, ran=True)
        gone = keeping.forget(path)
        click.echo(f"{path.stem} is removed, runs: {gone}" + (f"; {path} stays" if path.exists() else ""))


@workflow.command("list")
@NAME
@JOB
def list_known(name: str | None, job: str | None) -> None:
    """List workflows, jobs or attributes: all that is known of what is named."""
    if job:
        lines = [f"{key}: {value}" for key, value in _flow(name).job(job).attributes.items()]
    elif name:
        lines = list(_flow(name).nodes)
    else:
        lines = [f"{known:<16}  {path}" for known, path in sorted(store.entries().values()) if path.exists()]
    click.echo(clean("\n".join(lines) or "there are no workflows yet: jupyter cc new NAME"))


@workflow.command("run")
@NAME
@JOB
@click.option("--filename", help="A workflow file, in the place of a name.")
@click.pass_context
def run_it(ctx: click.Context, name: str | None, job: str | None, filename: str | None) -> None:
    """Run the workflow, or one job of it, and show it live."""
    ctx.invoke(runs.run, file=filename or str(_path(name, known=True)), only=[job] if job else [])


@workflow.command()
@NAME
@click.option("--output", type=click.Choice(["table", "json", "yaml", "csv"]), default="table", show_default=True)
def status(name: str | None, output: str) -> None:
    """Show the newest run. Without one, the workflow as it is written."""
    from cc_notebook.views import table

    flow = _flow(name, ran=True)
    run = flow.newest()
    rows = table.rows(run) if run else table.written(flow.model())
    click.echo(table.text(rows) if output == "table" else table.data(rows, output), nl=False)


@workflow.command()
@NAME
@click.option("--output", metavar="FILE", help="A .svg, .png, .pdf or .dot (default: NAME.svg beside the workflow).")
@click.option("--members", is_flag=True, help="With every member of loops and sub-workflows.")
@click.option("--states", is_flag=True, help="How the graph changed over time.")
def graph(name: str | None, output: str | None, members: bool, states: bool) -> None:
    """Draw the workflow with the states of its newest run."""
    from cc_notebook.views import picture

    flow = _flow(name, ran=True)
    run, path = flow.newest(), Path(output or flow.folder / f"{flow.name}.svg")
    if states and run:
        picture.states(run, path)
    else:
        view = run.refresh() if run else RunState(flow.model())
        picture.write(view.flow.drawn(members), view, path)
    click.echo(path)


def _path(name: str | None, known: bool = False, ran: bool = False) -> Path:
    """The file of a workflow: known, beside us, or a new one in the store. Raises InputError if it must be known.

    With `ran`: also where it would be, of a workflow that was built in Python and of which there are only runs.
    """
    name = name or "workflow"
    for path in (file_of(name), Path(f"{name}.yaml")):
        if os.path.isfile(path) or name.endswith((".yaml", ".yml")):
            return path.absolute()
    if ran and (found := all_runs(name)):
        return Path(found[-1].spec.folder, f"{name}.yaml")
    if known:
        nearest(name, [other for other, _ in store.entries().values()], "there is no workflow")
    try:
        return store.own_file(check_name(name))
    except ValueError as error:
        raise InputError(str(error)) from None


def _flow(name: str | None, ran: bool = False) -> "cc_notebook.Workflow":
    path = _path(name, known=True, ran=ran)
    return cc_notebook.Workflow(path.stem if ran and all_runs(path.stem) else None, path)


def attribute(text: str) -> tuple[str, Any]:
    """An attribute and its value, read as YAML; what the model knows as a text, such as `exec`, stays as typed."""
    from cc_notebook import yamltext

    key, value = pair(text)
    known = model.Job.model_fields.get("exec" if key == "command" else key)
    as_typed = known and known.annotation in (str, str | None)
    return key, value or None if as_typed else yamltext.read(value, key).value


def _save(flow: "cc_notebook.Workflow", told: str) -> None:
    """Write the workflow if it is valid, make it known and say so."""
    assert flow.filename
    try:
        flow.model()
    except SpecError as error:
        raise InputError(f"{error}\n{flow.filename} stays as it was") from None
    if flow.filename == store.own_file(flow.name):
        flow.folder.mkdir(exist_ok=True, mode=0o700)
    store.register(flow.name, flow.save())
    click.echo(clean(f"{flow.name}: {told}, in {flow.filename}"))
