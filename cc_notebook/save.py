"""A workflow back to YAML: into the user's own text, whose comments, order and quotes survive where nothing changed."""

import io
from typing import Any


def text(body: dict[str, Any], old: str) -> str:
    """The YAML of a workflow; `old` is the file's present text (empty: a new file)."""
    from ruamel.yaml import YAML

    yaml = YAML()
    yaml.preserve_quotes = True
    yaml.width = 10_000
    yaml.indent(mapping=2, sequence=4, offset=2)
    yaml.version = None
    document = yaml.load(old) if old.strip() else {}
    document = document if isinstance(document, dict) else {}
    if not isinstance(document.get("workflow"), dict):
        document["workflow"] = {}
    _merge(document["workflow"], body)
    out = io.StringIO()
    yaml.dump(document, out)
    return out.getvalue()


def _merge(target: Any, wanted: dict[str, Any]) -> None:
    for key in [key for key in target if str(key) not in wanted]:
        del target[key]
    for key, value in wanted.items():
        if isinstance(value, dict) and isinstance(target.get(key), dict):
            _merge(target[key], value)
        elif key not in target or (_plain(target[key]) != value and (value or target[key])):
            target[key] = value  # `name:` with nothing below it is equal to no attributes and stays as it is


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return value
