"""The extension as a Jupyter server knows it: its name, its routes, and the page `cc/docs` that shows them."""

import asyncio
from pathlib import Path
from typing import Any

from jupyter_server.auth.decorator import authorized
from jupyter_server.base.handlers import JupyterHandler
from jupyter_server.extension.application import ExtensionApp
from tornado import web

from cc_jupyter.living import live
from cc_jupyter.table import handlers

try:
    from swagger_ui_bundle import swagger_ui_path
except ImportError:  # it comes with the extra `server`
    swagger_ui_path = None


class DocsHandler(JupyterHandler):
    """GET `cc/docs`: OpenAPI shown by Swagger UI, from files that are installed here; nothing comes from elsewhere."""

    auth_resource = "cc_jupyter"

    @web.authenticated
    @authorized
    def get(self) -> None:
        """Show the page."""
        self.finish(Path(__file__).with_name("docs.html").read_bytes())


class CCExtension(ExtensionApp):
    """Adds the routes below `<base_url>cc/` to a Jupyter server, and Swagger UI's files, if installed, to `static/`."""

    name = "cc_jupyter"
    extension_url = "/cc"
    handlers: Any = [*handlers(), *([("/cc/docs", DocsHandler)] if swagger_ui_path else [])]
    static_paths: Any = [str(swagger_ui_path)] if swagger_ui_path else []

    async def _start_jupyter_server_extension(self, serverapp: Any) -> None:
        self._living = asyncio.create_task(live(serverapp.web_app.settings, self.log))
