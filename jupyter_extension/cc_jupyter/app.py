"""The extension as a Jupyter server knows it: its name, its routes, and its pages `cc/` and `cc/docs`."""

import asyncio
import re
from html import escape
from pathlib import Path
from typing import Any

from jupyter_server.auth.decorator import authorized
from jupyter_server.base.handlers import JupyterHandler
from jupyter_server.extension.application import ExtensionApp
from tornado import web

from cc_jupyter.living import live
from cc_jupyter.table import handlers
from cc_notebook.views.report import PARTS
from cc_notebook.views.table import SYMBOLS

try:
    from swagger_ui_bundle import swagger_ui_path
except ImportError:  # it comes with the extra `server`
    swagger_ui_path = None

HERE = Path(__file__).parent
PAGES = "/cc(?:/|/(?:workflows|runs)/[^/]+(?:/view)?)?"  # `view`: without the frame, for an iframe
POLICY = "default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'self'; form-action 'self'"


class PageHandler(JupyterHandler):
    """GET `cc/` and what is below it for people: one page, whose own scripts show what its address names."""

    auth_resource = "cc_jupyter"
    page, policy = "page.html", POLICY

    @property
    def content_security_policy(self) -> str:
        """Nothing but this server's files, and no script in a page's text."""
        return f"{super().content_security_policy}; {self.policy}"

    @web.authenticated
    @authorized
    def get(self) -> None:
        """Show the page, in the colours that `?theme=` names, else in those that the browser prefers."""
        told = {"base": f"{self.base_url}cc/", "symbols": SYMBOLS, "theme": self.get_query_argument("theme", "")}
        told["cookie"] = str(bool(self.xsrf_token))  # its use sets the cookie that the page's scripts read
        page = (HERE / self.page).read_text(encoding="utf-8")
        self.finish(re.sub("@([a-z]+)@", lambda name: escape(told[name[1]]), page))


class DocsHandler(PageHandler):
    """GET `cc/docs`: OpenAPI shown by Swagger UI, from files that are installed here; nothing comes from elsewhere."""

    page, policy = "docs.html", ""  # it has a script in its text


class CCExtension(ExtensionApp):
    """Adds the routes below `<base_url>cc/` to a Jupyter server, and the files of its pages to `static/`."""

    name = "cc_jupyter"
    extension_url = "/cc"
    handlers: Any = [*handlers(), (PAGES, PageHandler), *([("/cc/docs", DocsHandler)] if swagger_ui_path else [])]
    static_paths: Any = [str(HERE / "static"), str(PARTS), *([str(swagger_ui_path)] if swagger_ui_path else [])]

    async def _start_jupyter_server_extension(self, serverapp: Any) -> None:
        serverapp.web_app.settings.setdefault("page_config_data", {})["ccApi"] = True  # the widget asks nowhere else
        self._living = asyncio.create_task(live(serverapp.web_app.settings, self.log))
