"""A run as a table in a terminal or a text: rows from a status, live or once. It keeps no state of its own."""

import csv
import json
import time
from collections import namedtuple
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from io import StringIO
from pathlib import Path
from typing import Any

import yaml
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from cc_notebook import loops
from cc_notebook.errors import clean
from cc_notebook.growth import Flow
from cc_notebook.launching import glob
from cc_notebook.model import Job, Workflow
from cc_notebook.runs import Run

Look = namedtuple("Look", "symbol style color")  # of a state; the colour is a picture's, never alone

LOOKS = {
    "ready": Look("·", "", "white"),
    "waiting": Look("·", "dim", "white"),  # for a parent
    "blocked": Look("⊘", "", "white"),
    "submitted": Look("○", "cyan", "#E5F2FF"),
    "running": Look("▶", "blue", "#CCE5FF"),
    "done": Look("✓", "green", "#CCFFCC"),
    "failed": Look("✗", "red", "#FFCCCC"),
    "cancelled": Look("■", "yellow", "#FFE5CC"),
    "skipped": Look("»", "dim", "#EEEEEE"),
}
SYMBOLS = json.dumps({state: look.symbol for state, look in LOOKS.items()}, ensure_ascii=False)  # for pages
WIDE = 100  # columns of a terminal that show scripts too
WORDS = {"start": "running", "done": "done", "fail": "failed", "retry": "ready"}
WORDS |= {"submit": "submitted", "cancel": "cancelled", "skip": "skipped", "mark": "ready", "take": "done"}


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    number: int
    name: str
    state: str
    host: str
    progress: int
    elapsed: str
    script: str
    reason: str
    step: str = ""  # the cell that a notebook has reached, as 7/36; of a group its members by state


def rows(run: Run, members: bool = False) -> list[Row]:
    """The table of a run now, in topological order: groups as one row each, or with all their `members`."""
    status, flow = run.status()["jobs"], run.refresh().flow
    return [_row(n, name, flow.jobs[name], status[name]) for n, name in enumerate(flow.order(members))]


def written(workflow: Workflow, order: Sequence[str] = (), folder: str | Path | None = None) -> list[Row]:
    """The table of a workflow that has not run, in the order in which it would; with `folder` also known members."""
    flow = Flow(workflow)
    notes, jobs = loops.preview(flow, glob(str(folder))) if folder else {}, flow.jobs
    told = {name: "; ".join(filter(None, [_after(flow.parents[name]), notes.get(name)])) for name in jobs}
    return [
        Row(n, name, "ready", jobs[name].host or "local", 0, "", _what(jobs[name]), told[name])
        for n, name in enumerate(order or flow.order(members=True))
    ]


def text(lines: Sequence[Row], width: int = 120) -> str:
    """The table as plain text."""
    out = StringIO()
    told = [Text(f"{row.name}: {row.reason}") for row in lines if row.reason]
    Console(file=out, width=width, color_system=None, force_jupyter=False).print(_table(lines, width), *told, sep="\n")
    return out.getvalue()


def data(lines: Sequence[Row], form: str) -> str:
    """The table for programs: `json`, `yaml` or `csv`, the same columns in each."""
    values = [vars(row) for row in lines]
    if form == "json":
        return json.dumps(values, indent=2) + "\n"
    if form == "yaml":
        return yaml.safe_dump(values, sort_keys=False, allow_unicode=True)
    out = StringIO()
    writer = csv.DictWriter(out, Row.__annotations__, lineterminator="\n")
    writer.writeheader()
    writer.writerows(values)
    return out.getvalue()


def show(run: Run, members: bool = False) -> None:
    """Print the table, the overall progress and what there is to know beside it."""
    console = Console(force_jupyter=False)  # a notebook's theme may be dark
    console.print(_whole(run, console.width, members=members))


def watch_live(run: Run) -> None:
    """Keep a table in the terminal up to date until the run ends."""
    console = Console()
    with Live(_whole(run, *console.size), console=console, refresh_per_second=8, transient=True) as live:
        for _ in run.follow(0.1, every=1.0):  # for the times in it
            begun = time.monotonic()
            live.update(_whole(run, *console.size))
            time.sleep(9 * (time.monotonic() - begun))  # a large table is drawn less often: the jobs need the processor
    console.print(_whole(run, console.width))


