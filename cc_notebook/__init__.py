"""Workflows of scripts and notebooks, run where each part fits, watched live, true after any interruption."""

from typing import TYPE_CHECKING, Any

from cc_notebook.report import params, progress

if TYPE_CHECKING:
    from cc_notebook.runs import Run
    from cc_notebook.workflow import Workflow

__all__ = ["Run", "Workflow", "params", "progress"]
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    """Load the large parts when they are first used: a job that only reports progress starts fast."""
    if name in ("Workflow", "Run"):
        from importlib import import_module

        return getattr(import_module("cc_notebook.workflow"), name)
    raise AttributeError(f"module 'cc_notebook' has no attribute {name!r}")


def load_ipython_extension(shell: Any) -> None:
    """`%load_ext cc_notebook`: the magics `%cc` and `%%cc`."""
    from cc_notebook import magics

    magics.register(shell)
