"""HTTP for the routes of the table: who may, what is asked, how an answer or an error is told. It knows no workflow."""

import asyncio
import dataclasses
import inspect
import re
from collections.abc import AsyncIterator, Coroutine, Sequence
from http.client import responses
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import quote

from jupyter_server.auth.decorator import authorized
from jupyter_server.base.handlers import APIHandler
from pydantic import ValidationError
from pydantic_core import from_json
from tornado import web
from tornado.iostream import StreamClosedError

from cc_jupyter.following import POOL, READER, in_thread
from cc_jupyter.route import JSON, Ask, Refusal, Reply, Route, encoded
from cc_notebook.errors import CCError, InputError, NotFoundError, ResourceError, SpecError, UnavailableError, clean

API = "cc/api"
MAX_TEXT, MAX_ARCHIVE = 4_000_000, 64_000_000  # bytes of a body
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")


class Handler(APIHandler):
    """Answers the routes of one path."""

    auth_resource = "cc_jupyter"  # the name by which an authorizer knows every route of this extension
    routes: ClassVar[dict[str, Route]] = {}
    _task: asyncio.Task[Any] | None = None

    async def answer(self, route: Route | None, names: Sequence[str]) -> None:
        """Do what the route says, in a thread unless it only waits, and tell what comes of it."""
        self._task = asyncio.current_task()
        try:
            if not route:
                self.set_header("Allow", ", ".join(self.routes))
                hint = f"use {' or '.join(self.routes)}" if self.routes else f"see {API}/openapi.json"
                raise Refusal(405 if self.routes else 404, "nothing answers this", hint)
            reply = await in_thread(self._done, route, names, pool=READER if route.reads else POOL)
            await self._send(route, _ready(await reply) if inspect.iscoroutine(reply) else reply)
        except (asyncio.CancelledError, StreamClosedError):
            self.log.debug("the client of %s has gone", self.request.path)
        except (CCError, Refusal, UnicodeDecodeError, ValidationError) as error:
            status, told = explained(error, route, names)
            self.set_status(status)
            self.finish(None if self._headers_written else told)  # a stream only ends

    def _done(self, route: Route, names: Sequence[str]) -> Reply | Coroutine[Any, Any, Any]:
        """What the route's function gives: an answer as bytes, or, where it only waits, what is to be awaited."""
        found = route.work(**route.call(names, self._query(), *self._body(route)))
        return found if inspect.iscoroutine(found) else _ready(found)

    def on_connection_close(self) -> None:
        """A client that goes away ends what waits for it."""
        if self._task:
            self._task.cancel()

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """What Jupyter or tornado refuses is told in our form too."""
        self.set_header("Allow", ", ".join(self.routes))
        message = getattr(kwargs.get("exc_info", (None, None))[1], "log_message", "")
        self.finish(_told(status_code, message or responses.get(status_code, "unknown error")))

    def _query(self) -> dict[str, str]:
        found, jupyters = self.request.query_arguments.items(), r"token|no_track_activity|\d+"  # digits: no cache
        own = {name: values[-1] for name, values in found if not re.fullmatch(jupyters, name)}
        return {name: self.decode_argument(value, name) for name, value in own.items()}

    def _body(self, route: Route) -> tuple[Any, Ask]:
        """The JSON body (None: there is none, or it is something else that the route takes), and the rest."""
        media = self.request.headers.get("Content-Type", "").partition(";")[0].strip().lower()
        data, other = self.request.body or b"", media in route.takes
        if len(data) > (MAX_ARCHIVE if other and "yaml" not in media else MAX_TEXT):
            raise Refusal(413, f"the body has {len(data):,} bytes", f"at most {MAX_ARCHIVE:,}, a text {MAX_TEXT:,}")
        files = [file["body"] for found in self.request.files.values() for file in found]
        root = Path(self.settings["serverapp"].root_dir).expanduser().absolute()
        ask = Ask(root, self.request.headers, files[0] if len(files) == 1 else data, media)
        if not data or other or "*/*" in route.takes:
            return None, ask
        if media != JSON:
            raise Refusal(415, f"a body of type '{media}' is not taken", f"send {', '.join((JSON, *route.takes))}")
        try:
            return from_json(data, allow_inf_nan=False), ask
        except ValueError as error:
            raise Refusal(400, f"the body is no JSON: {error}", "send UTF-8") from None

    async def _send(self, route: Route, reply: Reply) -> None:
        """Send an answer; a stream piece by piece, as fast as the client takes it."""
        self.set_status(reply.status or route.status)
        self._headers.update(reply.headers)
        self.set_header("Content-Security-Policy", f"{self.content_security_policy}; sandbox")  # no page of ours
        if reply.at:
            self.set_header("Location", f"{self.request.path}/{quote(reply.at, safe='')}")
        streams = isinstance(reply.body, AsyncIterator)
        if not streams or self.request.method == "HEAD":
            self.finish(None if streams else reply.body, set_content_type=reply.media)
            return
        self.set_header("Content-Type", reply.media)
        await self.flush()
        async for piece in reply.body:
            self.write(piece)
            await self.flush()


