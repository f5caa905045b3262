"""The run itself, beside its jobs on each host: `run.json`, and the journal in pieces named by where they begin.

Each start brings what the journal has got since the last one. So whoever reaches the hosts can rebuild the run: what a
host has begun stands in its own copy, and how it ended in the folders of the attempts.
"""

import os
import re
from pathlib import Path

from cc_notebook.errors import UnavailableError
from cc_notebook.hosts.answer import trouble
from cc_notebook.hosts.seen import heard
from cc_notebook.hosts.transport import Transport, there

LONG = 300.0  # seconds


class Mirror:
    """What the host `name` still has to be told. Without a `home`, the run's folder here, nothing."""

    def __init__(self, home: Path | None, name: str = "") -> None:
        self.home, self.name = home, name
        self._synced = self._sent = self._flying = 0  # bytes of the journal

    def synced(self) -> None:
        """The journal is on the disk as far as it is long now."""
        if self.home:
            self._synced = os.stat(self.home / "events.jsonl").st_size

    def files(self) -> dict[str, str]:
        """The files to make there now."""
        if not self.home or self._synced == self._sent:
            return {}
        with open(self.home / "events.jsonl", "rb") as file:
            file.seek(self._sent)
            piece = file.read(self._synced - self._sent)
        self._flying = self._sent + len(piece)
        first = {} if self._sent else {"run.json": (self.home / "run.json").read_text(encoding="utf-8")}
        return {**first, f"journal/{self._sent:015d}": piece.decode()}

    def arrived(self) -> None:
        """The host has answered: the last files are there."""
        heard(self.home, self.name)
        self._sent = max(self._sent, self._flying)

    def lost(self) -> None:
        """Nobody knows: they are sent again."""
        self._flying = self._sent


def gather(line: Transport, workdir: str, run: str) -> tuple[str, bytes]:
    """A run's `run.json` and journal from a host; empty if the run was never there. Raises UnavailableError."""
    folder = there(f"{workdir}/{run}")
    steps = f"cd {folder} 2> /dev/null && echo cc-run && cat run.json && echo && for f in journal/*; do\n"
    steps += 'case $f in *[!0-9/a-z]*) ;; *) echo "cc-journal ${f#*/}"; cat "$f"; esac; done; echo; echo cc-end\n'
    answer = line.run(steps, LONG)
    if "cc-end" not in answer.out.split("\n")[-2:]:
        raise UnavailableError(trouble(answer.code, answer.err))
    head, *pieces = re.split(r"^cc-journal (\d+)\n", answer.out[: -len("\ncc-end\n")], flags=re.MULTILINE)
    journal = b""
    for start, piece in sorted(zip(map(int, pieces[::2]), pieces[1::2], strict=True)):
        if start <= len(journal) < start + len(piece.encode()):
            journal = journal[:start] + piece.encode()
    return head.partition("cc-run\n")[2].strip(), journal
