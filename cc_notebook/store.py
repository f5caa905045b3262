"""The store on disk: where it is, how files are written whole, the register of workflows, requests, run ids."""

import fcntl
import json
import os
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, Self

from pydantic import BaseModel

from cc_notebook.errors import InputError, ResourceError
from cc_notebook.hosts.base import job_folder
from cc_notebook.hosts.folder import private, write

ID_TIME = 21  # characters of a run's id that tell when it was made


Ask = Literal["cancel", "pause", "resume", "retry", "mark", "add"]


class Request(BaseModel, frozen=True):
    """What somebody asks of a run, for `jobs` (empty: all): `state` for a mark by hand, YAML `text` for an `add`."""

    type: Ask
    jobs: tuple[str, ...] = ()
    state: str = ""
    text: str = ""

    @classmethod
    def read(cls, path: Path) -> Self:
        """A request from its file. Raises InputError if it is none."""
        try:
            found = cls.model_validate_json(path.read_bytes())
        except ValueError as error:
            raise InputError(f"{path.name} is no request: {str(error).splitlines()[-1].strip()}") from None
        if found.type == "mark" and not found.jobs:
            raise InputError(f"{path.name} is no request: it names no job")
        return found


def home() -> Path:
    """The store's folder: `CC_HOME`, or `cc` in Jupyter's data directory; made for its owner alone."""
    if found := os.environ.get("CC_HOME"):
        path = Path(found).expanduser().absolute()
    else:
        from jupyter_core.paths import jupyter_data_dir

        path = Path(jupyter_data_dir()) / "cc"
    try:
        for folder in (path, path / "runs", path / "register", path / "workflows"):
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise ResourceError(f"the store {path} cannot be made: {error}; set CC_HOME to a folder of yours") from None
    return path


def now() -> str:
    """The time in aware UTC, ISO 8601 with microseconds."""
    return datetime.now(UTC).isoformat()


def write_new(path: Path, text: str) -> None:
    """Write a file whole: it is old or new, also after a power cut. Raises ResourceError and leaves nothing."""
    part = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        write(part, text, sync=True)
        rename(part, path)
    except OSError as error:
        with suppress(OSError):
            part.unlink()
        raise ResourceError(f"{path} cannot be written: {error.strerror}") from error


@contextmanager
def alone(doing: str) -> Iterator[None]:
    """Nobody else who uses this store does the same meanwhile, in another process or thread; a kill ends it."""
    with open(home() / f"{doing}.lock", "ab", opener=private) as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def rename(old: Path, new: Path) -> None:
    """Give a file or folder its name so that it survives a power cut."""
    os.replace(old, new)
    descriptor = os.open(new.parent, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def variables() -> dict[str, str]:
    """What `jupyter cc set KEY=VALUE` keeps, for labels: `{cm.KEY}`."""
    with suppress(FileNotFoundError):
        found: dict[str, str] = json.loads((home() / "variables.json").read_text(encoding="utf-8"))
        return found
    return {}


def machine_id() -> str:
    """What tells this computer from others that share its home folder."""
    with suppress(OSError):
        return Path("/etc/machine-id").read_text().strip() + "@" + os.uname().nodename
    return os.uname().nodename


def new_id(name: str) -> str:
    """A fresh run id: workflow, UTC time, microseconds in hex; in the order of time for one workflow."""
    safe = re.sub(r"[^A-Za-z0-9_-]", "_", name)[:40].lstrip("-") or "workflow"
    moment = datetime.now(UTC)
    return f"{safe}-{moment:%Y%m%d-%H%M%S}-{moment.microsecond:05x}"


def register(name: str, path: Path) -> None:
    """Remember where a workflow file lives."""
    entry = home() / "register" / f"{job_folder(str(path))[-8:]}.json"
    if not entry.exists():
        write_new(entry, json.dumps({"name": name, "path": str(path)}))


def entries() -> dict[Path, tuple[str, Path]]:
    """The register: by the file of an entry, a workflow's name and where its file is, or was."""
    found = {}
    for path in sorted((home() / "register").glob("*.json")):
        with suppress(OSError, ValueError, KeyError, TypeError):  # a damaged one is as if it were not there
            entry = json.loads(path.read_text(encoding="utf-8"))
            found[path] = entry["name"], Path(entry["path"])
    return found


def registered(name: str) -> list[Path]:
    """The files of the workflows that are called `name`."""
    return [path for known, path in entries().values() if known == name and path.exists()]


def own_file(name: str) -> Path:
    """Where the file of a workflow lives that was made in the store and not in a folder of the user's."""
    return home() / "workflows" / name / f"{name}.yaml"
