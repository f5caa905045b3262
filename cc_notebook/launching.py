"""From a job to what a host starts: the script as it is now, rendered values, the attempt's small files."""

import hashlib
import importlib
import os
import stat
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import lru_cache
from pathlib import Path

from cc_notebook import control, hosts, loops, payload, references
from cc_notebook.errors import InputError
from cc_notebook.growth import Item, Scope
from cc_notebook.hosts.base import Launch
from cc_notebook.model import Job, RunSpec
from cc_notebook.spec import SUFFIXES
from cc_notebook.state import RunState

LARGE = 64 << 20  # bytes of an input file that is known by its size and time alone
Scheduler = Callable[[Sequence[str], Sequence[str], int], Sequence[str]]


def prepare(spec: RunSpec, state: RunState, name: str, number: int) -> Launch:
    """The n-th attempt of a job. Raises InputError for a missing script, value or file."""
    job, (scope, outputs, before) = state.flow.jobs[name], _before(state, name)
    host, folder, own = hosts.settings(spec.workflow, job), spec.folder, job.kind == "local"
    job, local = job.model_copy(update={"venv": job.venv or host.venv}), own or host.shared
    try:
        shebang, digest = _script(os.path.join(folder, job.script)) if job.script else ("", _digest(job.exec or ""))
    except OSError as error:
        raise InputError(f"the script '{job.script}' cannot be read: {error.strerror}") from None
    if job.script and not job.script.endswith(SUFFIXES):
        raise InputError(f"job '{job.name}': '{job.script}' is no {', '.join(SUFFIXES)} file")
    venv_is_folder = not job.venv or "/" in job.venv or os.path.isdir(os.path.join(folder, job.venv))
    if local and job.venv and venv_is_folder and not os.path.isdir(os.path.join(folder, os.path.expanduser(job.venv))):
        raise InputError(f"job '{job.name}': the venv '{job.venv}' is not there")
    around = payload.Surroundings(
        run=spec.run,
        folder=folder if local else "",
        results=hosts.results(spec) if local else "",
        python=spec.python if own else host.python,
        setup=host.setup,
        shebang=shebang,
        venv_is_folder=venv_is_folder,
        values=payload.values_of(job, scope, outputs),
    )
    attempt = payload.attempt_of(job, spec.run, number)
    note = {"token": attempt.token, "script": digest, "outputs": outputs, "item": scope.item}
    needed = [name for name in (job.script, *job.files.in_) if name and (job.isolated or not local)]
    travelling = [*needed, *job.files.out]
    if outside := next((name for name in travelling if name.startswith(("/", "~")) or ".." in Path(name).parts), None):
        raise InputError(f"'{outside}' lies outside of the workflow's folder: it cannot travel to the job's own")
    brought = hosts.results(spec)  # by an earlier job of this run, from where it ran
    came = {name for name in job.files.in_ if os.path.isfile(f"{brought}/{name}")}
    inputs = {os.path.join(brought if name in came else folder, name): name for name in needed}
    if missing := next((path for path in inputs if "\0" in path or not os.path.isfile(path)), None):
        raise InputError(f"job '{job.name}' needs the file {missing!r}, which is not there")
    facts = {"script": digest, **payload.facts(job, around, scope.item), **_contents(folder, job, scope.item)}
    facts["jobs before"] = before
    return Launch(attempt, payload.files(job, attempt, around, {**note, "facts": facts}), inputs, facts)


def _before(state: RunState, name: str) -> tuple[Scope, dict[str, Mapping[str, object]], list[str]]:
    """What is to know of the jobs before one: its scope, their outputs, and how they ended."""
    flow, known = state.flow, loops.Outputs(state.flow, state.jobs, name)
    scope = flow.scope(name)
    outputs = {other: known[other] for other in references.named(flow.jobs[name]) if known.get(other)}
    told = ((other, mark, "skipped" * (state.jobs[other].state == "skipped")) for other, mark in flow.before(name))
    return scope, outputs, [" ".join(filter(None, words)) for words in told]


def _contents(folder: str, job: Job, item: Item) -> dict[str, str]:
    """The declared input files, and those that a loop's values name, by content, as facts."""
    found = {}
    for name in (*job.files.in_, *(value for value in item.values() if isinstance(value, str) and value)):
        path = os.path.join(folder, name)
        with suppress(OSError, ValueError):  # ValueError: a zero byte, so it is no path
            seen = os.stat(path)
            if stat.S_ISREG(seen.st_mode):
                large = seen.st_size > LARGE  # hashed, it would stand in the way of every other job
                about = f"{seen.st_size} bytes of {seen.st_mtime_ns}"
                found[f"file {name}"] = about if large else _file_digest(path, seen.st_size, seen.st_mtime_ns)
    return found


@lru_cache(maxsize=1000)
def _file_digest(path: str, size: int, changed: int) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:16]


def _script(path: str) -> tuple[str, str]:
    """Interpreter line (without `#!`) and hash."""
    if not stat.S_ISREG(os.stat(path).st_mode):
        raise InputError(f"the script {path} is no ordinary file")
    data = Path(path).read_bytes()
    first = data.split(b"\n", 1)[0].decode(errors="replace").strip()
    return first[2:].strip() if first.startswith("#!") else "", _digest(data)


def glob(top: str) -> Callable[[str, str], list[str]]:
    """Finds the files that a pattern names in a folder below `top`, for `foreach`: sorted, relative to `top`.

    What runs have left in their `…-runs` folders is not found.
    """

    def find(folder: str, pattern: str) -> list[str]:
        if pattern.startswith(("/", "~")) or ".." in Path(pattern).parts:
            raise InputError(f"the file pattern '{pattern}' leaves the workflow's folder")
        try:
            paths = [path.relative_to(top) for path in Path(top, folder).glob(pattern)]
        except (ValueError, OSError, NotImplementedError, RecursionError) as error:
            raise InputError(f"the file pattern '{pattern}' cannot be used: {error}") from None
        names = sorted(path.as_posix() for path in paths if not path.parts[0].endswith("-runs"))
        if odd := next((name for name in names if not name.isprintable()), None):
            raise InputError(f"the file pattern '{pattern}' finds {odd!r}, a name that no job can have: rename it")
        return names

    return find


def scheduler(name: str, folder: str) -> Scheduler:
    """A shipped scheduler, or `module:function` with the module beside the workflow file. Raises InputError."""
    if name in ("parallel", "topological"):
        return control.parallel if name == "parallel" else control.topological
    module, _, function = name.partition(":")
    if os.path.exists(os.path.join(folder, f"{module}.py")):
        sys.modules.pop(module, None)  # as it is now, and not another workflow's module of that name
        importlib.invalidate_caches()
    sys.path.insert(0, folder)
    try:
        found: Scheduler = getattr(importlib.import_module(module), function)
    except (ImportError, AttributeError, ValueError, SyntaxError) as error:
        raise InputError(f"the scheduler '{name}' cannot be loaded from {folder}: {error}") from None
    finally:
        sys.path.remove(folder)

    def choose(runnable: Sequence[str], running: Sequence[str], free: int) -> Sequence[str]:
        try:
            return [name for name in dict.fromkeys(found(runnable, running, free)) if name in runnable]
        except Exception as error:  # the user's own code may raise anything
            raise InputError(f"the scheduler '{name}' failed: {type(error).__name__}: {error}") from error

    return choose


def _digest(data: str | bytes) -> str:
    return hashlib.sha256(data.encode() if isinstance(data, str) else data).hexdigest()[:16]
