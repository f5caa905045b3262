"""A picture of a workflow: Graphviz through pygraphviz, whose wheels carry it. Colours are the article's."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from cc_notebook.errors import InputError
from cc_notebook.model import MARKERS, Workflow
from cc_notebook.state import JobStatus
from cc_notebook.views.table import SYMBOLS, clean

COLORS = {
    "ready": "white",
    "submitted": "#E5F2FF",
    "running": "#CCE5FF",
    "done": "#CCFFCC",
    "failed": "#FFCCCC",
    "cancelled": "#FFE5CC",
    "skipped": "#EEEEEE",
}
FORMATS = (".svg", ".png", ".pdf", ".dot")


def write(flow: Workflow, statuses: Mapping[str, JobStatus], path: Path) -> None:
    """Draw the graph with the state of each job into an SVG, PNG, PDF or DOT file, chosen by the file's ending."""
    if path.suffix not in FORMATS:
        raise InputError(f"{path.name}: a picture's name ends with {', '.join(FORMATS)}")
    import pygraphviz

    drawing = pygraphviz.AGraph(directed=True, name=flow.name)
    for name, job in flow.jobs.items():
        status = statuses.get(name, JobStatus())
        label = clean(f"{SYMBOLS[status.state]} {name}") + (f"\\n{status.progress}%" if not job.instant else "")
        shape = job.shape or ("diamond" if name in MARKERS else "box")
        style = "filled,rounded" if job.style is None and shape == "box" else job.style or "filled"
        drawing.add_node(name, label=label, shape=shape, style=style, fillcolor=COLORS[status.state])
    drawing.add_edges_from(flow.edges)
    if path.suffix == ".dot":
        path.write_text(drawing.to_string(), encoding="utf-8")
    else:
        drawing.draw(str(path), prog="dot")
