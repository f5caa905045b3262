"""The least that runs the same jobs with the same promise: fresh attempt folder, detached wrapper, journal line.

    python bare_loop.py MODEL FOLDER JOBS PARALLEL

MODEL is the attempt folder of a finished job: its `job.sh` and its run's `wrapper.sh` are used as they are, so each of
the JOBS attempts executes exactly what the engine starts. PARALLEL at a time, ends by pidfd, one fsynced line per job.
There is no graph, no state, no log reading and no choice here: what the engine takes beyond this is the price of those.
"""

from __future__ import annotations

import os
import select
import shutil
import subprocess
import sys
from pathlib import Path


def write(path: Path, text: str) -> None:
    """Write a new file for its owner alone."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        os.write(descriptor, text.encode())
    finally:
        os.close(descriptor)


def start(folder: Path, script: str) -> subprocess.Popen[bytes]:
    """Make an attempt folder, and start its wrapper in a session of its own."""
    folder.mkdir(parents=True, mode=0o700)
    write(folder / "job.sh", script)
    write(folder / "room", "")
    with open(folder / "log", "wb") as log:
        return subprocess.Popen(
            ["sh", "job.sh"],
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )


def finish(folder: Path, child: subprocess.Popen[bytes], journal: int) -> None:
    """Check the exit record and write one synced line."""
    child.wait()
    if not (folder / "state.exit.0").exists():
        raise SystemExit(f"{folder} has no exit record: {os.listdir(folder)}")
    os.write(journal, f'{{"type":"done","job":"{folder.parent.name}"}}\n'.encode())
    os.fsync(journal)


def main(model: Path, folder: Path, jobs: int, parallel: int) -> None:
    """Run `jobs` attempts, `parallel` at a time."""
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(model.parent.parent / "wrapper.sh", folder / "wrapper.sh")
    script = (model / "job.sh").read_text(encoding="utf-8")
    journal = os.open(folder / "events.jsonl", os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    alive: dict[int, tuple[Path, subprocess.Popen[bytes]]] = {}
    waiting = [folder / f"j{number}" / "1" for number in reversed(range(jobs))]
    while waiting or alive:
        while waiting and len(alive) < parallel:
            attempt = waiting.pop()
            child = start(attempt, script)
            alive[os.pidfd_open(child.pid)] = attempt, child
        for ended in select.select(list(alive), [], [])[0]:
            finish(*alive.pop(ended), journal)
            os.close(ended)


if __name__ == "__main__":
    main(Path(sys.argv[1]).absolute(), Path(sys.argv[2]).absolute(), int(sys.argv[3]), int(sys.argv[4]))
