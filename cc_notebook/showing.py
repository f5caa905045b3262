"""What shows itself in a notebook: a workflow and a run alike. The widget is imported when one is to be seen.

Who imports the package in a notebook is told what is live there. It costs nobody else anything.
"""

import os
import sys
from contextlib import suppress
from typing import Any

LIVE = "cc-notebook: the live graph can be shown here; if it does not appear or move: jupyter cc doctor"
LOST = "pictures here, no live graph: {} is missing: pip install 'cc-notebook[notebook]'; see: jupyter cc doctor"


def tell() -> None:
    """In a notebook, but not in one that a job executes: say in one line what is live here."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", None)
    if shell and hasattr(shell(), "kernel") and "CC_JOB_DIR" not in os.environ:
        from importlib.util import find_spec

        with suppress(OSError, ValueError):  # a closed output, a module without a spec: no reason to fail
            lost = ", ".join(name for name in ("ipywidgets", "ipycytoscape", "anywidget") if not find_spec(name))
            print(LOST.format(lost) if lost else LIVE)


class Shown:
    """A workflow or a run: the last line of a cell shows it."""

    def _ipython_display_(self) -> None:
        """In a notebook: the live graph."""
        self.view()

    def view(self, how: str = "widget") -> None:
        """Show the live graph; `how="svg"`: a picture that follows the run where no widget can be shown."""
        from cc_notebook.widget import view

        subject: Any = self
        view.display(subject, how)

    @property
    def selected(self) -> str | None:
        """The job that was clicked in the live graph."""
        from cc_notebook.widget import view

        shown = view.of(self)
        return (shown.selected or None) if shown else None
