"""The extension as a Jupyter server knows it: its name, its routes, and who may use them. It knows no workflow."""

from __future__ import annotations

from typing import Any

from jupyter_server.auth.decorator import authorized
from jupyter_server.base.handlers import APIHandler
from jupyter_server.extension.application import ExtensionApp
from tornado import web

from cc_notebook import __version__


class VersionHandler(APIHandler):
    """GET `cc/api/version`: which cc-notebook answers."""

    auth_resource = "cc_jupyter"  # the name by which an authorizer knows every route of this extension

    @web.authenticated
    @authorized
    def get(self) -> None:
        """Answer `{"version": "…"}`."""
        self.finish({"version": __version__})


class CCExtension(ExtensionApp):
    """Adds the routes below `<base_url>cc/` to a Jupyter server."""

    name = "cc_jupyter"
    extension_url = "/cc"
    handlers: Any = [("/cc/api/version", VersionHandler)]
