"""The journal: one JSON line per event, synced before anything acts on it; a line counts only with its newline."""

import json
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from cc_notebook.errors import UnavailableError
from cc_notebook.state import Event


def decode(line: bytes) -> Event:
    """An event from its line. Unknown fields of a later version are ignored. Raises UnavailableError if it is none."""
    try:
        data: dict[str, Any] = json.loads(line)
        known = {key: value for key, value in data.items() if key in Event.__slots__}
        lists = {key: tuple(item) for key, item in known.items() if isinstance(item, list)}
        return Event(**known | lists)
    except (ValueError, TypeError, AttributeError):
        raise UnavailableError(f"this line of the journal is damaged: {line[:80]!r}") from None


def encode(event: Event) -> bytes:
    """The line of an event, newline included."""
    return json.dumps(event.to_dict(), separators=(",", ":"), ensure_ascii=False).encode() + b"\n"


class Journal:
    """Appends events; only the holder of the run's lock may open it. What was torn at the end is cut first."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        data = path.read_bytes()
        if len(data) != (whole := data.rfind(b"\n") + 1):
            os.ftruncate(self._fd, whole)
        self._size = whole
        self._waiting = b""

    def add(self, event: Event) -> None:
        """Queue an event for the next `sync`."""
        self._waiting += encode(event)

    def sync(self) -> None:
        """Write and fsync what is queued.

        Raises OSError (a full disk): then nothing of it counts, it stays queued, and the call can be repeated.
        """
        if not self._waiting:
            return
        try:
            left = self._waiting
            while left:
                left = left[os.write(self._fd, left) :]
            os.fsync(self._fd)
        except OSError:
            os.ftruncate(self._fd, self._size)
            raise
        self._size += len(self._waiting)
        self._waiting = b""

    def close(self) -> None:
        """Close the file; what is still queued is dropped."""
        os.close(self._fd)


class Reader:
    """Reads the events that were added since the last call; never waits and never locks."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._offset = 0

    def new(self) -> Iterator[Event]:
        """The events after the last one given; an unfinished line waits for its newline."""
        data = b""
        with suppress(FileNotFoundError), open(self.path, "rb") as file:
            file.seek(self._offset)
            data = file.read()
        for line in data.split(b"\n")[:-1]:
            yield decode(line)
            self._offset += len(line) + 1  # not before: who cannot read or use it stays before it
