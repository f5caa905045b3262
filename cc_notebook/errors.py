"""The errors a user can meet, one leaf for each thing the user can do about it."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

_CONTROL = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufffe\uffff\ud800-\udfff]"
)
MAX_PROBLEMS = 100  # of one file that are told


def clean(text: str) -> str:
    """Text from anywhere, without the codes by which it could steer a terminal or deceive the eye."""
    return _CONTROL.sub("\ufffd", text)


def plain(text: str) -> str:
    """A traceback without the colours that IPython writes into it."""
    return clean(re.sub(r"\x1b\[[0-9;]*m", "", text))


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
        text = clean(f"{where}: {self.message}" + (f"; {self.hint}" if self.hint else ""))
        return text.replace("\n", " ").replace("\t", " ")


class CCError(Exception):
    """Base of every error of this package; its text names the thing, the place and the next step."""


class InputError(CCError):
    """A command, an argument or a name is wrong: change what was asked."""


class NotFoundError(InputError):
    """There is nothing called `name`: take another."""

    def __init__(self, message: str, name: str) -> None:
        self.name = name
        super().__init__(message)


class SpecError(InputError):
    """A workflow file is wrong: mend the file. Holds every problem of the file at once."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(sorted(problems, key=lambda p: (p.line, p.column)))
        more = ["… and more"] if len(self.problems) > MAX_PROBLEMS else []
        super().__init__("\n".join([*map(str, self.problems[:MAX_PROBLEMS]), *more]))


class UnavailableError(CCError):
    """Something cannot be reached or is busy: wait or try again; nothing was lost."""


class ResourceError(CCError):
    """A disk, a folder or a program is missing, full or forbidden: mend the resource."""


class RunError(CCError):
    """A run that was waited for did not end with all jobs done: look at the job that it names."""


class BugError(CCError):
    """The program contradicts itself: please report it, with the story it tells."""


def did_you_mean(name: str, names: Iterable[object], cutoff: float = 0.6) -> str:
    """`did you mean 'x'?` for the nearest of `names`, or an empty text."""
    near = get_close_matches(name, [str(other) for other in names], 1, cutoff)
    return f"did you mean '{near[0]}'?" if near else ""


def nearest(name: str, names: Iterable[str], message: str) -> None:
    """Raises NotFoundError with the nearest name, or the first ones, if `name` is not one of `names`."""
    found = list(dict.fromkeys(names))
    if name not in found:
        hint = did_you_mean(name, found) or f"there is: {', '.join(found[:10]) or 'none'}{', …' * (len(found) > 10)}"
        raise NotFoundError(f"{message} '{name}'; {hint}", name)
