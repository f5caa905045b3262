"""Changes of a workflow, in the form of `save.plain`, at several places at once. It writes no file."""

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

from cc_notebook import model


def rewrite(body: dict[str, Any], keep: Callable[[str, str], bool], old: str = "", new: str = "") -> None:
    """Leave the dependencies for which `keep(source, destination)` is true, with the job `old` by the name `new`."""

    def told(names: Sequence[str]) -> str:
        return ", ".join(new if name == old else name for name in names)

    pieces = list[str]()
    for sequence in body["dependencies"]:
        names = model.expand(sequence)
        cuts = [0, *(place for place, edge in enumerate(pairwise(names), 1) if not keep(*edge)), len(names)]
        parts = [names[left:right] for left, right in pairwise(cuts) if right - left > 1]
        pieces += [sequence] if parts == [names] and old not in names else map(told, parts)
    body["dependencies"] = pieces
    for name, node in body["nodes"].items():
        parents = model.expand(node.get("after") or [])
        kept = [parent for parent in parents if keep(parent, name)]
        if len(kept) < len(parents) or old in kept:
            node["after"] = told(kept)
            if not kept:
                del node["after"]
