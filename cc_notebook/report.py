"""Params, progress and outputs from inside a job: `from cc_notebook import params, progress`.

This file alone is copied beside every run and put on PYTHONPATH as `cc_notebook`, so it also works where nothing is
installed; every other name of the package then comes from the installed one. It may import the standard library only.
"""

from __future__ import annotations

import json
import os
import sys


def progress(
    progress: float | None = None,
    status: str = "running",
    filename: str | None = None,
    pid: int | None = None,
    **outputs: object,
) -> str:
    """Report how far this job is (`progress`: 0-100) and any `key=value` outputs; later values replace earlier ones.

    Prints the article's line `# cloudmesh status=… progress=… pid=… key=value` and returns it. With `filename` the line
    is also appended to that file, as the article's Figure 6 does. Values may be anything that JSON can hold.
    Raises ValueError for a progress that is no finite number, or a line of more than 4096 bytes.
    """
    if progress is not None and not abs(float(progress)) < 1e9:
        raise ValueError(f"progress is a number from 0 to 100, not {progress!r}")
    words = ["# cloudmesh", f"status={'done' if progress is not None and float(progress) >= 100 else status}"]
    if progress is not None:
        words.append(f"progress={int(float(progress))}")
    words.append(f"pid={pid or os.environ.get('SLURM_JOB_ID') or os.environ.get('LSB_JOBID') or os.getpid()}")
    for key, value in outputs.items():
        text = json.dumps(value, separators=(",", ":"), default=str)
        words.append(f"{key}=" + text.replace(" ", "\\u0020"))  # blanks stand only inside JSON strings here
    line = " ".join(words)
    if len(line.encode()) > 4096:
        raise ValueError("the outputs are too long for one line (4096 bytes): write them to a file and report its name")
    sys.stdout.write(line + "\n")
    sys.stdout.flush()
    if filename:
        with open(os.path.expanduser(filename), "a", encoding="utf-8") as file:
            file.write(line + "\n")
    return line


def params() -> dict[str, object]:
    """The params of the job that this program is, with their values; empty outside of a job."""
    folder = os.environ.get("CC_JOB_DIR")
    if not folder:
        return {}
    with open(os.path.join(folder, "spec.json"), encoding="utf-8") as file:
        return dict(json.load(file)["params"])


if __name__ == "cc_notebook":  # we are the copy: find the installed package behind us for every other name
    from importlib.machinery import PathFinder

    _here = os.path.dirname(os.path.abspath(__file__))
    _spec = PathFinder.find_spec("cc_notebook", [p for p in sys.path if os.path.abspath(p or ".") != _here])
    if _spec and _spec.submodule_search_locations:
        __path__ = list(_spec.submodule_search_locations)

    def __getattr__(name: str) -> object:
        from importlib import import_module

        if name in ("Workflow", "Run") and "__path__" in globals():
            return getattr(import_module("cc_notebook.workflow"), name)
        if name == "__version__":
            return import_module("importlib.metadata").version("cc-notebook")
        raise AttributeError(
            f"cc_notebook: no {name!r} here; only params() and progress() work where the package is not installed"
        )
