"""The machines that workflows may use: which are known, and what works there."""

import json
import os
import subprocess
from contextlib import suppress

import click

from cc_notebook import hosts, model, store
from cc_notebook.cli.group import AS_JSON, file_of, main
from cc_notebook.errors import CCError, InputError, clean

FILE = click.option("--file", metavar="FILE", help="A workflow file, for its own `hosts:` section too.")


def _known(file: str | None) -> dict[str, model.Host]:
    from cc_notebook.hosts.known import user_hosts
    from cc_notebook.workflow import Workflow

    return {**user_hosts(store.home()), **(Workflow(filename=file_of(file)).model().hosts if file else {})}


@main.group("hosts")
def hosts_group() -> None:
    """Look at other machines. They are known from hosts.yaml in the store, from workflows, or as ssh aliases."""


@hosts_group.command("list")
@FILE
@AS_JSON
def list_hosts(file: str | None, as_json: bool) -> None:
    """List the hosts that have settings: yours, and those of FILE, or of every workflow that was run or listed."""
    found = _known(file)
    for _, path in store.entries().values() if not file else ():
        with suppress(CCError):  # who wants that workflow is told what is wrong in it
            found = {**_known(str(path)), **found}
    known = {name: host.model_dump(exclude_defaults=True) for name, host in found.items()}
    lines = [f"{name}  {' '.join(f'{key}={value}' for key, value in told.items())}" for name, told in known.items()]
    empty = f"none; write them into {store.home() / 'hosts.yaml'}, or use an alias of your ssh configuration"
    click.echo(json.dumps(known) if as_json else clean("\n".join(lines)) or empty)


@hosts_group.command("check")
@click.argument("name")
@FILE
@AS_JSON
def check_host(name: str, file: str | None, as_json: bool) -> None:
    """Say what works on the host NAME, and how to mend what does not."""
    from cc_notebook.hosts import check

    host = _known(file).get(name, model.Host())
    beside = os.path.dirname(os.path.abspath(file_of(file))) if file else os.getcwd()
    found = list(check.check(hosts.line(name, "", host), name, host, beside))
    lines = [f"{'✓' if it.works else '✗' if it.needed else '–'} {it.what:<10} {it.told}" for it in found]
    click.echo(json.dumps([it._asdict() for it in found]) if as_json else clean("\n".join(lines)))
    raise SystemExit(int(any(item.needed and not item.works for item in found)))


@hosts_group.command("login")
@click.argument("name")
@FILE
def login(name: str, file: str | None) -> None:
    """Log in to NAME once, by password or a second factor; jobs use that connection as long as it is open."""
    from cc_notebook.transports.openssh import ssh

    host = _known(file).get(name, model.Host())
    if host.transport != "openssh":
        raise InputError(f"{name}: 'transport: {host.transport}' does not log in by hand; 'transport: openssh' does")
    if subprocess.run([*ssh(name, "", host), "true"], check=False).returncode:
        raise InputError(f"{name}: the login failed; see what ssh said above")
    click.echo(f"{name}: connected")


@main.command("attach")
@click.argument("file")
@click.option("--run", "run_id", required=True, metavar="ID", help="The run's id, see <name>-runs/ or a host's files.")
@click.option("--detach", is_flag=True, help="Return at once; the run goes on.")
@AS_JSON
def attach_run(file: str, run_id: str, detach: bool, as_json: bool) -> None:
    """Rebuild a run of FILE from its hosts, where this computer knows nothing of it, and go on with it."""
    from cc_notebook.views import watch
    from cc_notebook.workflow import Workflow

    found = Workflow(filename=file_of(file)).attach(run_id)
    if not detach:
        watch.to_the_end([found], as_json)
