"""The service: a Jupyter server with our extension alone, for REST and the page, and the article's commands for it."""

import html
import json
import os
import select
import subprocess
import sys
import webbrowser
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

import click

from cc_notebook import runs, serving, store
from cc_notebook.cli.group import AS_JSON, main
from cc_notebook.cli.workflow import JOB, NAME, attribute, workflow
from cc_notebook.client import LIMIT, RESTWorkflow
from cc_notebook.errors import InputError, ResourceError, clean


@main.command()
@click.option("-c", "container", is_flag=True, help="As in a container: not detached, and for other computers too.")
@click.option("--host", help="The address to listen at.  [default: 127.0.0.1, with -c all]")
@click.option("--port", type=click.IntRange(1, 65535), default=8000, show_default=True)
@click.option("--reload", is_flag=True, help="Start again when the program's source changes, for its developers.")
@click.option("--no-browser", is_flag=True, help="Do not open the page.")
@click.pass_context
def start(ctx: click.Context, container: bool, host: str | None, port: int, reload: bool, no_browser: bool) -> None:
    """Start the service: REST and the page, for you alone. Files below this folder can become workflows."""
    if not find_spec("jupyter_server"):
        raise InputError("the service needs a Jupyter server: pip install 'cc-notebook[server]'; in a clone: make lab")
    if (told := serving.running()) is not None:
        click.echo(f"it is running already: {told.get('url', 'it has just been started')}/cc/")
        return
    path, none = serving.folder() / "log", subprocess.DEVNULL
    own = {"ip": host or ("*" if container else "127.0.0.1"), "port": port, "autoreload": reload, "root_dir": "."}
    words = [sys.executable, "-m", "cc_jupyter", *(f"--ServerApp.{key}={own[key]}" for key in own)]
    if container:
        os.execv(words[0], words)
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as log:
        child = subprocess.Popen(words, stdin=none, stdout=subprocess.PIPE, stderr=log, start_new_session=True)
    assert child.stdout
    if not (select.select([child.stdout], [], [], LIMIT)[0] and child.stdout.readline()) and not serving.running():
        raise ResourceError(f"the service did not start: {path.read_text().strip().split(chr(10))[-1]}; see {path}")
    child.returncode = 0  # it is meant to go on without us
    if not no_browser:
        ctx.invoke(view)
    ctx.invoke(status)


@main.command()
def stop() -> None:
    """Stop the service. Runs go on: each has an engine of its own."""
    serving.stop(LIMIT)
    click.echo(f"the service has stopped; runs that go on: {sum(run.engine_alive() for run in runs.all_runs())}")


@main.command()
@AS_JSON
def status(as_json: bool = False) -> None:
    """Say whether the service is running, and where. The exit code is 1 if it is not."""
    told = serving.running() or {}
    text = "it runs at {url}/cc/ for files below {root}; its token is in {token_file}".format(**told) if told else ""
    click.echo(json.dumps({"running": bool(told)} | told) if as_json else text or serving.NONE)
    sys.exit(not told)


@main.command()
def view() -> None:
    """Open the service's page in your browser, logged in by a file that only you can read."""
    told, page = serving.known(), serving.folder() / "view.html"
    told["token"] = Path(told["token_file"]).read_text()
    words = {key: html.escape(str(value)) for key, value in told.items()}
    store.write_new(page, Path(__file__).with_name("view.html").read_text().format(**words))
    if not webbrowser.open(page.as_uri()):
        click.echo(f"open {told['url']}/cc/ yourself; it asks for the token, which is in {told['token_file']}")


@workflow.group()
def service() -> None:
    """Do it on the service that `jupyter cc start` has started."""


@service.command()
@NAME
@JOB
@click.argument("args", nargs=-1, required=True, metavar="FILENAME | ATTRIBUTE=VALUE...")
def add(name: str | None, job: str | None, args: Sequence[str]) -> None:
    """Upload the workflow FILENAME (YAML with its scripts, or an archive), or add or change a job."""
    rest = RESTWorkflow.of_service()
    if len(args) == 1 and not job and (os.path.exists(args[0]) or "=" not in args[0]):
        click.echo(clean(f"{rest.upload_workflow(args[0], name)['name']}: uploaded"))
        return
    given, flow = dict(map(attribute, args)), name or "workflow"
    if not (job := job or given.get("name")):
        raise InputError("say what to add: a FILENAME that is there, or --job=JOB ATTRIBUTE=VALUE …")
    attributes = rest.get_workflow(flow)["workflow"]["nodes"].get(job, {}) | given
    rest.add_job(flow, job, **{key: value for key, value in attributes.items() if value is not None})
    click.echo(clean(f"{flow}: job {job}"))


@service.command("list")
@NAME
@JOB
def list_known(name: str | None, job: str | None) -> None:
    """List workflows, jobs or attributes: all that is known of what is named."""
    rest = RESTWorkflow.of_service()
    lines = [flow["name"] for flow in rest.list_workflows()]
    if name or job:
        found = rest.get_workflow(name or "workflow", job)
        lines = [f"{key}: {value}" for key, value in found.items()] if job else list(found["workflow"]["nodes"])
    click.echo(clean("\n".join(lines) or "there are no workflows yet"))


@service.command("run")
@NAME
def run_it(name: str | None) -> None:
    """Run a workflow there, and show it live."""
    from cc_notebook.views import watch

    watch.to_the_end([runs.find(RESTWorkflow.of_service().run_workflow(name or "workflow")["run"])], False)
