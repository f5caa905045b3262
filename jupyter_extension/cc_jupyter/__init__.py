"""The Jupyter server extension of cc-notebook: enabled by its installation, loaded by every Jupyter server."""

from typing import Any

from cc_jupyter.app import CCExtension

__all__ = ["CCExtension"]


def _jupyter_server_extension_points() -> list[dict[str, Any]]:
    return [{"module": "cc_jupyter", "app": CCExtension}]


def launcher() -> dict[str, Any]:
    """A tile of JupyterLab's launcher that opens our page; jupyter-server-proxy shows it and proxies nothing for it."""
    return {"port": 1, "new_browser_tab": False, "launcher_entry": {"title": "Workflows", "path_info": "cc/"}}
