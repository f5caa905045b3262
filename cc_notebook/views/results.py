"""A sweep as a table: a row for each member of a loop, with its values, outputs, state, time and file."""

import csv
from collections.abc import Sequence
from datetime import datetime
from io import StringIO
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from cc_notebook import hosts, template
from cc_notebook.errors import InputError, clean, nearest
from cc_notebook.hosts.base import shown_name
from cc_notebook.runs import Run

Rows = Sequence[dict[str, Any]]


def rows(run: Run, job: str | None = None) -> Rows:
    """One dict a member: `job`, the loop's values, `state`, the outputs, `time` (s), `cell`, `error`, `file`.

    Without `job` the only loop of the run is taken. Raises InputError if there is none, or more than one.
    """
    flow = run.refresh().flow
    loops = [name for name, own in flow.jobs.items() if (own.foreach or own.repeat) and name not in flow.group]
    if job is None and len(loops) != 1:
        raise InputError(f"the run has {len(loops) or 'no'} loops" + f": name one of {', '.join(loops)}" * bool(loops))
    name = job or loops[0]
    nearest(name, [other for other, own in flow.jobs.items() if own.group], f"run {run.id} has no loop")
    return [_row(run, member) for member in flow.members.get(name, ())]


def _row(run: Run, name: str) -> dict[str, Any]:
    status, item = run.refresh().jobs[name], run.refresh().flow.scope(name).item
    times = [datetime.fromisoformat(text) for text in (status.started, status.ended) if text]
    taken = (times[1] - times[0]).total_seconds() if len(times) == 2 else None
    error = status.reason if status.state == "failed" else ""
    row: dict[str, Any] = {"job": name, "state": status.state}
    told = {"time": taken, "cell": status.error.get("cell") or "", "error": error, "file": _file(run, name)}
    values = {key if key not in {*row, *told} else f"value {key}": value for key, value in item.items()}
    known = {*row, *told, *values}
    outputs = {key if key not in known else f"output {key}": value for key, value in status.outputs.items()}
    return {"job": name, **values, "state": status.state, **outputs, **told}


def _file(run: Run, name: str) -> str:
    """The executed notebook or the log, as seen from the workflow's folder."""
    base = Path(hosts.results(run.spec), shown_name(name))
    found = next((path for kind in ("ipynb", "log") if (path := Path(f"{base}.{kind}")).exists()), None)
    return str(found.relative_to(run.spec.folder)) if found else ""


def columns(found: Rows) -> list[str]:
    """Every column of the rows, in the order in which they appear; the file last."""
    return [*dict.fromkeys(key for row in found for key in row if key != "file"), "file"]


def ordered(found: Rows, column: str) -> Rows:
    """The rows sorted by a column, with `-` before its name the largest first; what has no value comes last."""
    name = column.removeprefix("-")
    nearest(name, columns(found), "there is no column")
    there = [row for row in found if row.get(name) not in (None, "")]
    numbers = all(isinstance(row[name], (int, float)) for row in there)
    there.sort(key=lambda row: row[name] if numbers else _text(row[name]), reverse=column != name)
    return [*there, *(row for row in found if row.get(name) in (None, ""))]


def show(found: Rows, folder: str) -> None:
    """Print the rows as a table. Names and files of members, which are long, are left to CSV and JSON.

    In a terminal that knows links each state is one to the row's executed notebook or log, below `folder`.
    """
    table = Table(box=None, pad_edge=False, header_style="bold")
    shown = [name for name in columns(found)[1:-1] if any(row.get(name) not in (None, "") for row in found)]
    for name in shown:
        table.add_column(clean(name), overflow="fold")
    for row in found:
        told = [f"{it:.4g}" if isinstance(it, float) and abs(it) < 1e4 else _text(it) for it in map(row.get, shown)]
        link = f"link {Path(folder, row['file']).as_uri()}" if row["file"] else ""
        table.add_row(*(Text(text, link if name == "state" else "") for name, text in zip(shown, told, strict=True)))
    Console().print(table if found else "the loop has no members")
    if logs := [row["job"] for row in found if row["file"]]:  # not where each row is a workflow
        Console().print(Text(f"log: jupyter cc logs RUN '{clean(logs[0])}', again: retry RUN …, files: --csv"))


def as_csv(found: Rows) -> str:
    """The rows as CSV. A text that a spreadsheet would take for a formula gets an apostrophe before it."""
    out = StringIO()
    writer = csv.writer(out)
    names = columns(found)
    writer.writerow(names)
    for row in found:
        texts = [_text(row.get(key)) for key in names]
        writer.writerow([f"'{text}" if text[:1] in ("=", "+", "@", "\t") else text for text in texts])
    return out.getvalue()


def _text(value: Any) -> str:
    return "" if value is None else clean(template.as_text(value))