def handler(routes: Sequence[Route]) -> type[Handler]:
    """A handler for the routes of one path; every method asks for a login and for the authorizer's word."""
    own = {word: it for it in routes for word in ((it.method, "HEAD") if it.method == "GET" else (it.method,))}

    def method(word: str) -> Any:
        async def call(self: Handler, *names: str) -> None:
            await self.answer(own.get(word), names)

        action = own[word].action if word in own else "read" if word in ("GET", "HEAD") else "write"
        return web.authenticated(authorized(action=action)(call))

    return type("CCHandler", (Handler,), {"routes": own, **{word.lower(): method(word) for word in METHODS}})


def explained(error: Exception, route: Route | None, names: Sequence[str]) -> tuple[int, dict[str, Any]]:
    """The status and the body for an error: the only place that says which is which."""
    message, _, hint = str(error).partition("; ")
    problems, place = list[dict[str, Any]](), ""
    if isinstance(error, Refusal) or not route:
        status, message, hint = getattr(error, "status", 500), str(error), getattr(error, "hint", "")
    elif isinstance(error, ValidationError):
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(map(str, first["loc"])) or "the body"
        what = "this is not known here" if first["type"] == "extra_forbidden" else first["msg"]
        status, message, hint = 404 if place in route.names else 422, f"{place}: {what}", f"see {API}/openapi.json"
    elif isinstance(error, SpecError):
        problems = [dataclasses.asdict(it) | {"file": re.sub("^/.*/", "", it.file)} for it in error.problems]
        more = f" (and {len(problems) - 1} more)" if problems[1:] else ""
        status, message, hint = 422, problems[0]["message"] + more, problems[0]["hint"]
        place = "{file}:{line}:{column}".format(**problems[0])
    elif isinstance(error, InputError):
        status = 404 if isinstance(error, NotFoundError) and error.name in names else route.wrong
    else:
        status = {UnavailableError: 503, ResourceError: 507, UnicodeDecodeError: 400}.get(type(error), 500)
    return status, _told(status, message, hint, place) | ({"problems": problems} if problems else {})


def _ready(answer: Any) -> Reply:
    """An answer as bytes; made where the work was done, for JSON of a large run takes its time."""
    reply = answer if isinstance(answer, Reply) else Reply(answer)
    if isinstance(reply.body, (bytes, AsyncIterator)) or (reply.body is None and reply.media == JSON):
        return reply
    body = encoded(reply.body) if reply.media == JSON else str(reply.body).encode(errors="replace")
    return dataclasses.replace(reply, body=body)


def _told(status: int, message: str, hint: str = "", place: str = "") -> dict[str, Any]:
    code = responses.get(status, "error").lower().replace(" ", "_").replace("-", "_")
    return {"code": code, "place": clean(place), "message": clean(message), "hint": clean(hint)}
