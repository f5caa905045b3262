"""A notebook's kernel on another Jupyter server: what notebook.py uses where a job has a `kernel_gateway`.

It is copied beside notebook.py and needs only what papermill brings. The server starts and ends the kernel by its REST
API, and one websocket carries all messages. Everything runs in nbclient's event loop: there is no thread, and who waits
sleeps. Every request has a time limit, and so has silence. The token comes from JUPYTER_GATEWAY_AUTH_TOKEN.
"""

import asyncio
import json
import os
import struct
from contextlib import suppress
from queue import Empty
from typing import Any

from jupyter_client.asynchronous.client import AsyncKernelClient
from jupyter_client.jsonutil import json_default
from jupyter_core.utils import run_sync
from tornado.httpclient import AsyncHTTPClient, HTTPClientError, HTTPRequest
from tornado.websocket import WebSocketClosedError, websocket_connect

TIMEOUT = 5.0  # seconds for one answer
START = 40.0  # seconds for the answer that the kernel was started, or that it listens
END = 8.0  # seconds for the answer that it was ended; a server may give it five before it kills it
ENDS = 3  # times that its end is asked for
PAUSE = 2.0  # seconds between two looks whether the kernel is still there
MISSES = 3  # looks without an answer, and without any message, after which the server counts as gone
LARGEST = 1 << 30  # bytes of one message
ERRORS = (HTTPClientError, OSError, ValueError)  # what an answer can be instead


class Kernel(AsyncKernelClient):
    """One kernel on the server at `url`, and the channels to it: nbclient's KernelManager and KernelClient in one."""

    has_kernel = False  # asked once, before the start
    starting: "asyncio.Future[Any] | None" = None  # the server's answer, which says by what path it knows the kernel
    fate = ""  # what happened to the kernel
    line: Any = None  # the websocket
    misses = 0
    tasks: "tuple[asyncio.Task[None], ...]" = ()

    def __init__(self, url: str) -> None:
        super().__init__()
        self.url = url.rstrip("/")

    def request(self, path: str, timeout: float, method: str = "GET", body: str | None = None) -> HTTPRequest:
        """A request with our token."""
        token = os.environ.get("JUPYTER_GATEWAY_AUTH_TOKEN")
        headers = {"Authorization": f"token {token}"} if token else {}
        request = HTTPRequest(f"{self.url}/api/{path}", method, headers, body, follow_redirects=False)
        request.connect_timeout = request.request_timeout = timeout
        return request

    async def ask(self, path: str, timeout: float = TIMEOUT, **options: Any) -> Any:
        """The server's answer. Raises ERRORS."""
        answer = await AsyncHTTPClient().fetch(self.request(path, timeout, **options))
        return json.loads(answer.body or b"null")

    async def _language(self, kernel: str | None) -> str | None:
        """The language of a kernel. Raises ValueError if the server has no such kernel, or lets us not in."""
        try:
            known = (await self.ask("kernelspecs"))["kernelspecs"]
        except ERRORS as error:
            code, hint = getattr(error, "code", 0), "set JUPYTER_GATEWAY_AUTH_TOKEN in the job's env"
            told = f"answers {code}: {hint}" if code in (302, 401, 403) else f"does not answer: {error}"
            raise ValueError(f"the kernel gateway {self.url} {told}") from None
        if kernel and kernel not in known:
            raise ValueError(f"there is no kernel '{kernel}' on {self.url} but {', '.join(known)}")
        return known[kernel]["spec"]["language"] if kernel else None

    async def start_kernel(self, **options: Any) -> None:
        """See KernelManager; an Enterprise Gateway also wants the variables KERNEL_…"""
        await self._language(self.kernel_name)
        env = {name: value for name, value in os.environ.items() if name.startswith("KERNEL_")}
        body = json.dumps({"name": self.kernel_name, "env": env})
        self.starting = asyncio.ensure_future(self.ask("kernels", START, method="POST", body=body))
        self.path = f"kernels/{(await self.starting)['id']}"

    async def shutdown_kernel(self, now: bool = True) -> None:
        """End it, also if we were stopped before the server said which one it is; nothing is raised."""
        starting = self.starting
        for left in reversed(range(ENDS if starting else 0)):
            try:
                assert starting
                path = f"kernels/{(await starting)['id']}"
                await self.ask(path, END, method="DELETE")
                await self.ask(path, END)  # a server that was just restarting it may have it again
            except ERRORS as error:
                if getattr(error, "code", 0) == 404:
                    break
                if not left:
                    print(f"perhaps the kernel is left on {self.url}: {error}", flush=True)
        self.starting = None

    language, leave = run_sync(_language), run_sync(shutdown_kernel)

    def cleanup_resources(self) -> None:
        """See KernelManager: nothing is kept here."""

    def client(self) -> "Kernel":
        """See KernelManager."""
        return self

    def start_channels(self, *channels: Any, **named: Any) -> Any:
        """See KernelClient; nbclient awaits what is given back."""
        return self._open()

    async def _open(self) -> None:
        request = self.request(f"{self.path}/channels?session_id={self.session.session}", START)
        request.url = f"ws{request.url.removeprefix('http')}"
        self.line = await websocket_connect(request, max_message_size=LARGEST)
        self._shell_channel, self._iopub_channel = Channel("shell", self.line), Channel("iopub", self.line)
        self.tasks = asyncio.create_task(self._read()), asyncio.create_task(self._look())

    def stop_channels(self) -> None:
        """See KernelClient."""
        for task in self.tasks:
            task.cancel()
        if self.line:
            self.line.close()

    async def _async_is_alive(self) -> bool:
        return not self.fate

    is_alive = _async_is_alive

    async def _read(self) -> None:
        """Give each message to its channel, until the kernel dies: what a restarted one says is not for us."""
        try:
            while (data := await self.line.read_message()) is not None:
                message, self.misses = decode(data), 0
                if message["content"].get("execution_state") in ("restarting", "dead"):
                    self.fate = f"died on {self.url}"
                    break
                channel = self.iopub_channel if message["channel"] == "iopub" else self.shell_channel
                channel.queue.put_nowait(message)
        finally:
            self.fate = self.fate or f"is lost: the line to {self.url} was closed"

    async def _look(self) -> None:
        """See whether the server is there and still has the kernel, which somebody may have ended there."""
        while not self.fate:
            await asyncio.sleep(PAUSE)
            try:
                await self.ask(self.path)
                self.misses = 0
            except ERRORS as error:
                self.misses += 1
                if getattr(error, "code", 0) == 404:
                    self.fate = f"died: {self.url} has ended it"
                elif self.misses >= MISSES:
                    self.fate = f"is lost: {self.url} does not answer: {error}"


class Channel:
    """One of the kernel's channels."""

    def __init__(self, name: str, line: Any) -> None:
        self.name, self.line, self.queue = name, line, asyncio.Queue[Any]()

    async def get_msg(self, timeout: float | None = None) -> Any:
        """The next message. Raises Empty."""
        try:
            return await asyncio.wait_for(self.queue.get(), timeout)
        except TimeoutError:
            raise Empty from None

    def send(self, message: dict[str, Any]) -> None:
        """Send a message; where the line is closed nobody answers, and is_alive tells it."""
        with suppress(WebSocketClosedError):
            self.line.write_message(json.dumps({**message, "channel": self.name}, default=json_default))


def decode(data: str | bytes) -> Any:
    """A message; one with buffers comes as bytes: how many parts, where each begins, the message, what nobody wants."""
    if isinstance(data, bytes):
        _, begin, end = struct.unpack_from("!III", data)
        data = data[begin:end]
    return json.loads(data)
