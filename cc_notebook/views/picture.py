"""A picture of a workflow, in the article's colours, by the Graphviz that pygraphviz's wheels carry."""

import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

from cc_notebook import labels, store
from cc_notebook.errors import InputError, ResourceError, clean
from cc_notebook.model import MARKERS, Job, Workflow
from cc_notebook.state import JobStatus, RunState
from cc_notebook.views.table import LOOKS

FORMATS = (".svg", ".png", ".pdf", ".dot")
ENV = ("HOME", "USER", "HOSTNAME", "LANG", "PWD")  # of the environment, what a label may show
_DRAW = """
import pygraphviz, sys
sys.stdout.buffer.write(pygraphviz.AGraph(sys.stdin.read()).draw(None, sys.argv[1], "dot"))
"""  # in a process of its own: Graphviz holds the interpreter's lock, and prints what it likes


def check(path: Path) -> None:
    """Raises InputError if the file's ending is no picture's."""
    if path.suffix not in FORMATS:
        raise InputError(f"{path.name}: a picture's name ends with {', '.join(FORMATS)}")


def write(flow: Workflow, run: RunState, path: Path) -> None:
    """Draw the graph with the state of each job into a file; its ending says the format."""
    check(path)
    text = dot(flow, run).encode()
    if path.suffix != ".dot":
        words = [sys.executable, "-c", _DRAW, path.suffix[1:]]
        drawn = subprocess.run(words, input=text, capture_output=True, timeout=60, check=False)
        if drawn.returncode:
            why = drawn.stderr.decode(errors="replace").strip().splitlines()[-1]
            raise ResourceError(f"{path} cannot be drawn: {why}")
        text = drawn.stdout
    try:
        path.absolute().parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text)
    except OSError as error:
        raise ResourceError(f"{path} cannot be written: {error.strerror}") from error


def dot(flow: Workflow, run: RunState) -> str:
    """The graph in Graphviz's language, with the labels of this moment."""
    shown = {key: os.environ[key] for key in ENV if key in os.environ}
    around = {"params": flow.params, "os": shown, "cm": store.variables()}
    texts = {name: labels.text(job, run, datetime.now(UTC), around) for name, job in flow.jobs.items()}
    nodes = [_node(job, run.jobs.get(name, JobStatus()), texts[name]) for name, job in flow.jobs.items()]
    edges = [f"  {_quoted(parent)} -> {_quoted(child)}" for parent, child in flow.edges]
    return "\n".join([f"digraph {_quoted(flow.name)} {{", *nodes, *edges, "}"]) + "\n"


def _node(job: Job, status: JobStatus, text: str) -> str:
    shape = job.shape or ("diamond" if job.name in MARKERS else "box")
    style = "filled,rounded" if job.style is None and shape == "box" else job.style or "filled"
    label = f"{LOOKS[status.state].symbol} {text}" + ("" if job.instant or job.label else f"\n{status.progress}%")
    words = {"label": label, "shape": shape, "style": style, "fillcolor": LOOKS[status.state].color}
    return f"  {_quoted(job.name)} [{', '.join(f'{key}={_quoted(value)}' for key, value in words.items())}]"


def _quoted(text: str) -> str:
    return '"' + clean(text).replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'
