"""What a notebook shows of one workflow or run: it tells graph, panel and still what is new, and obeys the buttons.

It holds no state of the run: everything shown is computed from the journal at each change.
"""

import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, cast
from weakref import WeakMethod

import IPython

from cc_notebook.errors import CCError, InputError, clean
from cc_notebook.growth import Flow
from cc_notebook.runs import Run
from cc_notebook.showing import LOST, Shown
from cc_notebook.state import RunState
from cc_notebook.views import table
from cc_notebook.widget import drawing, live, still
from cc_notebook.widget.choice import Choice, stamp
from cc_notebook.workflow import Workflow

SLOW = 4.0  # seconds after which a widget that has said nothing is taken for missing
LOG = 8000  # bytes of a job's log that are shown where there is no page
MISSING = "No widget answers here, so this picture follows the run by itself; what would help: jupyter cc doctor"


def display(subject: Workflow | Run, how: str = "widget") -> None:
    """Show a workflow or a run where the cell's output goes; `how` is `widget`, or `svg`: a picture that follows it."""
    if how not in ("widget", "svg"):
        raise InputError(f"there is no view '{how}': use widget or svg")
    if not hasattr(IPython.get_ipython(), "kernel"):
        print(table.text(table.rows(subject)) if isinstance(subject, Run) else subject.table)
        return
    kept: dict[str, View] = vars(subject).setdefault("_views", {})  # held by what it shows: they go together
    if how not in kept or kept[how].closed:
        kept[how] = View(subject, how)
    kept[how].display()


def of(subject: Shown) -> "View | None":
    """The widget of a workflow or run, None if it is not shown."""
    return cast(View | None, vars(subject).get("_views", {}).get("widget"))


