"""From a job to what a host starts: the script as it is now, rendered values, the attempt's small files."""

import hashlib
import importlib
import os
import stat
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from cc_notebook import control, hosts, payload
from cc_notebook.errors import InputError
from cc_notebook.hosts.base import Launch
from cc_notebook.model import Job, RunSpec

Scheduler = Callable[[Sequence[str], Sequence[str], int], Sequence[str]]


class Launcher:
    """Makes the launches of one run; a script's hash is read again only when the file changed."""

    def __init__(self, spec: RunSpec) -> None:
        self.spec, self.folder = spec, spec.folder
        self._scripts: dict[str, tuple[tuple[int, int], str, str]] = {}

    def prepare(self, job: Job, number: int, outputs: Mapping[str, Mapping[str, object]]) -> tuple[Launch, str]:
        """The n-th attempt of a job, and its script's hash. Raises InputError for a missing script, value or file."""
        local = job.kind == "local"
        try:
            shebang, digest = (
                self._script(os.path.join(self.folder, job.script)) if job.script else ("", _digest(job.exec or ""))
            )
        except OSError as error:
            raise InputError(f"the script '{job.script}' cannot be read: {error.strerror}") from None
        around = payload.Surroundings(
            run=self.spec.run,
            folder=self.spec.folder if local else "",
            python=self.spec.python if local else hosts.settings(self.spec, job).python,
            shebang=shebang,
            venv_is_folder="/" in (job.venv or "") or os.path.isdir(os.path.join(self.folder, job.venv or "")),
            values=payload.values_of(job, self.spec.workflow.params, outputs),
        )
        attempt = payload.attempt_of(job, self.spec.run, number)
        note = {"token": attempt.token, "script": digest, "outputs": outputs}
        needed = [name for name in (job.script, *job.files.in_) if name and (job.isolated or not local)]
        if outside := next((name for name in needed if name.startswith(("/", "~")) or ".." in Path(name).parts), None):
            raise InputError(f"'{outside}' lies outside of the workflow's folder: it cannot travel to the job's own")
        inputs = {os.path.join(self.folder, name): name for name in needed}
        if missing := next((path for path in inputs if "\0" in path or not os.path.isfile(path)), None):
            raise InputError(f"job '{job.name}' needs the file {missing!r}, which is not there")
        return Launch(attempt, payload.files(job, attempt, around, note), inputs, job.isolated), digest

    def _script(self, path: str) -> tuple[str, str]:
        """Interpreter line (without `#!`) and hash."""
        found = os.stat(path)
        if not stat.S_ISREG(found.st_mode):
            raise InputError(f"the script {path} is no ordinary file")
        stamp = (found.st_mtime_ns, found.st_size)
        if path not in self._scripts or self._scripts[path][0] != stamp:
            data = Path(path).read_bytes()
            first = data.split(b"\n", 1)[0].decode(errors="replace").strip()
            self._scripts[path] = (stamp, first[2:].strip() if first.startswith("#!") else "", _digest(data))
        return self._scripts[path][1:]


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
