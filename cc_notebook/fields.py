"""The fields that a workflow file is made of: names, sequences, times, words. Values in, values or ValueError out."""

import re
import shlex
from typing import Annotated, Any, Literal, get_args

from pydantic import AfterValidator, BeforeValidator, Field

from cc_notebook.units import memory_bytes, seconds

Scalar = str | int | float | bool
PayloadKind = Literal["sh", "python", "jupyter"]  # section 5.2 of the article names payloads as kinds; they mean local
MAX_NAME = 200
MAX_RANGE = 10_000  # names that one `j[0-9999]` stands for

_BAD_NAME = re.compile(r"""[/\\'"`,\[\]{}<>|#\x00-\x1f\x7f-\x9f\u061c\u200b-\u202e\u2066-\u2069]|^[-.\s]|\s$|\.\.""")


def check_name(name: str) -> str:
    """A name as it is. Raises ValueError where it could be mistaken for a path, an option or a list."""
    if len(name) > MAX_NAME or not name:
        raise ValueError(f"the name '{name[:20]}…' has {len(name)} characters, 1 to {MAX_NAME} are allowed")
    if found := _BAD_NAME.search(name):
        raise ValueError(f"the name {name!r} has {found[0]!r} at place {found.start() + 1}, which cannot stand there")
    return name


def expand(value: object) -> tuple[str, ...]:
    """A dependency `a, b[0-2], c` (or a list of names) as names; blanks around the commas do not count."""
    if isinstance(value, (dict, type(None))):
        raise ValueError("a dependency is a sequence of names: write '- first, second, third'")
    ranges = "[" in str(value)
    if isinstance(value, str):
        parts: list[Any] = re.split(r",(?![^\[]*\])", value) if ranges else value.split(",")
    else:
        parts = value if isinstance(value, list) else [value]
    names = [str(part).strip() for part in parts]
    if "" in names:
        raise ValueError("a name is missing between two commas")
    return tuple(name for part in names for name in _range(part)) if ranges else tuple(names)


def _range(part: str) -> list[str]:
    """`b[0-2]` as `b0`, `b1`, `b2`; cloudmesh-cc saved such names."""
    match = re.fullmatch(r"(.*)\[((?:\d+(?:-\d+)?)(?:,\d+(?:-\d+)?)*)\](.*)", part)
    if not match:
        return [part]
    names: list[str] = []
    for piece in match[2].split(","):
        low, _, high = piece.partition("-")
        if int(high or low) - int(low) >= MAX_RANGE:
            raise ValueError(f"[{piece}] stands for more than {MAX_RANGE:,} names")
        names += [f"{match[1]}{n:0{len(low)}d}{match[3]}" for n in range(int(low), int(high or low) + 1)]
    return names


def percent_or_pattern(value: object) -> object:
    """A progress as it is. Raises ValueError for a pattern that names no number."""
    if isinstance(value, str) and (value.count("{n}") != 1 or value.count("{total}") > 1):
        raise ValueError("progress is a number from 0 to 100 or a pattern with one {n}, such as 'Epoch {n}/{total}'")
    return value


def _names(value: object) -> object:
    return list(expand(value)) if isinstance(value, str) else value


def _words(value: object) -> object:
    return shlex.split(value) if isinstance(value, str) else value


def payload_kind(value: object) -> object:
    """A kind; a payload's name stands for local."""
    return "local" if value in get_args(PayloadKind) else value


Name = Annotated[str, AfterValidator(check_name)]
Time = Annotated[float, BeforeValidator(seconds, json_schema_input_type=float | str), Field(gt=0, le=10**9)]
Delay = Annotated[float, BeforeValidator(seconds, json_schema_input_type=float | str), Field(ge=0)]
Memory = Annotated[int, BeforeValidator(memory_bytes, json_schema_input_type=int | str), Field(gt=0)]
Names = Annotated[tuple[str, ...], BeforeValidator(_names, json_schema_input_type=str | list[str])]
Words = Annotated[tuple[Scalar, ...], BeforeValidator(_words, json_schema_input_type=str | list[Scalar])]
Sequence = Annotated[tuple[str, ...], BeforeValidator(expand, json_schema_input_type=str | list[str])]


def _loop_name(name: str) -> str:
    if not name.isidentifier() or name in ("iteration", "params", "jobs"):
        raise ValueError(
            f"'{name}' cannot be a loop's name: use letters, digits and _; iteration, params, jobs are taken"
        )
    return name


LoopName = Annotated[str, AfterValidator(_loop_name)]
