"""The errors a user can meet, one leaf for each thing the user can do about it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


class CCError(Exception):
    """Base of every error of this package; its text names the thing, the place and the next step."""


class InputError(CCError):
    """A command, an argument or a name is wrong: change what was asked."""


class SpecError(InputError):
    """A workflow file is wrong: mend the file. Holds every problem of the file at once."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(sorted(problems, key=lambda p: (p.line, p.column)))
        super().__init__("\n".join(str(p) for p in self.problems))


class UnavailableError(CCError):
    """Something cannot be reached or is busy: wait or try again; nothing was lost."""


class ResourceError(CCError):
    """A disk, a folder or a program is missing, full or forbidden: mend the resource."""


class BugError(CCError):
    """The program contradicts itself: please report it, with the story it tells."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong in a workflow file: `file:line:column: what; hint` (line and column from 1)."""

    file: str
    line: int
    column: int
    message: str
    hint: str = ""

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}:{self.column}" if self.line else self.file
        return f"{where}: {self.message}" + (f"; {self.hint}" if self.hint else "")
