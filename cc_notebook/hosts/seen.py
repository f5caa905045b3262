"""When each host of a run last answered: the time of a file, since no event tells it. It outlives the engine."""

import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from cc_notebook.freshness import Reach
from cc_notebook.hosts.base import job_folder
from cc_notebook.hosts.folder import write

FOLDER = "seen"  # of a run


def heard(run: Path | None, host: str) -> None:
    """A host has answered now."""
    with suppress(OSError):  # a full disk
        if run and not (file := run / FOLDER / job_folder(host)).exists():
            write(file, host)
        elif run:
            os.utime(file)


def last(run: Path, host: str) -> str:
    """When a host last answered; empty: never."""
    return answers(run, {}).get(host, Reach()).seen


def answers(run: Path, known: Mapping[str, Reach]) -> dict[str, Reach]:
    """What the events say of each host, and when it last answered."""
    found = dict(known)
    for file in (run / FOLDER).glob("*"):
        with suppress(OSError):  # it goes with its run, or may not be looked at
            at = datetime.fromtimestamp(file.stat().st_mtime, UTC).isoformat()
            if host := file.read_text(encoding="utf-8"):  # else it is being made
                found[host] = replace(found.get(host, Reach()), seen=at)
    return found
