"""Files between this computer and another: declared inputs go there, declared outputs and executed notebooks return.

A file is whole or not there: it arrives in pieces under another name, its hash is compared, then it gets its own. What
a cut left is gone on with; between two pieces somebody may stop it.
"""

import hashlib
import os
import re
import shlex
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path, PurePosixPath

from cc_notebook.errors import CCError, InputError, UnavailableError
from cc_notebook.hosts.base import Attempt, shown_name
from cc_notebook.hosts.script import HASH, staged
from cc_notebook.hosts.transport import Transport

Wanted = Callable[[], bool]  # False: the attempt was cancelled, nobody wants its files


class Cut(UnavailableError):
    """A file did not arrive as it left."""

    def __init__(self, path: str, why: str = "") -> None:
        super().__init__(f"{path} could not be brought whole{': ' * bool(why)}{why.strip()[-200:]}")


class Stopped(CCError):
    """Nobody wants the file any more."""


NO_HASH = "there is no sha256sum, shasum or openssl on the host: install one of them"
BEGIN = b"\ncc-data\n"  # before it stands what a profile prints
PIECE = 8 << 20  # bytes
TIMEOUT = 30.0  # seconds for an answer
SLOW = 300.0  # seconds for a piece
LONG = 3600.0  # seconds for the hash or a copy of a large file


def bring(line: Transport, run_dir: str, attempt: Attempt, results: Path, wanted: Wanted = lambda: True) -> None:
    """Bring an attempt's results home. Raises UnavailableError for the line, InputError for a file that is not there.

    `run_dir` is sh for the run's folder there; nothing that is there already, as it is, is sent again.
    """
    folder = f"{run_dir}/{shlex.quote(attempt.folder)}"
    if attempt.notebook:
        with suppress(InputError):  # it did not come so far
            _fetch(line, f"{folder}/notebook.ipynb", results / f"{shown_name(attempt.job)}.ipynb", wanted)
    work = f"{folder}/files" if attempt.isolated else f"{run_dir}/files"
    for name in _expand(line, work, attempt.out):
        _fetch(line, f"{work}/{shlex.quote(name)}", results / name, wanted)


def stage(line: Transport, run_dir: str, attempt: Attempt, files: Mapping[str, str], wanted: Wanted) -> None:
    """Put files, sources by name, where the start of an attempt finds them; what was sent once is copied there."""
    for name, source in files.items():
        digest = _digest(Path(source))
        store, target = f"{run_dir}/inputs/{digest}", f"{run_dir}/{staged(attempt, name)}"
        step = f"umask 077; mkdir -p {run_dir}/inputs; [ -f {store} ] && echo cc-whole; "
        step += f'true >> {store}.part && echo "cc-at "'
        told = line.run(f"{step}$(wc -c < {store}.part)\n", TIMEOUT)
        if "cc-whole" not in told.out.split("\n"):
            _send(line, source, f"{store}.part", _size_in(told.out, source, told.err), wanted)
        same = f"case $(cc_hash < {store}.part) in none*) echo cc-none;; {digest}*) mv {store}.part {store};; esac"
        cp = f'mkdir -p "$(dirname {target})" && cp {store} {target}.part && mv {target}.part {target}'
        told = line.run(f"{HASH}umask 077; [ -f {store} ] || {same}; rm -f {store}.part; {cp} && echo cc-whole\n", LONG)
        if "cc-none" in told.out.split("\n"):
            raise InputError(NO_HASH)
        if "cc-whole" not in told.out.split("\n"):
            raise Cut(source, told.err)


def read(line: Transport, path: str, start: int, limit: int) -> bytes:
    """A part of a file there, empty if it is not there; a negative `start` counts from the end."""
    part = f"tail -c {-start} {path}" if start < 0 else f"tail -c +{start + 1} {path}"
    with tempfile.TemporaryFile() as file:
        line.get(f"echo; echo cc-data; [ ! -f {path} ] || {part} | head -c {limit}\n", file, SLOW)
        file.seek(0)
        return file.read().partition(BEGIN)[2]


def _send(line: Transport, source: str, part: str, there: int, wanted: Wanted) -> None:
    """Add to the file `part` what is not `there` of it. One line of sh, for a csh may read it first."""
    with open(source, "rb") as file:
        file.seek(there)
        while data := file.read(PIECE):
            if not wanted():
                raise Stopped("cancelled")
            with tempfile.TemporaryFile() as piece:
                piece.write(data)
                piece.seek(0)
                step = f'[ "$(wc -c < {part})" -eq {there} ] && cat >> {part}; echo "cc-at "$(wc -c < {part})'
                told = line.put(step, piece, SLOW)
            there += len(data)
            if _size_in(told.out, source, told.err) != there:
                line.run(f"rm -f {part}\n", TIMEOUT)
                raise Cut(source, told.err)


def _size_in(text: str, source: str, error: str) -> int:
    found = re.findall(r"^cc-at +(\d+)$", text, re.MULTILINE)
    if not found:
        raise Cut(source, error)
    return int(found[-1])


def _fetch(line: Transport, path: str, target: Path, wanted: Wanted) -> None:
    step = f'[ -f {path} ] && echo "cc-file "$(wc -c < {path}) "$(cc_hash < {path})" || echo cc-gone\n'
    answer = line.run(HASH + step, LONG)
    told = re.search(r"^cc-file +(\d+) (none|[0-9a-f]{64})\b", answer.out, re.MULTILINE)
    if told is None:
        gone = "cc-gone" in answer.out.split("\n")
        raise InputError(f"the file {PurePosixPath(path).name} is not there") if gone else Cut(path, answer.err)
    if told[2] == "none":
        raise InputError(NO_HASH)
    if target.is_file() and _digest(target) == told[2]:
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f".{target.name}.{told[2][:8]}.part")
    with open(part, "ab") as file:
        while (at := file.tell()) < int(told[1]) and (data := read(line, path, at, PIECE)):
            file.write(data)
            if not wanted():
                raise Stopped("cancelled")
    if _digest(part) != told[2]:
        part.unlink()
        raise Cut(path)
    os.replace(part, target)


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


def _digest(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
