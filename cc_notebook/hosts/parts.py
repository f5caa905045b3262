"""Queues and transports by name: the modules of `queues/` and `transports/`, and what other packages bring."""

from importlib import import_module
from pkgutil import iter_modules
from typing import Any

from cc_notebook.errors import nearest


def part(folder: str, name: str) -> Any:
    """The module `name` of `queues` or `transports`, else the entry point of that name. Raises NotFoundError."""
    package = f"cc_notebook.{folder}"
    own = [module.name for module in iter_modules(import_module(package).__path__)]
    if name in own:
        return import_module(f"{package}.{name}")
    from importlib.metadata import entry_points  # slow, and seldom wanted

    others = entry_points(group=package)
    nearest(name, [*own, *sorted(others.names)], f"there is no {folder[:-1]}")
    return others[name].load()
