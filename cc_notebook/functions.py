"""A Python function as a job: a script with its source, params for its arguments, outputs from the dict it returns."""

import inspect
import sys
import textwrap
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from cc_notebook import store
from cc_notebook.errors import InputError

Function = Callable[..., Mapping[str, Any] | None]
MARK = "# Written by cc-notebook from a function of that name: change it there.\n"
_SCRIPT = """{mark}\
from __future__ import annotations

{source}

if __name__ == "__main__":
    from cc_notebook import params, progress

    progress(100, **({name}(**params()) or {{}}))
"""
_KINDS = (int, float, str, bool, list, dict)


def arguments(function: Function) -> dict[str, inspect.Parameter]:
    """The function's arguments by name. Raises InputError for one that no param can be."""
    found = inspect.signature(function, eval_str=True).parameters
    for name, argument in found.items():
        if argument.kind in (argument.VAR_POSITIONAL, argument.VAR_KEYWORD, argument.POSITIONAL_ONLY):
            raise InputError(f"function '{function.__name__}': '{argument}' cannot be a param: name each argument")
        if not name.isidentifier():
            raise InputError(f"function '{function.__name__}': '{name}' cannot be the name of a param")
    return dict(found)


def write(function: Function, folder: Path) -> str:
    """Write `<name>.py`, which runs the function alone: it must import what it uses itself. Returns the file's name.

    Raises InputError if its source is not known, or if a file of that name is there that we did not write.
    """
    name, path = function.__name__, folder / f"{function.__name__}.py"
    try:
        lines = textwrap.dedent(inspect.getsource(function)).splitlines()
    except (OSError, TypeError) as error:
        raise InputError(f"the source of '{name}' is not known ({error}): write it in a cell or a file") from None
    begin = next((n for n, line in enumerate(lines) if line.startswith(("def ", "async def "))), None)
    odd = inspect.iscoroutinefunction(function) or inspect.isgeneratorfunction(function) or inspect.ismethod(function)
    if begin is None or odd or function.__closure__ or name == "<lambda>":
        raise InputError(f"'{name}' cannot be a job: it is no plain function, or uses variables of another one")
    put(path, MARK, _SCRIPT.format(mark=MARK, source="\n".join(lines[begin:]), name=name))
    return path.name


def put(path: Path, mark: str, text: str) -> None:
    """Write a script that holds a mark, or write it again. Raises InputError for a file without it: it is a user's."""
    if path.suffix == ".py" and path.stem in sys.stdlib_module_names:
        raise InputError(f"'{path.stem}' is the name of a module of Python, which {path.name} would hide: take another")
    if path.exists() and mark not in path.read_text(encoding="utf-8"):
        raise InputError(f"{path} is a file of yours: take another name")
    store.write_new(path, text)


def check(argument: inspect.Parameter, value: object) -> None:
    """Raises InputError if the argument got no value, or one that is not of its type."""
    kind, name = argument.annotation, argument.name
    if value is None and argument.default is not None:
        raise InputError(f"param '{name}' has no value: give one, as w({name}=…) or --param {name}=…")
    wider = kind is float and type(value) is int
    if kind in _KINDS and value is not None and type(value) is not kind and not wider:
        raise InputError(f"param '{name}' is of type {kind.__name__}; {value!r} is not")
