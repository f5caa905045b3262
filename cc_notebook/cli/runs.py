"""Runs on the command line: start, watch, look at, steer. Each command is a few lines over `Workflow` and `Run`."""

import json
import sys
import time
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import click

from cc_notebook import runs, store
from cc_notebook.cli.group import AS_JSON, file_of, main, pair
from cc_notebook.errors import InputError, UnavailableError, clean
from cc_notebook.state import ALIVE


@main.command()
@click.argument("file")
@click.option("--max-parallel", type=click.IntRange(1), help="How many jobs run at the same time.")
@click.option("--detach", is_flag=True, help="Return at once; the run goes on.")
@click.option("--dry-run", is_flag=True, help="Show what would run, in which order; run nothing.")
@click.option("--sequential", is_flag=True, help="One job after the other.")
@click.option("--param", "params", multiple=True, metavar="KEY=VALUE", help="Set a param of the workflow.")
@click.option("--from", "from_", metavar="JOB", help="Only this job and all that depends on it.")
@click.option("--only", multiple=True, metavar="JOB", help="Only this job (may be given again).")
@click.option("--reuse", is_flag=True, help="Take over results of earlier runs where nothing has changed.")
@click.option("--new", is_flag=True, help="Start another run although one is unfinished.")
@click.option("--picture", type=click.Path(dir_okay=False), help="Write a picture at the end (.svg .png .pdf .dot).")
@AS_JSON
def run(file: str, dry_run: bool, detach: bool, params: Sequence[str], as_json: bool, **options: Any) -> None:
    """Run the workflow FILE (or a known workflow's name) and show it live."""
    from cc_notebook.options import select, typed, with_params
    from cc_notebook.workflow import Workflow

    flow = Workflow(filename=file_of(file))
    values = typed(flow.model(), dict(pair(text) for text in params))
    picture, only = options.pop("picture"), options.pop("only") or None
    if dry_run:
        from cc_notebook.views import table

        model = select(with_params(flow.model(), values), options["from_"], only)
        lines = table.written(model, (), flow.folder)
        click.echo(table.data(lines, "json") if as_json else table.text(lines), nl=False)
        return
    if picture:
        from cc_notebook.views.picture import check

        check(Path(picture))
    started = flow.run(values, only=only, **options)
    if detach:
        click.echo(json.dumps({"run": started.id}) if as_json else started.id)
        return
    from cc_notebook.views import watch  # loaded beside the engine's first steps

    watch.to_the_end([started], as_json, picture)


@main.command()
@click.argument("run_id", required=False, metavar="[RUN]")
@click.option("--detach", is_flag=True, help="Return at once.")
@AS_JSON
def resume(run_id: str | None, detach: bool, as_json: bool) -> None:
    """Go on with RUN, or with every unfinished run of this computer that is not paused, and wait."""
    found = runs.all_runs() if run_id is None else [runs.find(run_id)]
    if run_id:
        found[0].refresh()  # one that is damaged is told, not left out
    unfinished = runs.unfinished(found)
    paused = [item for item in unfinished if not run_id and item.refresh().paused]
    for item in paused:
        click.echo(f"{item.id} is paused: jupyter cc resume {item.id}", err=True)
    chosen = [item for item in unfinished if item not in paused and (run_id or item.spec.machine == store.machine_id())]
    seen = {item.id: item.resume().refresh().seq for item in chosen}
    if not detach:
        from cc_notebook.views import watch

        watch.to_the_end(chosen, as_json, seen=seen)


@main.command("runs")
@AS_JSON
def list_runs(as_json: bool) -> None:
    """List the runs of this store, oldest first."""
    found = []
    for item in runs.all_runs():
        try:
            found.append(item.summary())
        except UnavailableError as error:
            click.echo(f"error: {clean(str(error))}", err=True)
    lines = [] if found else ["there are no runs yet: jupyter cc run FILE"]
    for told in found:
        counts = ", ".join(f"{number} {state}" for state, number in told["counts"].items())
        lines.append(f"{told['run']}  {told['state']:<10} {told['progress']:5.1f}%  {counts}")
    click.echo(json.dumps(found) if as_json else "\n".join(lines))


@main.command()
@click.argument("run_id", metavar="RUN")
@click.option("--members", is_flag=True, help="Show every member of loops and sub-workflows.")
@AS_JSON
def show(run_id: str, members: bool, as_json: bool) -> None:
    """Show RUN as a table (`last` is the newest run)."""
    from cc_notebook.views import table

    found = runs.find(run_id)
    click.echo(json.dumps(found.status())) if as_json else table.show(found, members=members)


@main.command()
@click.argument("run_id", metavar="RUN")
@click.argument("job", required=False)
@click.option("--csv", "as_csv", is_flag=True, help="Print CSV.")
@click.option("--sort", metavar="COLUMN", help="Sort by this column; -COLUMN: the largest first.")
@AS_JSON
def results(run_id: str, job: str | None, as_csv: bool, sort: str | None, as_json: bool) -> None:
    """Show the members of the loop JOB of RUN as a table: values, state, outputs, time, file."""
    from cc_notebook.views import results as view

    found = view.rows(runs.find(run_id), job)
    found = view.ordered(found, sort) if sort else found
    if as_json or as_csv:
        click.echo(json.dumps(found) if as_json else view.as_csv(found), nl=as_json)
    else:
        view.show(found, runs.find(run_id).spec.folder)


