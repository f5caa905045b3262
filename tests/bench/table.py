"""The table: rows to Markdown, what was measured with what, and its place in a document."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

from tools import BenchError, text_of

BEGIN, END = "<!-- bench:begin -->", "<!-- bench:end -->"
HEAD = ("work", "ours", "peer or limit", "ratio", "to reach", "reached")


@dataclass(frozen=True)
class Row:
    """One comparison: the ratio of each round, reached if their median is at most `target` (None: only shown)."""

    work: str
    ours: str
    other: str
    ratios: Sequence[float]
    target: float | None
    reach: str

    def cells(self) -> tuple[str, ...]:
        """The row's texts."""
        ratio, low, high = median(self.ratios), min(self.ratios), max(self.ratios)
        spread = f" ({low:.2f}–{high:.2f})" * (len(self.ratios) > 1)
        reached = "–" if self.target is None else "yes" if ratio <= self.target else "no"
        if self.target is not None and (low <= self.target) != (high <= self.target):
            reached += " (not in every round)" if reached == "yes" else " (but in some rounds)"
        return self.work, self.ours, self.other, f"{ratio:.2f}{spread}", self.reach, reached


def limit(work: str, value: float, most: float, unit: str, digits: int) -> Row:
    """A row that is held against a fixed limit."""
    return Row(work, f"{value:.{digits}f} {unit}", f"limit {most:g} {unit}", [value / most], 1.0, f"≤ {most:g} {unit}")


def markdown(rows: Sequence[Row], about: str) -> str:
    """The whole text between the markers."""
    lines = [HEAD, ("---", "---:", "---:", "---:", "---:", "---"), *(row.cells() for row in rows)]
    return about + "\n\n" + "\n".join("| " + " | ".join(cells) + " |" for cells in lines) + "\n"


def about(package: Path, versions: Mapping[str, str], rounds: int, quick: bool, load: float) -> str:
    """What was measured, with what and when; nothing in it is typed by hand."""
    with_versions = ", ".join(f"{name} {version}" for name, version in versions.items())
    small = " **A quick run with small counts: it tries the benchmark, its targets are for the full one.**" * quick
    return (
        f"Measured {datetime.now(UTC):%Y-%m-%d %H:%M} UTC at commit {_commit(package)} on {os.cpu_count()} processors "
        f"(load {load:.1f} at the start; ten million additions in a Python loop took {_pace():.2f} s at the end) with "
        f"{with_versions}. Every tool runs the same job script, two at a time; "
        f"times are medians of {rounds} rounds, in each of which every tool had one turn; a ratio is the median of the "
        f"rounds' own ratios (with the lowest and the highest).{small}"
    )


def _pace() -> float:
    """How fast the machine was meanwhile: where it is shared, times in seconds can be compared by this only."""
    begin, total = time.perf_counter(), 0
    for number in range(10**7):
        total += number
    return time.perf_counter() - begin


def _commit(package: Path) -> str:
    try:
        commit = text_of(["git", "rev-parse", "--short", "HEAD"], package)
        changed = text_of(["git", "--no-optional-locks", "status", "--porcelain", "."], package)
    except BenchError:
        return "unknown"
    return commit + " with uncommitted changes" * bool(changed)


def put(text: str, file: Path) -> None:
    """Replace what stands between the markers of a document; raises BenchError if it has none."""
    old = file.read_text(encoding="utf-8")
    before, begin, rest = old.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise BenchError(f"{file} lacks {BEGIN} or {END}")
    file.write_text(f"{before}{begin}\n{text}{end}{after}", encoding="utf-8")
