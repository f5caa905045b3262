"""The benchmark: our system against Luigi, doit, Snakemake, make and a bare loop, as one table of ratios.

    python tests/bench/bench.py [--quick] [--output README.md] [--only fan,chain] [--cache .venv-bench]

It runs the `jupyter-cc` that is installed beside this interpreter, in a store of its own. The exit code is 0 if all
could be measured, also where a target is missed; 1 if a measurement failed or a run did not end with success.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import browser
import idle
import peers
import remote
import service
import sweeps
import table
import works
from table import Row
from tools import BenchError, Tools
from works import QUICK, Scale

ROOT = Path(__file__).resolve().parents[2]
WORKS: dict[str, Callable[[Tools, Scale], list[Row]]] = {
    "fan": works.fan,
    "chain": works.chain,
    "load": works.load,
    "layers": works.layers,
    "resume": works.resume,
    "notebooks": sweeps.notebooks,
    "showing": sweeps.showing,
    "loops": sweeps.loops,
    "service": lambda tools, scale: service.service(tools, scale.jobs, scale.idle / 2),
    "idle": lambda tools, scale: idle.idle(tools, scale.idle),
    "browser": lambda tools, scale: browser.browser(tools, scale.shown, 3 * scale.shown, scale.idle / 2, scale.rounds),
    "remote": lambda tools, scale: remote.remote(tools, scale.remote, 3 * scale.idle, scale.load // 10),
}


def arguments() -> argparse.Namespace:
    """What was asked for on the command line."""
    parser = argparse.ArgumentParser(description="Measure cc-notebook against its peers, in one run.")
    parser.add_argument("--quick", action="store_true", help="small counts: try the benchmark itself")
    parser.add_argument("--output", type=Path, metavar="FILE", help="put the table between the markers of this file")
    parser.add_argument("--only", default=",".join(WORKS), help=f"some of {', '.join(WORKS)}, with commas")
    parser.add_argument("--cache", type=Path, default=ROOT / ".venv-bench", help="the peers' environment")
    found = parser.parse_args()
    found.only = [word.strip() for word in found.only.split(",")]
    if unknown := set(found.only) - set(WORKS):
        parser.error(f"--only: {', '.join(sorted(unknown))} is none of {', '.join(WORKS)}")
    return found


def measure(tools: Tools, scale: Scale, chosen: list[str]) -> tuple[list[Row], list[str]]:
    """The rows of the chosen measurements, and the names of those that failed."""
    rows: list[Row] = []
    failed = []
    for name in chosen:
        print(f"{name}:", file=sys.stderr, flush=True)
        try:
            rows += WORKS[name](tools, scale)
        except (BenchError, OSError, ValueError) as error:
            print(f"{name} failed: {error}", file=sys.stderr, flush=True)
            failed.append(name)
    return rows, failed


def main() -> int:
    """Measure, print the table, put it into a document."""
    asked = arguments()
    load = os.getloadavg()[0]
    scale = QUICK if asked.quick else Scale()
    try:
        python = peers.peer_python(asked.cache.absolute())
        with tempfile.TemporaryDirectory(prefix="cc-bench-", ignore_cleanup_errors=True) as work:
            tools, before = Tools(python, Path(work)), peers.fingerprint()
            rows, failed = measure(tools, scale, asked.only)
            text = table.markdown(
                rows, table.about(peers.package(), peers.versions(tools), scale.rounds, asked.quick, load)
            )
            if peers.fingerprint() != before:
                failed.append("the code changed while it was measured")
        print(text)
        if failed:
            print(f"not valid: {', '.join(failed)}", file=sys.stderr)
        if asked.output and not failed:
            table.put(text, asked.output)
    except (BenchError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
