"""Around runs: check and begin a workflow file, variables for labels, clean the store, see what works here."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import click

from cc_notebook import files, keeping, runs, store
from cc_notebook.cli.group import AS_JSON, file_of, main, pair
from cc_notebook.errors import InputError, SpecError, clean


@main.command()
@click.argument("file")
@click.option("--strict", is_flag=True, help="Refuse attributes that are not known.")
@AS_JSON
def validate(file: str, strict: bool, as_json: bool) -> None:
    """Check the workflow FILE and report everything that is wrong with it."""
    from cc_notebook import spec

    path = file_of(file)
    try:
        model = spec.parse(files.read_file(path), file, path.stem, files.place(path.absolute().parent), strict)
    except SpecError as error:
        if as_json:
            click.echo(json.dumps({"problems": [asdict(problem) for problem in error.problems]}))
        raise
    told = {"jobs": len(model.jobs), "dependencies": len(model.edges), "problems": []}
    text = f"{file}: no errors; jobs: {told['jobs']}, dependencies: {told['dependencies']}"
    click.echo(json.dumps(told) if as_json else text)


@main.command()
def schema() -> None:
    """Print the JSON Schema of a workflow file, for editors."""
    from cc_notebook import spec

    click.echo(json.dumps(spec.schema(), indent=2))


@main.command()
@click.argument("name")
@click.option("--template", default="hello", show_default=True, help="What to begin with: hello, notebooks, example.")
def new(name: str, template: str) -> None:
    """Begin a workflow. NAME.yaml and its scripts come into this folder; nothing is overwritten."""
    yaml = Path(name.removesuffix(".yaml") + ".yaml")
    made = {yaml.with_name(file) if file else yaml: text for file, text in files.template(template).items()}
    if there := [str(path) for path in made if os.path.lexists(path)]:
        raise InputError(f"{', '.join(there)}: there already, so nothing was made; go to an empty folder")
    for path, text in made.items():
        store.write_new(path, text)
    click.echo(f"made {', '.join(map(str, made))}\nrun it with: jupyter cc run {yaml}")


@main.command("set")
@click.argument("pairs", nargs=-1, metavar="[KEY=VALUE]...")
def set_variables(pairs: Sequence[str]) -> None:
    """Keep variables for labels. {cm.KEY} shows one, `KEY=` removes it; all are listed."""
    known = {key: value for key, value in (store.variables() | dict(map(pair, pairs))).items() if value}
    if pairs:
        store.write_new(store.home() / "variables.json", json.dumps(known))
    lines = [clean(f"{key}={value}") for key, value in sorted(known.items())]
    click.echo("\n".join(lines) or "there are no variables: jupyter cc set KEY=VALUE")


@main.command("clean")
@click.argument("run_ids", nargs=-1, metavar="[RUN]...")
@click.option("--older-than", type=click.FloatRange(0), default=0, metavar="DAYS", help="Only what ended before.")
@click.option("--keep", type=click.IntRange(0), default=0, metavar="N", help="Keep the newest N.")
@click.option("--results", is_flag=True, help="Also the runs' folders beside their workflows.")
@click.option("--yes", is_flag=True, help="Do not ask.")
def clean_up(run_ids: Sequence[str], older_than: float, keep: int, results: bool, yes: bool) -> None:
    """Remove ended runs with their logs. All of them, or each RUN; one that has not ended stays."""
    found = list({run.id: run for run in map(runs.find, run_ids)}.values()) or runs.all_runs()
    staying = [why for run in found if (why := keeping.why_not(run))]
    if run_ids and staying:
        raise InputError("\n".join(staying))
    ended = [run for run in found if not keeping.why_not(run)]
    chosen = [run for run in ended[: len(ended) - keep] if keeping.age(run) >= older_than]
    rest = [] if run_ids else keeping.left_over()
    lines = [f"{run.id}  {keeping.size(run, results) / 1e6:.2f} MB" for run in chosen]
    lines += [*(f"{path}: left over" for path in rest), *(f"stays: {why}" for why in staying)]
    click.echo(clean("\n".join(lines if chosen or rest else [*lines, "there is nothing to remove"])))
    if not (chosen or rest) or (sys.stdin.isatty() and not yes and not click.confirm("remove this?")):
        return
    if not (yes or sys.stdin.isatty()):
        raise InputError("nothing was removed: nobody can be asked here, so say --yes")
    for run in chosen:
        keeping.remove(run, results)
    for path in rest:
        keeping.discard(path)
    click.echo(f"runs removed: {len(chosen)}" + ("" if results else "; executed notebooks stay (see --results)"))


@main.command()
@AS_JSON
def doctor(as_json: bool) -> None:
    """See what works here. What does not is told with the command that mends it."""
    from cc_notebook import yamltext

    found = []
    for what, trial in yamltext.read(Path(__file__).with_name("doctor.yaml").read_bytes(), "doctor.yaml").value.items():
        works, told = _tried(trial.get("program") or [sys.executable, "-c", trial["code"]])
        mend = "" if works else trial.get("mend", "").replace("PYTHON", sys.executable)
        found.append({"what": what, "works": works, "told": told, "mend": mend})
        if not as_json:
            line = f"{ {True: '✓', False: '✗', None: '–'}[works] } {what:<14}  {told}"
            click.echo(clean(line) + (f"\n    {mend}" if mend else ""))
    if as_json:
        click.echo(json.dumps(found))
    sys.exit(any(check["works"] is False for check in found))


def _tried(words: Sequence[str]) -> tuple[bool | None, str]:
    """If a program works (None: it is not here), and the last line that it wrote."""
    try:
        done = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=30)
    except (OSError, subprocess.TimeoutExpired) as error:
        return (None, "not here") if isinstance(error, OSError) else (False, "no answer in 30 s")
    said = done.stdout.strip() if done.returncode in (0, 3) else ""
    return {0: True, 3: None}.get(done.returncode, False), (said or done.stderr.strip()).rpartition("\n")[2]
