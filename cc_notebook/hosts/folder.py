"""An attempt's folder on this machine: make it whole, read its log in bounded pieces, read the outputs at the end."""

import os
import shutil
from collections.abc import Container
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from cc_notebook import protocol
from cc_notebook.hosts.base import Folder, Launch, read_folder, shown_name

PACKAGE = Path(__file__).parent.parent
COPIED = {
    "stub/cc_notebook.py": "report.py",
    "stub/cloudmesh/common/StopWatch.py": "figure6.py",
    "stub/cloudmesh/common/Shell.py": "figure6.py",
    "notebook.py": "notebook.py",
    "warm.py": "warm.py",
    "gateway.py": "gateway.py",
    "wrapper.sh": "hosts/wrapper.sh",
}
CHUNK = 1 << 20  # bytes of one read of a log
BUDGET = 8 << 20  # bytes of one log read per look
TOLD = ("outputs", "error.json", "add.yaml")  # what an attempt leaves for its end, beside the log
MAX_LINES = 10_000  # lines of one look that are looked at


def copied() -> dict[str, str]:
    """What stands beside every run, wherever it runs: texts by name."""
    return {name: (PACKAGE / source).read_text(encoding="utf-8") for name, source in COPIED.items()}


def make(folder: str, launch: Launch) -> None:
    """Make the attempt's folder under another name, then rename it: it is whole or not there, and made only once.

    Made again, it could lose the claim of a wrapper that has just taken it. `room` is what the wrapper renames to its
    record where the disk has no room for a new file.
    """
    part = f"{folder}.part"
    try:
        os.mkdir(os.path.dirname(folder), 0o700)
    except FileExistsError:  # of an earlier attempt, or of an engine that was killed in the middle of this one
        if os.path.exists(folder):
            return
        shutil.rmtree(part, ignore_errors=True)
    os.mkdir(part, 0o700)
    for name, text in {**launch.files, "room": ""}.items():
        write(f"{part}/{name}", text)
    for source, name in launch.inputs.items():
        target = f"{part}/files/{name}"
        os.makedirs(os.path.dirname(target), mode=0o700, exist_ok=True)
        shutil.copy2(source, target)
    os.rename(part, folder)


def write(path: Path | str, text: str, sync: bool = False) -> None:
    """Write a file for its owner alone; a link in its place is not followed."""
    descriptor = private(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC)
    try:
        data = text.encode()
        while data:
            data = data[os.write(descriptor, data) :]
        if sync:
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


def private(path: Path | str, flags: int) -> int:
    """Open a file that is or will be for its owner alone; a link in its place is not followed."""
    return os.open(path, flags | os.O_NOFOLLOW, 0o600)


def take_claim(folder: str) -> bool:
    """After this nobody else can run the attempt; False if somebody does already. Raises OSError on a full disk."""
    with suppress(FileExistsError, FileNotFoundError):
        descriptor = private(f"{folder}/claim", os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC)
        os.write(descriptor, b"engine\n")
        os.close(descriptor)
        return True
    return False


def look(folder: str) -> Folder:
    """What the folder says now. Raises FileNotFoundError if it is gone."""
    names = os.listdir(folder)
    return read_folder(names, _text(f"{folder}/claim") if "claim" in names else None)


def begun(folder: str, results: Path | None, name: str) -> bool:
    """True if the link to the attempt's log is there and its folder is not: that went with its store, see attach."""
    told = os.path.realpath(f"{results}/{shown_name(name)}.log")  # the store may be at another place now
    return Path(told).parts[-4:] == Path(folder, "log").parts[-4:] and not os.path.exists(folder)


def show_log(log: str, results: Path | None, name: str) -> None:
    """Link the log beside the workflow file, where JupyterLab can open it; no reason to fail where that cannot be."""
    with suppress(OSError):
        if results:
            results.mkdir(parents=True, exist_ok=True)
            link = results / f"{shown_name(name)}.log"
            link.unlink(missing_ok=True)  # of an earlier attempt
            link.symlink_to(log)


def piece(log: Path, start: int, limit: int) -> bytes:
    """Up to `limit` bytes of a log from byte `start`, from the end if that is negative; none where there is no log."""
    with suppress(FileNotFoundError), open(log, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        file.seek(max(0, size + start) if start < 0 else min(start, size))
        return file.read(limit)
    return b""


def _never_waiting(path: str, flags: int) -> int:
    """Open for reading; a FIFO that a job put in the place of a file must not stop the engine."""
    return os.open(path, flags | os.O_NONBLOCK)


def _text(path: str) -> str:
    """A small file's text, empty where there is none."""
    with suppress(OSError), open(path, "rb", buffering=0, opener=_never_waiting) as file:
        return (file.read(CHUNK) or b"").decode(errors="replace")
    return ""


class Log:
    """A log that grows: each call to `news` reads on from where the last one stopped."""

    def __init__(self, folder: str, pattern: str | None) -> None:
        self.path, self.folder, self.pattern = f"{folder}/log", folder, pattern
        self._offset = 0

    def news(self) -> protocol.Report | None:
        """What was reported since the last call, from at most 8 MB of it; None if the log did not grow."""
        lines: list[str] = []
        before = self._offset
        with suppress(OSError):
            if (size := os.stat(self.path).st_size) <= before:
                return None
            with open(self.path, "rb", buffering=0, opener=_never_waiting) as log:
                while self._offset < min(size, before + BUDGET):
                    with suppress(OSError):  # a hole of a sparse file holds nothing: jump over it
                        self._offset = os.lseek(log.fileno(), self._offset, os.SEEK_DATA)
                    found, used = protocol.pick(os.pread(log.fileno(), CHUNK, self._offset), self.pattern)
                    lines = (lines + found)[-MAX_LINES:]
                    self._offset += used
                    if not used:
                        break
        return protocol.report(lines, self.pattern) if self._offset > before else None

    def final(self, names: Container[str]) -> protocol.Report:
        """The last values in a folder with these files: from the wrapper's `outputs`, from the log if that is torn."""
        last = protocol.Report()
        told = {name: _text(f"{self.folder}/{name}") if name in names else "" for name in TOLD}
        lines = told["outputs"].rstrip("\n").split("\n")
        whole = lines[-1:] == ["# end"]
        if whole:
            last = protocol.report(lines)
        while (not whole or self.pattern) and (more := self.news()) is not None:
            progressed = more.progress if more.progress is not None else last.progress
            last = protocol.Report(progressed, last.outputs | more.outputs, more.step or last.step)
        return replace(last, error=protocol.failure(told["error.json"]), add=told["add.yaml"])
