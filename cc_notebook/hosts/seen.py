"""When each host of a run last answered: the time of a file, since no event tells it. It outlives the engine."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote, unquote

from cc_notebook.freshness import Reach

FOLDER = "seen"  # of a run


def heard(run: Path | None, host: str) -> None:
    """A host has answered now."""
    with suppress(OSError):  # a full disk
        if run:
            Path(run, FOLDER).mkdir(mode=0o700, exist_ok=True)  # not there in a run of an earlier version
            Path(run, FOLDER, quote(host, safe="")).touch(0o600)


def last(run: Path, host: str) -> str:
    """When a host last answered; empty: never."""
    return answers(run, {}).get(host, Reach()).seen


def answers(run: Path, known: Mapping[str, Reach]) -> dict[str, Reach]:
    """What the events say of each host, and when it last answered."""
    found = dict(known)
    for file in (run / FOLDER).glob("*"):
        with suppress(OSError):  # it goes with its run, or may not be looked at
            host, at = unquote(file.name), datetime.fromtimestamp(file.stat().st_mtime, UTC).isoformat()
            found[host] = replace(found.get(host, Reach()), seen=at)
    return found
