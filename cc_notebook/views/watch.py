"""Runs shown on the command line until they end, and the exit code that tells how."""

import json
import shlex
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import click

from cc_notebook.runs import Run
from cc_notebook.views import picture as pictures
from cc_notebook.views import table

CODES = {"done": 0, "failed": 1, "cancelled": 3, "": 4}  # 4: nobody works on the run any more


def to_the_end(
    chosen: Sequence[Run], as_json: bool, picture: str | None = None, seen: Mapping[str, int] | None = None
) -> None:
    """Show runs until they end, without the events that were seen before; then leave with the worst exit code."""
    codes = [0]
    for item in chosen:
        _show_until_end(item, as_json, (seen or {}).get(item.id, 0))
        if as_json:
            click.echo(json.dumps(item.status()))
        view = item.refresh()
        if failed := [name for name, status in view.jobs.items() if status.state == "failed"][:1]:
            click.echo(f"why: jupyter cc explain {item.id} {shlex.quote(failed[0])}", err=True)
        if as_json and not view.ended:  # the table and the lines end with it
            click.echo(f"error: {item.note() or 'the run has not ended'}", err=True)
        codes.append(CODES[view.ended])
        if picture:
            pictures.write(view.flow.drawn(), view, Path(picture))
            click.echo(f"picture: {picture}", err=as_json)
    sys.exit(max(codes, key=lambda code: (code == 1, code)))


def _show_until_end(item: Run, as_json: bool, seen: int) -> None:
    while True:
        try:
            if as_json:
                item.wait()
            elif sys.stdout.isatty():
                table.watch_live(item)
            else:
                table.watch_lines(item, seen)
            return
        except KeyboardInterrupt:
            if _ask_cancel(item):
                item.cancel()
                continue
            click.echo(f"\n{item.id} goes on; see it with: jupyter cc show {item.id}", err=True)
            sys.exit(130)


def _ask_cancel(item: Run) -> bool:
    """Ctrl-C asks once; the default, and the answer of whoever cannot be asked, is to leave the run going."""
    if not sys.stdin.isatty():
        return False
    with suppress(click.Abort, KeyboardInterrupt):
        answer = click.prompt("\n[d]etach (the run goes on) or [c]ancel the run", default="d", err=True)
        return str(answer).strip().lower().startswith("c")
    return False
