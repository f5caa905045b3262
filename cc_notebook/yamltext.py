"""YAML text to plain values, with the position of every value; all that is wrong is reported at once.

Words are read as in YAML 1.2: only `true` and `false` are booleans, dates stay text, keys are what is typed. Equal
keys, alias bombs, deep nesting and files over 2 MB are refused. It knows nothing of workflows.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import yaml

from cc_notebook.errors import MAX_PROBLEMS, Problem, SpecError

MAX_BYTES = 2_000_000
MAX_ALIASED = 100_000  # values that all aliases together may stand for
MAX_VALUES = 250_000  # values in a file
MAX_DEPTH = 100  # PyYAML's C composer overflows its stack at some tens of thousands

_Base: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _Loader(_Base):  # type: ignore[misc]  # the C loader where PyYAML has one, else the Python one
    yaml_implicit_resolvers = {
        first: [(tag, pattern) for tag, pattern in rules if tag.rsplit(":", 1)[-1] in ("null", "merge")]
        for first, rules in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def resolve(self, kind: Any, value: Any, implicit: Any) -> str:
        """What most scalars are is seen by their first letter; the loader's own way costs a fifth of a large file."""
        if kind is yaml.ScalarNode and value and value[0] not in self.yaml_implicit_resolvers:
            return str(self.DEFAULT_SCALAR_TAG)
        return str(super().resolve(kind, value, implicit))

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[str, Any]:
        """A key is the text as it is typed: `010`, `1.50` and `on` are names. The same one twice is a problem."""
        seen: dict[str, Any] = {}
        for key, _ in node.value:
            told = "a list or mapping cannot be a key", "write a plain word before the colon"
            if isinstance(key, yaml.ScalarNode):
                if (first := seen.setdefault(key.value, key)) is key:
                    continue
                hint = f"the first is in line {first.start_mark.line + 1}: rename or remove one"
                told = f"the key '{key.value}' is there twice", hint
            self.problems.append(Problem(self.file, key.start_mark.line + 1, key.start_mark.column + 1, *told))
        self.flatten_mapping(node)
        return {str(key.value): self.construct_object(value, deep=deep) for key, value in node.value}


for _tag, _pattern, _first in (  # those of YAML 1.2: `yes`, `12:30`, `010` and dates are words
    ("bool", "true|True|TRUE|false|False|FALSE", "tTfF"),
    ("int", "[-+]?(0|[1-9][0-9]*)|0x[0-9a-fA-F]+", "-+0123456789"),
    ("float", r"[-+]?(\.[0-9]+|(0|[1-9][0-9]*)(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.inf|\.nan", "-+.0123456789"),
):
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(f"^(?:{_pattern})$"), list(_first))


@dataclass
class Document:
    """A parsed file: `value` in plain Python types, `node` for where each part stands (None: it came from no text)."""

    file: str
    value: Any
    node: Any = None
    problems: list[Problem] = field(default_factory=list)

    def at(self, path: Sequence[object]) -> tuple[int, int]:
        """Line and column (from 1) of the deepest part of `path` that exists: of the key for a mapping's entry."""
        node, mark = self.node, self.node.start_mark if self.node else None
        if self.value is None and node is None:
            return 1, 1
        for step in path:
            if isinstance(node, yaml.MappingNode):
                found = next((pair for pair in node.value if str(pair[0].value) == str(step)), None)
                if found is None and isinstance(step, int):  # cloudmesh-cc's dependencies, a mapping of edges
                    found = dict(enumerate(node.value)).get(step)
            else:
                entries = enumerate(node.value if isinstance(node, yaml.SequenceNode) else [])
                found = next(((entry, entry) for index, entry in entries if index == step), None)
            if found is None:
                break
            mark, node = found[0].start_mark, found[1]
        return (mark.line + 1, mark.column + 1) if mark else (0, 0)

    def problem(self, path: Sequence[object], message: str, hint: str = "") -> None:
        """Note one problem at the place of `path`. Raises SpecError when nobody would read more of them."""
        self.problems.append(Problem(self.file, *self.at(path), message, hint))
        if len(self.problems) > MAX_PROBLEMS:
            raise SpecError(self.problems)


