"""A run as a picture and a table of the moment: what is left where no widget can live, and shown where none does."""

import secrets
from base64 import b64encode
from collections.abc import Sequence
from datetime import datetime
from html import escape
from typing import Any

import IPython.display

from cc_notebook.errors import ResourceError, clean
from cc_notebook.model import Workflow
from cc_notebook.state import RunState
from cc_notebook.views import picture, table

ROWS = 300  # of the table
# Where the widget is gone, JupyterLab writes an error in its place; the picture says what there is to say.
_STYLE = "<style>.jp-OutputArea:has(.cc-still) .jupyter-widgets:not(:has(*)){display:none}</style>"
_CARD = "max-width:100%;max-height:640px;background:#fff;border-radius:6px"


class Still:
    """One output that shows it; `show` again changes it in its place, without any widget."""

    def __init__(self) -> None:
        self._id, self._told = f"cc-{secrets.token_hex(8)}", ""

    def show(self, html: str, plain: str, again: bool = True) -> None:
        """Put it out, or with `again` change what was put out; nothing is sent if nothing changed."""
        if again and html == self._told:
            return
        self._told = html
        display: Any = IPython.display.display  # has no types
        display({"text/html": html, "text/plain": plain}, raw=True, display_id=self._id, update=again)


def html(flow: Workflow, run: RunState, rows: Sequence[table.Row], line: str) -> str:
    """The picture as an image, in which no script can run, the line, and the table."""
    try:
        drawn = b64encode(picture.svg(flow, run).encode()).decode()
        image = f'<img alt="the graph" style="{_CARD}" src="data:image/svg+xml;base64,{drawn}">'
    except ResourceError as error:  # too large, or there is no Graphviz
        image = escape(clean(str(error)))
    cells = "".join(_row(row) for row in rows[:ROWS])
    more = f"<p>… and {len(rows) - ROWS} more</p>" if len(rows) > ROWS else ""
    head = "".join(f"<th>{word}</th>" for word in ("Job", "State", "Progress", "Time", "Told"))
    full = f"<summary>{len(rows)} jobs as a table</summary><table><tr>{head}</tr>{cells}</table>{more}"
    return f'<div class="cc-still">{_STYLE}<p>{escape(clean(line))}</p>{image}<details>{full}</details></div>'


def _row(row: table.Row) -> str:
    told = (row.name, f"{table.LOOKS[row.state].symbol} {row.state}", f"{row.progress} %", row.elapsed, row.reason)
    return "<tr>" + "".join(f'<td align="left">{escape(clean(text))}</td>' for text in told) + "</tr>"


def line(run: RunState, run_id: str) -> str:
    """One sentence about the run at this moment; about the workflow as it is written, if there is no run."""
    name = run.flow.workflow.name
    if not run_id:
        return f"{name} as it is written, {len(run.jobs)} jobs"
    counts = ", ".join(f"{number} {state}" for state, number in run.counts().items())
    return f"{name}, run {run_id}: {run.state}, {run.progress:.0f} % ({counts}) at {datetime.now():%H:%M:%S}"
