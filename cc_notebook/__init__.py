"""Workflows of scripts and notebooks, run where each part fits, watched live, true after any interruption."""

from typing import TYPE_CHECKING, Any

from cc_notebook.report import params, progress
from cc_notebook.showing import tell

if TYPE_CHECKING:
    from cc_notebook.runs import Run
    from cc_notebook.workflow import Workflow

__all__ = ["Run", "Workflow", "params", "progress"]
__version__ = "0.1.0"
_LATER = {"Workflow": "cc_notebook.workflow", "Run": "cc_notebook.runs", "load_ipython_extension": "cc_notebook.magics"}


def __getattr__(name: str) -> Any:
    """Load the large parts when they are first used: a job that only reports progress starts fast."""
    if name in _LATER:
        from importlib import import_module

        return getattr(import_module(_LATER[name]), name)
    raise AttributeError(f"module 'cc_notebook' has no attribute {name!r}")


tell()