def read(text: str | bytes, file: str) -> Document:
    """Parse one YAML document. Raises SpecError with every syntax problem, equal key and alias bomb found."""
    plain = _decode(text, file)
    loader = _Loader(plain)
    loader.file, loader.problems = file, []
    try:
        _refuse_bombs(plain, file)
        node = loader.get_single_node()
        document = Document(file, loader.construct_document(node) if node else None, node)
    except yaml.YAMLError as error:
        raise SpecError([*loader.problems, _explain(error, plain, file)]) from None
    except ValueError as error:
        raise SpecError([Problem(file, 1, 1, f"a value cannot be read: {error}", "put it in quotes")]) from None
    finally:
        loader.dispose()
    if loader.problems:
        raise SpecError(loader.problems)
    return document


def _decode(text: str | bytes, file: str) -> str:
    data = text if isinstance(text, bytes) else text.encode(errors="replace")
    if len(data) > MAX_BYTES:
        raise SpecError([Problem(file, 1, 1, f"the file has more than {MAX_BYTES:,} bytes", "split it")])
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line, column = data.count(b"\n", 0, error.start) + 1, error.start - data.rfind(b"\n", 0, error.start)
        raise SpecError([Problem(file, line, column, "this byte is not UTF-8", "save the file as UTF-8")]) from None


def _refuse_bombs(text: str, file: str) -> None:
    """Count, by events and before anything is built, how deep values nest and for how many values aliases stand."""
    opened: list[str] = []  # the anchor of each collection that is open, empty without one
    sizes: dict[str, int] = {}  # how many values each anchor stands for
    total = 0
    for count, event in enumerate(yaml.parse(text, Loader=_Loader)):
        if not sizes and count < MAX_VALUES and isinstance(event, yaml.ScalarEvent):
            continue  # the usual case: no anchor was met so far
        anchor = str(getattr(event, "anchor", None) or "")
        if isinstance(event, yaml.CollectionEndEvent):
            opened.pop()
            continue
        alias = isinstance(event, yaml.AliasEvent)
        size = sizes.get(anchor, 1) if alias else 1
        total += size if alias else 0
        for name in filter(None, opened):
            sizes[name] += size
        endless = total > MAX_ALIASED or (alias and anchor in opened) or count > MAX_VALUES
        if isinstance(event, yaml.CollectionStartEvent):
            opened.append(anchor)
            sizes |= {anchor: 1} if anchor else {}
        if endless or len(opened) > MAX_DEPTH:
            what = "an alias that grows without end" if total > MAX_ALIASED or alias else "nested too deeply"
            what = f"more than {MAX_VALUES:,} values" if count > MAX_VALUES else what
            line, column = event.start_mark.line + 1, event.start_mark.column + 1  # type: ignore[union-attr]
            raise SpecError([Problem(file, line, column, f"this is {what}", "write the values out, one by one")])


def _explain(error: yaml.YAMLError, text: str, file: str) -> Problem:
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    if mark is None:  # a character that YAML forbids has a position in the text, not a mark
        place = int(getattr(error, "position", 0) or 0)
        line, column = text.count("\n", 0, place) + 1, place - text.rfind("\n", 0, place)
        return Problem(file, line, column, "this character is not allowed in YAML", "remove it")
    line, column = mark.line + 1, mark.column + 1
    shown = (text.split("\n")[mark.line : mark.line + 1] or [""])[0]
    if "\t" in shown[: len(shown) - len(shown.lstrip())]:
        return Problem(file, line, shown.index("\t") + 1, "a tab is used for indentation", "use blanks")
    what = str(getattr(error, "problem", None) or error).replace("\n", " ")
    return Problem(file, line, column, f"this is not valid YAML: {what}", "look at the line's indentation and quotes")
