"""Which run of a workflow is shown: the newest, or the one that was picked. It also takes over a file that changed."""

from datetime import UTC, datetime
from itertools import islice
from pathlib import Path

from cc_notebook import store
from cc_notebook.errors import InputError
from cc_notebook.runs import Run
from cc_notebook.workflow import Workflow

MOST = 20  # runs to choose from


class Choice:
    """The runs of one workflow; `run` is the one to be shown, None for the workflow as it is written."""

    def __init__(self, flow: Workflow) -> None:
        self.flow = flow
        self.run: Run | None = None
        self.trouble = ""  # with the file
        self._known: dict[str, Run] = {}  # by id, newest first
        self._picked = False
        self._seen: object = None
        self._shown: object = None
        self._read: object = self._file()
        if self._read and flow.filename and flow.filename.read_bytes() != flow._text:
            self._read = None  # it has changed since it was loaded

    def look(self) -> object:
        """Something that is another when there may be something new."""
        return stamp(store.home() / "runs"), stamp(self.flow.filename)

    def update(self) -> bool:
        """Take a run that is new, and what was changed in the file. True if another run is shown now."""
        before = self.run
        if (runs := stamp(store.home() / "runs")) != self._seen:
            found = {run.id: self._known.get(run.id, run) for run in islice(self.flow.runs(), MOST)}
            new = next((run for run in found.values() if run.id not in self._known), None)
            if self.run and not self.run.folder.exists():
                self.run, self._picked, new = None, False, next(iter(found.values()), None)
            if new and not self._picked and (self._seen or not new.finished or self._same(new)):
                self.run = new
            self._known, self._seen = found, runs
        self._read_again()
        return self.run is not before

    @property
    def unsaved(self) -> bool:
        """True if who runs the file, as the server does, runs another workflow than this one."""
        path = self.flow.filename
        return path is not None and (self.flow.changed or self.flow.name != path.stem)

    def touched(self) -> bool:
        """True if a cell has changed the workflow, or saved it, since this was asked last."""
        before, self._shown = self._shown, (self.unsaved, self.flow._written())
        return before != self._shown

    def pick(self, run_id: str) -> None:
        """Show this run, however many come after it; the newest is followed by those to come."""
        self.run, self._picked = self._known.get(run_id), run_id != next(iter(self._known), "")

    def start(self) -> None:
        """Start a run and show it."""
        self.run, self._picked = self.flow.run(), False

    def listed(self) -> list[tuple[str, str]]:
        """The runs by id, with the local time when each was made."""
        return [("", "as written"), *((run_id, _made(run_id)) for run_id in self._known)]

    def _file(self) -> object:
        """The file's stamp; what is shown becomes known by its name, so that the server can run and edit it."""
        path = self.flow.filename
        if path and path.exists():
            store.register(path.stem, path)
        return stamp(path)

    def _same(self, run: Run) -> bool:
        return set(run.spec.workflow.jobs) == set(self.flow.model().jobs)

    def _read_again(self) -> None:
        """A file that is wrong, or that was changed here as well, leaves everything as it is."""
        if not self.flow.filename or stamp(self.flow.filename) in (None, self._read):
            return
        self._read, self.trouble = self._file(), ""
        if self.flow.changed:
            self.trouble = f"{self.flow.filename} was changed on disk, and so was the workflow here: save or load it"
            return
        try:
            self.flow.load(self.flow.filename).model()
        except InputError as error:
            self.trouble = str(error)


def stamp(path: Path | None) -> object:
    """What is another when a file or folder has changed; None if it is not there."""
    try:
        found = path.stat() if path else None
    except OSError:
        return None
    return found and (found.st_size, found.st_mtime_ns)


def _made(run_id: str) -> str:
    moment = datetime.strptime(run_id[-store.ID_TIME :][:15], "%Y%m%d-%H%M%S").replace(tzinfo=UTC)
    return f"{moment.astimezone():%d %b, %H:%M:%S}"
