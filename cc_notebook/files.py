"""Workflow files on this computer: read whole, found from a folder, told by a short path."""

import os
import socket
from pathlib import Path

from cc_notebook import model, spec, yamltext
from cc_notebook.errors import InputError, nearest


def place(folder: Path) -> spec.Place:
    """What the spec may know of this computer."""
    names = {socket.gethostname(), socket.gethostname().partition(".")[0]}

    def exists(name: str) -> bool:
        return os.path.isfile(folder / os.path.expanduser(name))

    return spec.Place(exists, spec.HERE | names, lambda name: read_file(folder / name))


def read_file(path: Path) -> bytes:
    """A workflow file's bytes. Raises InputError if it cannot be read."""
    try:
        with open(os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK), "rb") as file:  # nothing of a FIFO
            return file.read(yamltext.MAX_BYTES + 1)
    except OSError as error:
        near = [shown(found) for found in sorted((path if os.path.isdir(path) else path.parent).glob("[!.]*.y*ml"))[:5]]
        hint = f"there is {', '.join(near)}" if near else "name a workflow file (.yaml)"
        raise InputError(f"{shown(path)} cannot be read: {error.strerror}; {hint}") from None


def template(name: str) -> dict[str, str]:
    """The files with which a workflow can begin, by their names; the workflow's own by "". Raises InputError."""
    folder = Path(__file__).with_name("templates")
    nearest(name, sorted(path.name for path in folder.iterdir()), "there is no template")
    found = [path for path in sorted((folder / name).iterdir()) if path.is_file()]
    return {"" if path.suffix == ".yaml" else path.name: path.read_text(encoding="utf-8") for path in found}


def shown(path: Path) -> str:
    """A path as short as it can be told: relative if it is below the current folder."""
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)


def named(flow: model.Workflow, folder: Path, below: str = "") -> dict[str, bytes]:
    """The files below the folder that a workflow names, and those that its sub-workflows name, by their paths."""
    names = [name for job in flow.jobs.values() for name in (job.script, job.workflow, *job.files.in_) if name]
    paths = [path for name in names if (path := (folder / below / name).resolve()).is_file()]
    found = {str(path.relative_to(folder)): path.read_bytes() for path in paths if path.is_relative_to(folder)}
    for name, sub in flow.subs.items():
        found |= named(sub, folder, str(Path(below, name).parent))
    return found
