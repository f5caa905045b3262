"""A workflow back to YAML: into the user's own text, where whatever did not change stays as it was written."""

import io
from typing import Any

from cc_notebook import yamltext


def plain(flow: dict[str, Any]) -> dict[str, Any]:
    """What stands below `workflow:` as programs edit it: nodes are mappings, dependencies a list of texts."""
    given = flow.get("dependencies") or []
    given = [given] if isinstance(given, str) else given
    if isinstance(given, dict):
        given = [[edge["source"], edge["destination"]] for edge in given.values()]
    nodes = {str(name): dict(node or {}) for name, node in flow["nodes"].items()}
    return {**flow, "nodes": nodes, "dependencies": [_sequence(item) for item in given]}


def text(body: dict[str, Any], old: str) -> str:
    """The YAML of a workflow in the form of `plain`; `old` is the file's present text (empty: a new file)."""
    before = yamltext.read(old, "the file").value["workflow"] if old.strip() else {}
    if before and plain(before) == body:
        return old
    yaml = _yaml()
    document = yaml.load(old) if old.strip() else {"workflow": {}}
    _merge(document["workflow"], before, body)
    out = io.StringIO()
    yaml.dump(document, out)
    return out.getvalue()


class _AsTyped(str):
    """A scalar that is written again as it was: nobody asks for its value."""

    tag: str


def _yaml() -> Any:
    from ruamel.yaml import YAML
    from ruamel.yaml.constructor import RoundTripConstructor
    from ruamel.yaml.representer import RoundTripRepresenter

    class Constructor(RoundTripConstructor):
        def as_typed(self, node: Any) -> _AsTyped:
            found = _AsTyped(node.value)
            found.tag = str(node.tag)
            return found

    class Representer(RoundTripRepresenter):
        def as_typed(self, value: _AsTyped) -> Any:
            return self.represent_scalar(value.tag, str(value))

    for kind in ("null", "bool", "int", "float", "timestamp"):
        Constructor.add_constructor(f"tag:yaml.org,2002:{kind}", Constructor.as_typed)
    Representer.add_representer(_AsTyped, Representer.as_typed)
    yaml = YAML()
    yaml.Constructor, yaml.Representer = Constructor, Representer
    yaml.preserve_quotes = True
    yaml.width = 10_000
    yaml.indent(mapping=2, sequence=4, offset=2)
    return yaml


def _merge(target: Any, before: dict[str, Any], wanted: dict[str, Any]) -> None:
    """Change in `target`, ruamel's view, what differs between `before`, our view of the same text, and `wanted`."""
    before = _renamed(target, before, wanted)
    for key in before.keys() - wanted.keys():
        del target[key]
    for key, value in wanted.items():
        old = before.get(key)
        if old and value == []:
            del target[key]  # an empty list or mapping below a comment could not be read again
        elif key == "dependencies" and isinstance(old, list):
            _merge_sequences(target[key], [_sequence(item) for item in old], value)
        elif isinstance(old, dict) and isinstance(value, dict) and value and not getattr(target[key], "merge", None):
            _merge(target[key], old, value)
        elif old != value and (old or value):
            target[key] = value


def _renamed(target: Any, before: dict[str, Any], wanted: dict[str, Any]) -> dict[str, Any]:
    """If one key stands where another one stood: it keeps its place, its comment, and what did not change below it."""
    pairs = [(old, new) for old, new in zip(before, wanted, strict=False) if old != new]
    if len(before) != len(wanted) or len(pairs) != 1:
        return before
    old, new = pairs[0]
    place, comment = list(target).index(old), target.ca.items.pop(old, None)
    target.insert(place, new, target.pop(old))
    target.ca.items.update({new: comment} if comment else {})
    return {new if key == old else key: value for key, value in before.items()}


def _merge_sequences(target: Any, before: list[str], wanted: list[str]) -> None:
    """Their order has no meaning; a new one takes the line of one that is gone, so that the comments around it stay."""
    new = [item for item in wanted if item not in before]
    gone = [index for index, item in enumerate(before) if item not in wanted]
    for index, item in zip(gone, new, strict=False):
        target[index] = item
    for index in reversed(gone[len(new) :]):
        del target[index]
    target.extend(new[len(gone) :])


def _sequence(item: Any) -> Any:
    return ", ".join(map(str, item)) if isinstance(item, list) else str(item)
