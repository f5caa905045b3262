"""YAML text to plain values, with the position of every value; all that is wrong is reported at once.

Only `true` and `false` are booleans (so `on:` and `no:` are words) and dates stay text. Equal keys, alias bombs and
files over 2 MB are refused. It knows nothing of workflows.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import yaml

from cc_notebook.errors import Problem, SpecError

MAX_BYTES = 2_000_000
MAX_VALUES = 2_000_000
MAX_DEPTH = 100

_Base: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _Loader(_Base):  # type: ignore[misc]  # the C loader where PyYAML has one, else the Python one
    yaml_implicit_resolvers = {
        first: [(tag, pattern) for tag, pattern in rules if tag.rsplit(":", 1)[-1] not in ("timestamp", "bool")]
        for first, rules in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:bool", re.compile("^(?:true|True|TRUE|false|False|FALSE)$"), list("tTfF")
)


@dataclass
class Document:
    """A parsed file: `value` in plain Python types, and where each part stands."""

    file: str
    value: Any
    node: Any
    problems: list[Problem] = field(default_factory=list)

    def at(self, path: Sequence[object]) -> tuple[int, int]:
        """Line and column (from 1) of the deepest part of `path` that exists: of the key for a mapping's entry."""
        node, mark = self.node, self.node.start_mark if self.node else None
        for step in path:
            if isinstance(node, yaml.MappingNode):
                found = next((pair for pair in node.value if str(pair[0].value) == str(step)), None)
                if found is None:
                    break
                mark, node = found[0].start_mark, found[1]
            elif isinstance(node, yaml.SequenceNode) and isinstance(step, int) and step < len(node.value):
                node = node.value[step]
                mark = node.start_mark
            else:
                break
        return (mark.line + 1, mark.column + 1) if mark else (1, 1)

    def problem(self, path: Sequence[object], message: str, hint: str = "") -> None:
        """Note one problem at the place of `path`."""
        self.problems.append(Problem(self.file, *self.at(path), message, hint))


def read(text: str | bytes, file: str) -> Document:
    """Parse one YAML document. Raises SpecError with every syntax problem, equal key and alias bomb found."""
    plain = _decode(text, file)
    loader = _Loader(plain)
    try:
        _refuse_depth(plain, file)
        node = loader.get_single_node()
        document = Document(file, None, node)
        _check(document)
        if not document.problems:
            document.value = loader.construct_document(node) if node else None
    except yaml.YAMLError as error:
        raise SpecError([_explain(error, plain, file)]) from None
    except (ValueError, TypeError, RecursionError) as error:  # an impossible number, a list as a key, a loop of aliases
        raise SpecError([Problem(file, 1, 1, f"a value cannot be read: {error}")]) from None
    finally:
        loader.dispose()
    if document.problems:
        raise SpecError(document.problems)
    return document


def _decode(text: str | bytes, file: str) -> str:
    size = len(text if isinstance(text, bytes) else text.encode(errors="replace"))
    if size > MAX_BYTES:
        raise SpecError([Problem(file, 1, 1, f"the file has {size:,} bytes, the limit is {MAX_BYTES:,}", "split it")])
    if isinstance(text, str):
        return text.removeprefix("\ufeff")
    try:
        return text.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = text.count(b"\n", 0, error.start) + 1
        column = error.start - text.rfind(b"\n", 0, error.start)
        raise SpecError([Problem(file, line, column, "this byte is not UTF-8", "save the file as UTF-8")]) from None


def _refuse_depth(text: str, file: str) -> None:
    """The C parser's composer overflows its stack on deep nesting: count it, by events, where it is possible at all."""
    if max(text.count("["), text.count("{"), text.count("- -")) < MAX_DEPTH:
        return
    depth = 0
    for event in yaml.parse(text, Loader=_Loader):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > MAX_DEPTH:
            mark: Any = event.start_mark
            raise SpecError([Problem(file, mark.line + 1, mark.column + 1, "this is nested too deeply", "flatten it")])


def _check(document: Document) -> None:
    """Equal keys, list or mapping keys, and how many values the aliases expand to; without recursion."""
    if document.node is None:
        return
    sizes: dict[int, int] = {}
    stack: list[tuple[Any, bool]] = [(document.node, False)]
    open_nodes: set[int] = set()
    while stack:
        node, leaving = stack.pop()
        if isinstance(node, yaml.ScalarNode) or (id(node) in sizes and not leaving):
            continue
        mapping = isinstance(node, yaml.MappingNode)
        children = [part for pair in node.value for part in pair] if mapping else node.value
        if leaving:
            open_nodes.discard(id(node))
            sizes[id(node)] = 1 + sum(sizes.get(id(child), 1) for child in children)
            if sizes[id(node)] > MAX_VALUES:
                _note(document, node, "the aliases of this value expand to millions of values", "write it out")
                return
            continue
        if id(node) in open_nodes:
            _note(document, node, "this value contains itself", "remove the alias (*name)")
            return
        open_nodes.add(id(node))
        stack.append((node, True))
        stack.extend((child, False) for child in children)
        if mapping:
            _check_keys(document, node)


def _check_keys(document: Document, node: Any) -> None:
    seen: dict[str, int] = {}
    for key, _ in node.value:
        if not isinstance(key, yaml.ScalarNode):
            _note(document, key, "a list or mapping cannot be a key", "write a plain word before the colon")
        elif key.value in seen:
            hint = f"the first is in line {seen[key.value]}: rename or remove one"
            _note(document, key, f"the key '{key.value}' is there twice", hint)
        else:
            seen[key.value] = key.start_mark.line + 1


def _note(document: Document, node: Any, message: str, hint: str) -> None:
    mark = node.start_mark
    document.problems.append(Problem(document.file, mark.line + 1, mark.column + 1, message, hint))


def _explain(error: yaml.YAMLError, text: str, file: str) -> Problem:
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    if mark is None:  # a character that YAML forbids has a position in the text, not a mark
        place = int(getattr(error, "position", 0) or 0)
        line, column = text.count("\n", 0, place) + 1, place - text.rfind("\n", 0, place)
        return Problem(file, line, column, "this character is not allowed in YAML", "remove it")
    line, column = mark.line + 1, mark.column + 1
    lines = text.splitlines()
    shown = lines[mark.line] if mark.line < len(lines) else ""
    if "\t" in shown[: len(shown) - len(shown.lstrip())]:
        return Problem(file, line, shown.index("\t") + 1, "a tab is used for indentation", "use blanks")
    what = str(getattr(error, "problem", None) or error).replace("\n", " ")
    return Problem(file, line, column, f"this is not valid YAML: {what}", "look at the line's indentation and quotes")
