"""What a log says: `# cloudmesh status=… progress=… key=value` lines, and a tool's own lines by a pattern.

Text in, values out; reading the log in bounded pieces is the host's affair.
"""

import json
import re
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import lru_cache

MARK = b"# cloudmesh "
MAX_LINE = 4096
MAX_KEYS = 1000
MAX_DEPTH = 50  # of a value; what is nested deeper stays text
_RESERVED = ("status", "progress", "pid", "step")


@dataclass(frozen=True, slots=True)
class Report:
    """The last progress (0-100, None if none was reported) and the last value of each output key.

    Of a notebook also `step`, the last executed cell as `7/36`, and `error`, see notebook.py.
    """

    progress: int | None = None
    outputs: dict[str, object] = field(default_factory=dict)
    step: str = ""
    error: dict[str, object] = field(default_factory=dict)
    add: str = ""  # YAML of jobs that are to join the run, from the file `add.yaml` in the attempt's folder


def value(text: str) -> object:
    """The value of `key=text`: JSON if it is JSON that can be written again, else the text itself."""
    depth = 0
    for letter in text:
        depth += (letter in "[{") - (letter in "]}")
        if depth > MAX_DEPTH:
            return text
    try:
        found = json.loads(text)
        json.dumps(found, allow_nan=False, ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        return text
    return found


def percent(text: str) -> int | None:
    """A progress of 0-100 from text; values outside are clipped, anything that is no number is None."""
    try:
        return max(0, min(100, int(float(text))))
    except (ValueError, OverflowError):
        return None


def report(lines: Iterable[str], pattern: str | None = None) -> Report:
    """Read protocol lines, and those that match `pattern`; without one also bare `key=value` lines, as in `outputs`."""
    progress: int | None = None
    outputs: dict[str, object] = {}
    step = ""
    matcher = compiled(pattern) if pattern else None
    for line in lines:
        if matcher and not line.startswith(MARK.decode()):
            found = match.groupdict() if (match := matcher.search(line)) else {}
            if found and float(found.get("total") or 100):
                progress = percent(str(100 * float(found["n"]) / float(found.get("total") or 100)))
            continue
        for word in line.removeprefix(MARK.decode()).split():
            key, equals, text = word.partition("=")
            if key == "progress":
                progress = percent(text) if percent(text) is not None else progress
            elif key == "step":
                step = text[:20]
            elif equals and key.isidentifier() and key not in _RESERVED and (key in outputs or len(outputs) < MAX_KEYS):
                outputs[key] = value(text)
    return Report(progress, outputs, step)


def failure(text: str) -> dict[str, object]:
    """The known fields of a notebook's `error.json`; empty if it is none."""
    known = {"cell": int, "cells": int, "name": str, "message": str, "source": str, "traceback": str}
    with suppress(ValueError, RecursionError, AttributeError):
        told = {key: item for key, item in json.loads(text).items() if isinstance(item, known.get(key, ()))}
        whole = json.dumps(told, ensure_ascii=False).encode(errors="replace")  # without lone surrogates
        return dict(json.loads(whole))
    return {}


@lru_cache(maxsize=256)
def compiled(pattern: str) -> re.Pattern[str]:
    """`"Epoch {n}/{total}"` as a regular expression; `{n}` and `{total}` are numbers, the rest is literal."""
    parts = re.split(r"\{(n|total)\}", pattern)
    number = r"(?P<%s>\d{1,12}(?:\.\d{1,6})?)"
    return re.compile("".join(number % part if index % 2 else re.escape(part) for index, part in enumerate(parts)))


def pick(chunk: bytes, pattern: str | None = None) -> tuple[list[str], int]:
    """The lines of `chunk` that report something, and how many bytes are used up (an unfinished line is not).

    A line is looked at up to its first 4096 bytes, so a line of any length needs no more memory than the chunk.
    """
    used = chunk.rfind(b"\n") + 1
    if not used:
        return [], 0 if len(chunk) < MAX_LINE else len(chunk) - 1  # one byte stays, so the rest begins no line
    if not pattern and MARK not in chunk:
        return [], used
    matcher = compiled(pattern) if pattern else None
    found = []
    for raw in chunk[:used].split(b"\n"):
        whole = raw if len(raw) <= MAX_LINE else raw[:MAX_LINE].rpartition(b" ")[0]  # no word that was cut
        line = whole.decode(errors="replace")
        if raw.startswith(MARK) or (matcher and matcher.search(line)):
            found.append(line)
    return found, used