class View:
    """One workflow or run as it is shown; the same models, however often it is shown."""

    def __init__(self, subject: Workflow | Run, how: str) -> None:
        self.choice = None if isinstance(subject, Run) else Choice(subject)
        self._own = Run(subject.folder) if isinstance(subject, Run) else None
        self.loop = getattr(getattr(IPython.get_ipython().kernel, "io_loop", None), "asyncio_loop", None)
        self.closed = self.unfinished = False
        self.selected = ""
        self.still, self._how = still.Still(), how
        self.panel: Any = None
        self.graph: Any = None
        self._lock = threading.RLock()
        self._message, self._pages, self._heard = "", False, False  # heard: the browser's part has said something
        self._opened: list[tuple[str, Sequence[str]]] = []
        self._state, self._begun, self._clocks = "", time.monotonic(), False
        self._seen: object = None

    @property
    def run(self) -> Run | None:
        """The run that is shown."""
        return self.choice.run if self.choice else self._own

    def display(self) -> None:
        """Put it out: the picture of the moment, then the widget, which hides it."""
        with self._lock:
            if self.choice:
                self.choice.update()
            self.still.show(*self._picture(self.state()), again=False)
            if not self.panel and self._how == "widget":
                self._build()  # after the picture, for loading the libraries takes a moment
            if self.panel:
                self._seen = None
                self.update()
                show: Any = IPython.display.display  # has no types
                reference = {"version_major": 2, "version_minor": 0, "model_id": self.box.model_id}
                show({"application/vnd.jupyter.widget-view+json": reference, "text/plain": ""}, raw=True)
            self._begun = time.monotonic()
        live.follow(self)

    def _build(self) -> None:
        """Make the widgets; without their libraries the picture does what it can."""
        try:
            import ipywidgets

            from cc_notebook.widget.graph import Graph
            from cc_notebook.widget.panel import Panel
        except ImportError as error:
            self._how, self._message = "svg", LOST.format(error.name)
            return
        clicked, asked = WeakMethod(self.click), WeakMethod(self._asked)
        self.panel, self.graph = Panel(), Graph(lambda name: _call(clicked, name))
        self.panel.on_msg(lambda _, content, buffers: _call(asked, content))
        self.box = ipywidgets.VBox([self.panel, self.graph.box]).add_class("cc-view")

    def close(self) -> None:
        """Take the widget away. The run goes on."""
        live.forget(self)
        with self._lock:
            self.closed = True
            if self.panel:
                self.graph.close()
                for widget in (self.graph.box, self.panel, self.box):
                    widget.close()

    # ---- what is shown ----------------------------------------------------------------------------------------------

    def state(self) -> RunState:
        """The state of the run, or of the workflow as it is written."""
        if run := self.run:
            return run.refresh()
        assert self.choice
        return RunState(self.choice.flow.model())

    def due(self) -> bool:
        """True if there may be something new: in the journal, the workflow's runs or file; or by a label's clock."""
        return self._look() != self._seen

    def _look(self) -> object:
        run, second = self.run, int(time.monotonic()) if self._clocks and self.unfinished else 0
        journal = (stamp(run.folder / "events.jsonl"), self.unfinished and run.engine_alive()) if run else None
        return journal, second, self._missing(), self.choice and self.choice.look()

    def _missing(self) -> bool:
        return bool(self.panel) and not self._heard and time.monotonic() - self._begun > SLOW

    def cell_ended(self) -> None:
        """Show what the cell has changed in the workflow."""
        if self.choice and self.choice.touched():
            self.update()

    def update(self) -> None:
        """Show what is new, if anything is."""
        with self._lock:
            if self.closed:
                return
            seen = self._look()
            try:
                if self.choice and self.choice.update():
                    self._opened, self._message = [], ""
                self._show(self.state())
            except (CCError, OSError) as error:
                self._message = str(error)
                if self.panel:
                    self.panel.told = {**self.panel.told, "message": clean(self._message)}
            self._seen = seen

    def _show(self, view: RunState) -> None:
        self.unfinished = bool(self.run) and not view.ended
        self._clocks = drawing.clocks(view.flow.workflow)
        before, self._state = self._state, view.state if self.run else ""
        if self.panel:
            self.graph.show(*self._drawn(view))
            self.panel.told = self._tell(view)
        if self._how == "svg" or self._missing() or before != self._state:
            self.still.show(*self._picture(view))

    def _drawn(self, view: RunState) -> Any:
        return drawing.shown(view, self._opened[-1][1] if self._opened else ())

    def _picture(self, view: RunState) -> tuple[str, str]:
        line = still.line(view, self.run.id if self.run else "")
        rows = table.rows(self.run) if self.run else table.written(view.flow.workflow)
        note = MISSING if self._missing() and not view.ended else self._message
        return still.html(*drawing.shown(view), rows, ". ".join(filter(None, (line, note)))), line

    def _tell(self, view: RunState) -> dict[str, Any]:
        run, flow = self.run, self.choice.flow if self.choice else None
        ended = f"{view.state}: {view.reason}" if view.reason else ""
        notes = (self._message, self.choice.trouble if self.choice else "", run.note() if run else "", ended)
        return {
            "title": view.flow.workflow.name,
            "path": str(flow.filename) if flow and flow.filename and flow.filename.exists() else "",
            "unsaved": self.choice is not None and self.choice.unsaved,
            "run": run.id if run else "",
            "runs": self.choice.listed() if self.choice else [],
            "state": self._state,
            "starts": bool(flow),
            "resumes": run is not None and not view.ended and (view.paused or not run.engine_alive()),
            "progress": round(view.progress, 1),
            "counts": [[state, table.LOOKS[state].symbol, number] for state, number in view.counts().items()],
            "message": clean(next(filter(None, notes), "")),
            "opened": self._opened[-1][0] if self._opened else "",
            "selected": self.selected,
            "text": self._details(view) if self.selected and not self._pages else "",
        }

    def _details(self, view: RunState) -> str:
        if not self.run or self.selected not in view.jobs:
            return ""
        told = [self.run.explain(self.selected)]
        with suppress(CCError):
            told.append(self.run.log(self.selected, start=-LOG))
        return clean("\n\n".join(told))

    # ---- what a user does -------------------------------------------------------------------------------------------

    def click(self, name: str) -> None:
        """Choose a job; open a box that stands for several."""
        with self._lock:
            view = self.state()
            _, states = self._drawn(view)
            if inside := states.flow.members.get(name) and Flow.within(states.flow, name):
                self._opened.append((name, inside))
            self.selected = name if name in view.jobs else ""
            self._show(view)

    def _asked(self, content: dict[str, Any]) -> None:
        """What the browser sends: whether it has the server's pages, and what a user asks."""
        with self._lock:
            self._heard, self._pages = True, content.get("pages", self._pages)
            try:
                if "pick" in content and self.choice:
                    self.choice.pick(content["pick"])
                    self._opened, self.selected = [], ""
                if content.get("back"):
                    self._opened = self._opened[:-1]
                if verb := content.get("verb"):
                    self._do(verb)
            except (CCError, OSError) as error:
                self._message = str(error)
            self.update()

    def _do(self, verb: str) -> None:
        self._message = ""
        if verb == "run" and self.choice and not self.panel.told["resumes"]:
            self.choice.start()
        elif self.run and verb in ("run", "pause", "cancel", "retry"):
            getattr(self.run, {"run": "resume"}.get(verb, verb))()


def _call(method: Any, *given: Any) -> None:
    if found := method():
        found(*given)
