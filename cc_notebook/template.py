"""The article's braces: `{name}`, `{params.size}`, `{fetch.rows}`; `{{` is a brace. Never str.format.

A name is looked up step by step in mappings only, never as an attribute of an object.
"""

import json
import re
from collections.abc import Iterator, Mapping

TOKEN = re.compile(r"\{\{|\}\}|\{([^{}]*)\}")


class UnknownName(KeyError):
    """A name in braces that stands for nothing here."""


def names(text: object) -> Iterator[str]:
    """The names that stand in braces in `text`."""
    for match in TOKEN.finditer(text if isinstance(text, str) else ""):
        if match[1] is not None:
            yield match[1].strip()


def heads(name: str) -> list[str]:
    """What stands before each dot of a name: `a.b.c` has the heads `a` and `a.b`."""
    return [name[:place] for place, letter in enumerate(name) if letter == "."]


def render(text: object, values: Mapping[str, object]) -> object:
    """`text` with each name replaced. One that is a single `{name}` keeps the value's type. Raises UnknownName."""
    if not isinstance(text, str):
        return text
    if (match := TOKEN.fullmatch(text)) and match[1] is not None:
        return lookup(match[1].strip(), values)
    return TOKEN.sub(lambda m: m[0][0] if m[1] is None else as_text(lookup(m[1].strip(), values)), text)


def lookup(name: str, values: Mapping[str, object]) -> object:
    """The value of a dotted name; the longest head that is a key wins, so names with dots work too."""
    if name in values:
        return values[name]
    for head in reversed(heads(name)):
        inner = values.get(head)
        if isinstance(inner, Mapping):
            try:
                return lookup(name[len(head) + 1 :], inner)
            except UnknownName:
                break
    raise UnknownName(name)


def as_text(value: object) -> str:
    """A value as an argument or environment text: booleans as in YAML, lists and mappings as JSON."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (list, tuple, dict)):
        return json.dumps(value)
    return str(value)