def watch_lines(run: Run, seen: int = 0) -> None:
    """Print one line for each change of a job's state after event `seen`, in their order, until the run ends.

    That a job is submitted is told with a reason only: why it runs again, where results are taken over.
    """
    reader = run.reader()
    for _ in run.follow():
        for event in reader.new():
            if event.type in WORDS and event.seq > seen and (event.reason or event.type != "submit"):
                reason = f": {clean(event.reason)}" if event.reason else ""
                state, moment = WORDS[event.type], (event.ended or event.started or event.at)[11:19]
                for name in event.jobs or (event.job,):
                    print(f"{moment} {LOOKS[state].symbol} {clean(name)} {state}{reason}", flush=True)
    told = run.refresh().reason or run.note()
    print(f"run {run.id} {run.state}" + (f": {clean(told)}" if told else ""), flush=True)


def _whole(run: Run, width: int, height: int = 10**9, members: bool = False) -> Group:
    view, lines = run.refresh(), rows(run, members)
    shown = lines if len(lines) <= height - 8 else _urgent(lines, max(5, height - 8))
    left = {"ready": "blocked" if view.ended else "to come"}  # what has not run by the end
    counts = ", ".join(f"{number} {left.get(state, state)}" for state, number in view.counts().items())
    hidden = f"  ({len(lines) - len(shown)} more jobs not shown)" if len(shown) < len(lines) else ""
    total = Text(f"{run.id}: {view.state} — {counts}{hidden}", LOOKS[view.state].style if view.state in LOOKS else "")
    told = [Text(clean(f"{LOOKS[row.state].symbol} {row.name}: {row.reason}")) for row in shown if row.reason]
    bar = Table.grid(padding=(0, 1))
    bar.add_row("all", ProgressBar(total=100, completed=view.progress, width=40), f"{int(view.progress)}%")
    parts: list[RenderableType] = [_table(shown, width), *told, bar, total]
    parts += [Text(clean(line)) for line in (view.reason, run.note()) if line]
    return Group(*parts)


def _urgent(lines: Sequence[Row], most: int) -> Sequence[Row]:
    """The rows that matter most where not all fit: failed and running ones, then the next, then the last done."""
    order = {"failed": 0, "running": 1, "submitted": 2, "ready": 3, "waiting": 4, "blocked": 5}
    chosen = sorted(lines, key=lambda row: (order.get(row.state, 6), row.number))[:most]
    return sorted(chosen, key=lambda row: row.number)


def _table(lines: Sequence[Row], width: int) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    columns = ("ID", "Name", "Status", "Host", "Progress", "Time", *(["Script"] if width >= WIDE else []))
    for column in columns:  # of long names the rest stands on the next line: who reads one may have to type it
        side: Any = "right" if column in ("ID", "Time") else "left"
        table.add_column(column, justify=side, no_wrap=column != "Name", overflow="fold")
    for row in lines:
        state = Text(f"{LOOKS[row.state].symbol} {row.state}", LOOKS[row.state].style)
        bar, step = Table.grid(padding=(0, 1)), row.step.replace("/", " of ")
        bar.add_row(ProgressBar(total=100, completed=row.progress, width=10), f"{row.progress}%", step)
        cells = [Text(row.elapsed), Text(clean(row.script))][: len(columns) - 5]
        table.add_row(str(row.number), Text(clean(row.name)), state, Text(clean(row.host)), bar, *cells)
    return table


def _row(number: int, name: str, job: Job, told: Mapping[str, Any]) -> Row:
    reason = f"{told['reason']}{' (script changed since attempt 1)' * told['changed']}".strip()
    elapsed, step = _elapsed(told["started"], told["ended"], told["state"]), counts(told) or told["step"]
    state, host = told.get("waiting") or told["state"], job.host or "local"
    return Row(number, name, state, host, told["progress"], elapsed, _what(job), reason, step)


def _what(job: Job) -> str:
    words = job.script or job.workflow or (job.exec or "").strip().split("\n")[0]
    return words if len(words) <= 24 else words[:23] + "…"


def counts(status: Mapping[str, Any]) -> str:
    """How many members of a group are in each state; empty for what is no group."""
    return ", ".join(f"{number} {LOOKS[state].symbol}" for state, number in status.get("counts", {}).items())


def _after(parents: Sequence[str]) -> str:
    shown = ", ".join(parents[:5]) + (f" and {len(parents) - 5} more" if len(parents) > 5 else "")
    return f"after {shown}" if parents else ""


def _elapsed(started: str, ended: str, state: str) -> str:
    if not started or state == "ready":
        return ""
    stop = datetime.fromisoformat(ended) if ended and state != "running" else datetime.now(UTC)
    taken = stop - datetime.fromisoformat(started)
    return f"{taken.total_seconds():.1f} s" if taken < timedelta(minutes=1) else str(taken).split(".")[0]
