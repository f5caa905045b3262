"""Files between this computer and another: declared inputs go there, declared outputs and executed notebooks come back.

A file is whole or not there: it arrives under another name, its hash is compared, then it gets its own.
"""

import hashlib
import os
import re
import shlex
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path, PurePosixPath

from cc_notebook.errors import InputError, UnavailableError
from cc_notebook.hosts.base import Attempt, shown_name
from cc_notebook.hosts.transport import Transport


class Cut(UnavailableError):
    """A file did not arrive as it left."""

    def __init__(self, path: str) -> None:
        super().__init__(f"{path} could not be brought whole")


HASH = "{ sha256sum 2> /dev/null || shasum -a 256; }"  # of the standard input, on Linux and on macOS
TIMEOUT = 30.0  # seconds for an answer
LONG = 3600.0  # seconds for a file


def bring(line: Transport, run_dir: str, attempt: Attempt, results: Path) -> None:
    """Bring an attempt's results home. Raises UnavailableError for the line, InputError for a file that is not there.

    `run_dir` is sh for the run's folder there; nothing that is there already, as it is, is sent again.
    """
    folder = f"{run_dir}/{shlex.quote(attempt.folder)}"
    if attempt.notebook:
        with suppress(InputError):  # it did not come so far
            _fetch(line, f"{folder}/notebook.ipynb", results / f"{shown_name(attempt.job)}.ipynb")
    work = f"{folder}/files" if attempt.isolated else f"{run_dir}/files"
    for name in _expand(line, work, attempt.out):
        _fetch(line, f"{work}/{shlex.quote(name)}", results / name)


def send(line: Transport, source: str, target: str) -> None:
    """Send a file to the path that the sh text `target` stands for."""
    told = _digest(Path(source))
    with open(source, "rb") as file:
        step = f'umask 077; mkdir -p "$(dirname {target})" && cat > {target}.part && {HASH} < {target}.part'
        seen = line.put(step, file, LONG)
    if _hash_in(seen.out) != told:
        raise UnavailableError(f"{source} did not arrive whole: {seen.err.strip()[-200:]}")
    line.run(f"mv {target}.part {target}\n", TIMEOUT)


def read(line: Transport, path: str, start: int, limit: int) -> bytes:
    """A part of a file there, empty if it is not there; a negative `start` counts from the end."""
    part = f"tail -c {-start} {path}" if start < 0 else f"tail -c +{start + 1} {path}"
    with tempfile.TemporaryFile() as file:
        line.get(f"[ ! -f {path} ] || {part} | head -c {limit}\n", file, TIMEOUT)
        file.seek(0)
        return file.read()


def _fetch(line: Transport, path: str, target: Path) -> None:
    told = line.run(f"[ -f {path} ] && {HASH} < {path} && echo whole || echo gone\n", LONG).out
    if "whole" not in told.split():
        raise InputError(f"the file {PurePosixPath(path).name} is not there") if "gone" in told else Cut(path)
    if target.is_file() and _digest(target) == _hash_in(told):
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f".{target.name}.part")
    try:
        with open(part, "wb") as file:
            line.get(f"cat {path}\n", file, LONG)
        if _digest(part) != _hash_in(told):
            raise Cut(path)
        os.replace(part, target)
    finally:
        part.unlink(missing_ok=True)


def _expand(line: Transport, folder: str, patterns: tuple[str, ...]) -> Iterator[str]:
    """The files that the patterns of `files: {out: …}` name there. Raises InputError for one without a file."""
    for pattern in patterns:
        words = "".join(part if part in "*?" else shlex.quote(part) for part in re.split(r"([*?])", pattern) if part)
        step = f'cd {folder} && for f in {words}; do [ -f "$f" ] && printf "|%s\\n" "$f"; done; echo whole\n'
        lines = line.run(step, TIMEOUT).out.split("\n")
        if "whole" not in lines:
            raise Cut(pattern)
        names = [text[1:] for text in lines if text.startswith("|")]
        if not names:
            raise InputError(f"the file {pattern} of 'files: out' is not there")
        if odd := next((name for name in names if name.startswith("/") or ".." in PurePosixPath(name).parts), None):
            raise InputError(f"'{odd}' lies outside of the job's folder: it cannot be brought")
        yield from names


def _hash_in(text: str) -> str:
    """The hash that was printed; a banner may stand before it."""
    return next(iter(re.findall(r"^[0-9a-f]{64}\b", text, re.MULTILINE)[-1:]), "")


def _digest(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