@main.command()
@click.argument("run_id", metavar="RUN")
@click.argument("job")
@click.option("--follow", is_flag=True, help="Go on until the job has ended.")
@click.option("--attempt", type=click.IntRange(1), help="Which try (default: the newest).")
@click.option("--tail", type=click.IntRange(0), metavar="BYTES", help="Only the last bytes.")
def logs(run_id: str, job: str, follow: bool, attempt: int | None, tail: int | None) -> None:
    """Print what JOB of RUN wrote."""
    found = runs.find(run_id)
    found.status(job)
    if members := found.refresh().flow.members.get(job):
        raise InputError(f"'{job}' is a group, whose members have the logs: name one, as '{members[0]}'")
    if tail is not None and not follow:
        sys.stdout.buffer.write(found.log_reader(job, attempt)(-tail, tail) if tail else b"")
        return
    path, offset = None, 0
    while True:
        works = found.engine_alive()
        ended = found.refresh().jobs[job].state not in ("ready", *ALIVE) or found.refresh().ended or not works
        newest = found.log_path(job, attempt)
        if newest != path:
            path = newest
            offset = max(0, path.stat().st_size - tail) if path and tail is not None and path.exists() else 0
        read = found.log_reader(job, attempt)
        while path and (data := read(offset, 1 << 20)):
            offset += len(data)
            out = clean(data.decode(errors="replace")).encode() if sys.stdout.isatty() else data
            sys.stdout.buffer.write(out)
        sys.stdout.buffer.flush()
        if ended or not follow:
            break
        time.sleep(0.1)
    if follow:
        _left(found)


@main.command()
@click.argument("run_id", metavar="RUN")
@click.argument("jobs", nargs=-1, metavar="[JOB]...")
@AS_JSON
def cancel(run_id: str, jobs: Sequence[str], as_json: bool) -> None:
    """Cancel RUN, or only JOB: its whole process tree ends."""
    _say(runs.find(run_id).cancel(*jobs), "cancel accepted", as_json)


@main.command()
@click.argument("run_id", metavar="RUN")
@AS_JSON
def pause(run_id: str, as_json: bool) -> None:
    """Start no further job of RUN; running ones go on. `resume RUN` ends the pause."""
    _say(runs.find(run_id).pause(), f"paused; go on with: jupyter cc resume {run_id}", as_json)


def _left(found: runs.Run) -> None:
    """Nothing more is to come: if that is so for want of an engine, say it and leave with 4."""
    if not found.refresh().ended and not found.engine_alive():
        click.echo(f"error: {clean(found.note())}", err=True)
        sys.exit(4)


def _say(found: runs.Run, told: str, as_json: bool) -> None:
    click.echo(json.dumps(found.summary()) if as_json else f"{found.id}: {told}")


@main.command()
@click.argument("run_id", metavar="RUN")
@click.argument("jobs", nargs=-1, metavar="[JOB]...")
@click.option("--detach", is_flag=True, help="Return at once.")
@AS_JSON
def retry(run_id: str, jobs: Sequence[str], detach: bool, as_json: bool) -> None:
    """Run JOB of RUN again (default: every failed or cancelled job) and what ended because of it."""
    found = runs.find(run_id)
    seen = {found.id: found.refresh().seq}
    found.retry(*jobs)
    if found.rewritten:
        click.echo("the workflow file has changed since: `jupyter cc run` starts a new run with it", err=True)
    if not detach:
        from cc_notebook.views import watch

        watch.to_the_end([found], as_json, seen=seen)


@main.command()
@click.argument("run_id", metavar="RUN")
@click.argument("job")
@AS_JSON
def explain(run_id: str, job: str, as_json: bool) -> None:
    """Say why JOB of RUN is in its state, with the proof."""
    found = runs.find(run_id)
    told = {"job": job, **found.status(job), "explained": found.explain(job)}
    click.echo(json.dumps(told) if as_json else clean(told["explained"]))


@main.command()
@click.argument("run_id", metavar="RUN")
@click.option("--output", type=click.Path(dir_okay=False), help="Where to (default: beside the run's logs).")
def report(run_id: str, output: str | None) -> None:
    """Write RUN as one HTML page that needs nothing else: graph, timeline, table, failing cells."""
    click.echo(runs.find(run_id).report(output))


@main.command()
@click.argument("run_id", metavar="RUN")
@click.option("--follow", is_flag=True, help="Go on until the run has ended.")
@AS_JSON
def events(run_id: str, follow: bool, as_json: bool) -> None:
    """Print what happened in RUN. One line for each event of its journal."""
    from cc_notebook.views.explain import sentence

    found = runs.find(run_id)
    reader = found.reader()
    for _ in found.follow() if follow else [None]:
        for event in reader.new():
            who = f"{event.job or ', '.join(event.jobs)}: ".removeprefix(": ")
            told = f"{datetime.fromisoformat(event.at).astimezone():%F %T}  {who}{sentence(event)}"
            click.echo(json.dumps(event.to_dict()) if as_json else clean(told))
    if follow:
        _left(found)
