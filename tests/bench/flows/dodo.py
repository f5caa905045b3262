"""The benchmark's graph for doit: one task per job with a target file; `task_dep` keeps the order, as ours does.

The script is a list action (no second shell) and the target is touched in Python: the cheapest form that doit has.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

DOIT_CONFIG = {"default_tasks": ["job"]}


def touch(path: str) -> None:
    """Make the target file."""
    Path(path).touch()


def task_job() -> Iterator[dict[str, Any]]:
    """One sub-task per job."""
    for name, parents in json.loads(Path("graph.json").read_text(encoding="utf-8")).items():
        target = f"out/{name}"
        yield {
            "name": name,
            "actions": [["sh", "t.sh"], (touch, [target])],
            "file_dep": ["t.sh"],
            "targets": [target],
            "task_dep": [f"job:{parent}" for parent in parents],
        }
