"""The graph as ipycytoscape draws it, and all that is known in Python about that library.

Every box is a model of its own there; its whole `data` is replaced at each change, for nothing less is sent. The
places are the picture's, so nothing is laid out in the browser. Texts are drawn on a canvas, never as markup.
"""

from collections.abc import Callable
from typing import Any

import ipycytoscape
import ipywidgets

from cc_notebook.errors import clean
from cc_notebook.model import MARKERS, Job, Workflow
from cc_notebook.state import JobStatus, RunState
from cc_notebook.views import picture
from cc_notebook.widget import drawing

# Graphviz's shapes by the name of cytoscape's that is nearest; what is not here is a rectangle with round corners
SHAPES = {
    "rectangle": "rect rectangle square plain plaintext none note folder tab component record underline",
    "ellipse": "ellipse oval circle doublecircle point egg Mcircle",
    "diamond": "diamond Mdiamond",
    "rhomboid": "parallelogram polygon",
    "triangle": "triangle",
    "pentagon": "pentagon house trapezium",
    "hexagon": "hexagon",
    "heptagon": "septagon",
    "octagon": "octagon doubleoctagon tripleoctagon",
    "star": "star",
    "vee": "invtriangle invhouse invtrapezium",
    "barrel": "cylinder",
    "tag": "cds rarrow",
    "cut-rectangle": "box3d Msquare",
}
_NEAREST = {word: shape for shape, words in SHAPES.items() for word in words.split()}
# How it looks in the light; panel.js knows the colours of a dark page.
_NODE = {"label": "data(label)", "shape": "data(shape)", "width": "data(w)", "height": "data(h)", "text-wrap": "wrap"}
_NODE |= {"background-color": "data(fill)", "border-color": "#8793A0", "color": "#1B232B", "text-valign": "center"}
_NODE |= {"border-width": "data(border)", "border-style": "data(line)"}
_NODE |= {"font-size": "13", "font-family": "Helvetica, Arial, sans-serif"}
_EDGE = {"width": "1.4", "line-color": "#8793A0", "target-arrow-color": "#8793A0", "target-arrow-shape": "triangle"}
_EDGE |= {"curve-style": "bezier", "arrow-scale": "0.9"}
STYLE = [{"selector": "node", "style": _NODE}, {"selector": "edge", "style": _EDGE}]


class Graph:
    """One graph on the screen; `box` holds the library's widget, a new one for each other set of jobs."""

    def __init__(self, clicked: Callable[[str], None]) -> None:
        self.box = ipywidgets.VBox().add_class("cc-graph")
        self.nodes: dict[str, Any] = {}  # by the names of what they stand for
        self._clicked, self._plan, self._widget = clicked, object(), None

    def show(self, flow: Workflow, run: RunState) -> None:
        """Draw the graph, or change the boxes in which something is new: one message for each."""
        told = {name: _data(name, face, run) for name, face in picture.faces(flow, run).items()}
        looks = [(name, job.shape, job.style, job.label) for name, job in flow.jobs.items()]
        if self._plan != (plan := [flow.edges, *looks]):
            self._draw(flow, drawing.places(flow, run), told)
            self._plan = plan
        for name, node in self.nodes.items():
            if (new := {**node.data, **told[name]}) != node.data:
                node.data = new

    def close(self) -> None:
        """Give the models back."""
        if widget := self._widget:
            for part in (*widget.graph.nodes, *widget.graph.edges, widget.graph, widget):
                part.close()

    def _draw(self, flow: Workflow, places: dict[str, drawing.Place], told: dict[str, dict[str, str]]) -> None:
        self.close()
        ids = {name: f"n{number}" for number, name in enumerate(flow.jobs)}
        names, self.nodes = list(flow.jobs), {}
        for name, job in flow.jobs.items():
            x, y, wide, high = places[name]
            data = {"id": ids[name], "shape": shape(job), "w": wide, "h": high, **_border(job), **told[name]}
            self.nodes[name] = ipycytoscape.Node(data=data, position={"x": x, "y": y}, grabbable=False)
        edges = [ipycytoscape.Edge(data={"source": ids[a], "target": ids[b]}) for a, b in flow.edges]
        graph = ipycytoscape.Graph(nodes=list(self.nodes.values()), edges=edges)
        options = {"cytoscape_layout": {"name": "preset", "padding": 14}, "max_zoom": 1.6, "min_zoom": 0.05}
        widget = ipycytoscape.CytoscapeWidget(graph, cytoscape_style=STYLE, **options)
        widget.on("node", "click", lambda event: self._clicked(names[int(event["data"]["id"][1:])]))
        self._widget, self.box.children = widget, (widget,)


def shape(job: Job) -> str:
    """The shape of a job's box."""
    return "diamond" if job.shape is None and job.name in MARKERS else _NEAREST.get(job.shape or "", "round-rectangle")


def _border(job: Job) -> dict[str, Any]:
    words = (job.style or "").replace(",", " ").split()
    line = next((word for word in words if word in ("dashed", "dotted")), "solid")
    return {"line": line, "border": 3 if "bold" in words else 1.2}


def _data(name: str, face: tuple[str, str], run: RunState) -> dict[str, str]:
    fill, job = face[1].replace("white", "#FFFFFF"), name if name in run.flow.whole.jobs else ""  # "": a box of many
    return {"label": clean(face[0]), "fill": fill, "job": job, "state": (run.jobs.get(name) or JobStatus()).state}
