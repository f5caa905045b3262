"""What the store keeps of a workflow file, and how it goes again: ended runs, what was left over, the file's entry.

It takes nothing that this program did not make, follows no link, and hides a folder before it empties it: a kill in the
middle leaves nothing that is half there.
"""

import os
import shutil
import time
from contextlib import suppress
from pathlib import Path

from cc_notebook import hosts, store
from cc_notebook.errors import InputError, ResourceError, UnavailableError
from cc_notebook.runs import Run, all_runs

LEFT_OVER = 3600  # seconds after which nobody works on a hidden folder any more


def why_not(run: Run) -> str:
    """Why a run must stay; empty if it can go."""
    if run.folder.is_symlink():
        return f"{run.folder} is a link and no run of this store: remove it by hand"
    if run.finished and not any((run.folder / "requests").glob("[!.]*")):
        return ""
    try:
        run.refresh()
    except UnavailableError as error:
        return str(error)
    return f"run {run.id} has not ended: jupyter cc cancel {run.id}"


def size(run: Run, with_results: bool) -> int:
    """The bytes of all files that would go."""
    tops = [run.folder, *_results(run)] if with_results else [run.folder]
    return sum(os.lstat(f"{path}/{name}").st_size for top in tops for path, _, names in os.walk(top) for name in names)


def age(run: Run) -> float:
    """The days since the last event."""
    return (time.time() - (run.folder / "events.jsonl").stat().st_mtime) / 86400


def files_of(run: Run) -> dict[str, Path]:
    """The files of a run by their names for an archive: workflow, journal, newest logs, results. No other link."""
    found = {"events.jsonl": run.folder / "events.jsonl", f"{run.spec.workflow.name}.yaml": Path(run.spec.path)}
    for path in (path for top in _results(run) for path in top.rglob("*")):
        if not path.is_symlink() or path.resolve().is_relative_to(run.folder.resolve()):
            found[path.relative_to(hosts.results(run.spec)).as_posix()] = path
    return {name: path for name, path in found.items() if path.is_file()}


def left_over() -> list[Path]:
    """Hidden folders that a kill left of a run or an upload, and entries of the register whose file is gone."""
    tops = (store.home() / "runs", store.home() / "workflows")
    hidden = [path for top in tops for path in top.glob(".*") if path.is_dir() and not path.is_symlink()]
    gone = [entry for entry, (_, path) in store.entries().items() if not path.exists()]
    return [path for path in hidden if time.time() - path.stat().st_mtime > LEFT_OVER] + gone


def remove(run: Run, with_results: bool = False) -> None:
    """Remove an ended run; beside its workflow only the links to its logs, unless `with_results`. Raises InputError."""
    if why := why_not(run):
        raise InputError(why)
    for beside in _results(run):
        links = [link for link in beside.glob("*.log") if link.is_symlink()]
        for link in links:
            if Path(os.readlink(link)).is_relative_to(run.folder):
                link.unlink()
        if with_results:
            discard(beside)
        for empty in (beside, beside.parent):
            with suppress(OSError):
                empty.rmdir()
    discard(run.folder)


def belongs(run: Run, path: Path, saved: bool = True) -> bool:
    """Is it of the workflow in this file, also before it was `saved` there? Not if it cannot be read."""
    with suppress(UnavailableError):
        known = (path.stem, str(path) if saved else "")
        return run.spec.folder == str(path.parent) and (run.spec.path or run.spec.workflow.name) in known
    return False


def forget(path: Path, saved: bool = True) -> int:
    """Remove what the store has of a workflow file, see `Workflow.remove_workflow`; how many runs went.

    If it was never `saved`, the path is where it would be, and a file there is another's.
    """
    found = [run for run in reversed(all_runs(path.stem)) if belongs(run, path, saved)]
    if whys := [why for run in found if (why := why_not(run))]:
        raise InputError("\n".join(whys))
    for run in found:
        remove(run)
    if saved and path == store.own_file(path.stem) and path.parent.exists() and not path.parent.is_symlink():
        discard(path.parent)
    for entry in (entry for entry, (_, known) in store.entries().items() if saved and known == path):
        discard(entry)
    return len(found)


def discard(path: Path) -> None:
    """Remove a file, or a folder whole. Raises ResourceError if that is refused."""
    hidden = path.with_name(f".{path.name.lstrip('.')}")
    try:
        if path != hidden:
            shutil.rmtree(hidden, ignore_errors=True)
            store.rename(path, hidden)
        shutil.rmtree(hidden) if hidden.is_dir() else hidden.unlink()
    except OSError as error:
        raise ResourceError(f"{path} cannot be removed: {error.strerror}") from error


def _results(run: Run) -> list[Path]:
    """The run's own folder beside its workflow file; none if a link stands in its place."""
    with suppress(UnavailableError):
        folder = Path(hosts.results(run.spec))
        return [folder] if folder.is_dir() and not (folder.is_symlink() or folder.parent.is_symlink()) else []
    return []
