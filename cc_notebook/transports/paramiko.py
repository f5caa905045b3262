"""ssh by the library paramiko: one connection per host and process, used for everything and kept for a minute.

It must not know what travels. A host that is unknown, or has changed its key, is refused. That a machine is there is
known only from an answer: a connection that moved no byte for a while is asked, and given up with all that waits there.
Not the default, as paramiko knows no second factor that asks, no tickets without more libraries, no `IdentityAgent`
and no certificates of hosts: for these there is `openssh`.
"""

import getpass
import io
import logging
import os
import shlex
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, wait
from contextlib import closing, suppress
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from typing import IO, TypeVar

import paramiko

from cc_notebook.errors import UnavailableError
from cc_notebook.hosts.transport import Result, Shell, execute, text_of
from cc_notebook.model import Host
from cc_notebook.transports.openssh import ssh

PING = 10.0  # seconds without a byte after which the machine is asked, and within which it must answer
KEEP = 60.0  # seconds for which a connection that nobody uses stays open
CHUNK = 1 << 15  # bytes
DEFAULT_KEYS = [f"~/.ssh/id_{kind}" for kind in ("ed25519", "ecdsa", "rsa")]
DEFAULT_KNOWN = "~/.ssh/known_hosts /etc/ssh/ssh_known_hosts"
TROUBLE = (paramiko.SSHException, EOFError, OSError, ValueError)  # ValueError: a file of keys that is no text
Known = tuple[str, str, str]  # a mark or nothing, the sort, the key
T = TypeVar("T")

logging.getLogger("paramiko").addHandler(logging.NullHandler())  # what it has to say comes with the errors


@cache
def connect(name: str, user: str, host: Host) -> Shell:
    """The line to a host, the same for all who ask in this process."""
    line = _Line(name, user, host)
    return Shell(line.do, line.close)


class _Line:
    """At most one connection. Calls come from several threads, and each is done in another that may be left behind."""

    def __init__(self, name: str, user: str, host: Host) -> None:
        self._name, self._user, self._host = name, user, host
        self._lock = threading.Lock()
        self._transport: paramiko.Transport | None = None
        self._heard = 0.0  # when a byte moved, or the machine answered

    def do(self, script: str, data: bytes | IO[bytes], out: IO[bytes] | None, timeout: float) -> Result:
        """See Shell."""
        source = io.BytesIO(data) if isinstance(data, bytes) else data
        end = time.monotonic() + timeout
        work = _aside(lambda: self._talk(script, source, out))
        while not work.done():
            asked = time.monotonic()
            wait([work], max(0.0, min(PING, end - asked)))
            late = time.monotonic() >= end
            if not work.done() and (late or (self._heard < asked and not self._answers())):
                self.close()
                raise UnavailableError(f"{self._name}: no answer within {timeout if late else PING:g} s")
        try:
            return work.result()
        except TROUBLE as error:
            self.close()
            raise UnavailableError(f"ssh to {self._name}: {error or type(error).__name__}") from None

    def close(self) -> None:
        """Hang up, whatever is on its way."""
        old, self._transport = self._transport, None
        if old:
            old.close()

    def _talk(self, script: str, data: IO[bytes], out: IO[bytes] | None) -> Result:
        text = io.BytesIO()
        with self._channel() as channel:
            channel.exec_command(f"sh -c {shlex.quote(script)}" if script else "sh")
            while chunk := data.read(CHUNK):
                channel.sendall(chunk)
                self._heard = time.monotonic()
            channel.shutdown_write()
            while chunk := channel.recv(CHUNK):
                (out or text).write(chunk)
                self._heard = time.monotonic()
            err = channel.makefile_stderr("rb").read()
            code = channel.recv_exit_status()
        if code < 0:
            raise EOFError("the connection was cut before the answer was whole")
        return Result(code, text_of(text.getvalue()), text_of(err))

    def _channel(self) -> paramiko.Channel:
        """A channel of the open connection, or of a new one if that does not answer: nothing has run there yet."""
        with self._lock:
            try:
                if self._transport:
                    return self._transport.open_session(timeout=PING / 2)
            except paramiko.ChannelException as error:  # it has as many as it wants, which live
                raise UnavailableError(f"{self._name} opens no other session: {error}") from None
            except TROUBLE:
                self.close()
            self._heard = time.monotonic()
            self._transport = self._connect()
            self._tidy(self._transport)
            return self._transport.open_session(timeout=PING)

    def _answers(self) -> bool:
        """True if the machine opens a channel, or refuses one, in time."""
        if not (transport := self._transport):
            return True  # it is being connected, which has limits of its own

        def ask() -> None:
            with suppress(paramiko.ChannelException):
                transport.open_session(timeout=PING).close()
            self._heard = time.monotonic()

        asked = _aside(ask)
        wait([asked], PING)
        return asked.done() and not asked.exception()

    def _tidy(self, transport: paramiko.Transport) -> None:
        """Hang up when nobody has used it for a while."""
        idle = time.monotonic() - self._heard
        if self._transport is transport and idle >= KEEP:
            self.close()
        elif self._transport is transport:
            timer = threading.Timer(KEEP - idle, self._tidy, [transport])
            timer.daemon = True
            timer.start()

    def _connect(self) -> paramiko.Transport:
        told = _told(self._name, self._user, self._host)
        address, port = told["hostname"], self._host.port or int(told.get("port") or 22)
        user = self._user or self._host.user or told.get("user") or getpass.getuser()
        known_as = told.get("hostkeyalias") or (address if port == 22 else f"[{address}]:{port}")
        files = [told.get(f"{whose}knownhostsfile", "") for whose in ("user", "global")]
        known = list(_known(known_as, (" ".join(files).strip() or DEFAULT_KNOWN).split()))
        transport = paramiko.Transport(_socket(told, address, port, self._host.ssh_config))
        try:
            sorts = [sort.removeprefix("ssh-") for _, sort, _ in known]  # a machine may have several: a known one first
            security = transport.get_security_options()
            security.key_types = sorted(security.key_types, key=lambda name: not any(sort in name for sort in sorts))
            transport.banner_timeout = transport.auth_timeout = PING
            transport.start_client(timeout=PING)
            _judge(transport.get_remote_server_key(), known, known_as)
            with closing(paramiko.Agent()) as agent:
                for key in _own_keys(told, agent):
                    with suppress(paramiko.SSHException):  # not this one
                        transport.auth_publickey(user, key)
                    if transport.is_authenticated():
                        self._heard = time.monotonic()
                        return transport
            raise paramiko.SSHException(f"permission denied for {user} with your keys; try: ssh-copy-id {self._name}")
        except BaseException:
            transport.close()
            raise


def _told(name: str, user: str, host: Host) -> paramiko.SSHConfigDict:
    """What the user's configuration says, as `ssh -G` resolves it, else as it stands."""
    if shutil.which("ssh"):
        done = execute(ssh(name, user, host, "-G"), b"", None, PING, text_of)
        if done.code:
            raise UnavailableError(f"ssh -G {name}: {done.err.strip()[-500:]}")
        text = done.out
    else:
        path = Path(host.ssh_config or "~/.ssh/config").expanduser()
        text = path.read_text(encoding="utf-8") if path.exists() else ""
    return paramiko.SSHConfig.from_text(text).lookup(host.address or name)


def _socket(told: paramiko.SSHConfigDict, address: str, port: int, config: str | None) -> socket.socket:
    """The line itself: a connection, or the standard streams of a command that ends with it."""
    command, jump = told.get("proxycommand"), told.get("proxyjump", "none")
    words = ["sh", "-c", f"exec {command}"]  # the user's own text, which ssh gives to a shell too
    if not command and jump == "none":
        line = socket.create_connection((address, port), PING)
        line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # else each call waits 40 ms for the other side
        return line
    if not command:
        *before, last = jump.split(",")
        words = ["ssh", "-o", "BatchMode=yes", *(["-F", os.path.expanduser(config)] if config else [])]
        words += [*(["-J", ",".join(before)] if before else []), "-W", f"[{address}]:{port}", "--"]
        words += [last if "://" in last else f"ssh://{last}"]
    line, other = socket.socketpair()
    with other:
        subprocess.Popen(words, stdin=other.fileno(), stdout=other.fileno(), stderr=subprocess.DEVNULL)
    return line


def _known(name: str, files: Sequence[str]) -> Iterator[Known]:
    """What the files of known hosts say of a name, plain, hashed or by a pattern."""
    for path in filter(os.path.isfile, map(os.path.expanduser, files)):
        for line in Path(path).read_text(encoding="utf-8").splitlines():
            mark, *words = line.split() if line.startswith("@") else ["", *line.split()]
            if len(words) < 3 or "!" in words[0]:
                continue
            for one in words[0].split(","):
                hashed = one.startswith("|1|") and paramiko.HostKeys.hash_host(name, one) == one
                if hashed or fnmatchcase(name, one.replace("[", "[[]")):
                    yield mark, words[1], words[2]


def _judge(key: paramiko.PKey, known: Sequence[Known], name: str) -> None:
    """Raises SSHException, with the next step, for a key that is not the machine's."""
    marks = {mark for mark, _, other in known if other == key.get_base64()}
    shown = f"{key.get_name()} {key.fingerprint}"
    if marks == {""}:
        return
    why = f"is unknown: {shown}. Compare it with what its owner says, then accept it by one ssh by hand"
    if any(not mark for mark, _, _ in known):
        why = f"has changed: now it is {shown}. If its owner says so too: ssh-keygen -R '{name}'"
    if "@revoked" in marks:
        why = f"{shown} is revoked in your files of known hosts"
    raise paramiko.SSHException(f"its host key {why}")


def _own_keys(told: paramiko.SSHConfigDict, agent: paramiko.Agent) -> Iterator[paramiko.PKey]:
    """The keys of the configuration, and those of the agent, with `IdentitiesOnly` only the same ones."""
    only, public = told.get("identitiesonly") == "yes", ""
    for path in told.get("identityfile", [os.path.expanduser(path) for path in DEFAULT_KEYS]):
        with suppress(*TROUBLE):
            public += Path(f"{path}.pub").read_text(encoding="utf-8")
        with suppress(TypeError, *TROUBLE):  # closed by a passphrase; not there
            yield paramiko.PKey.from_path(path)
    yield from (key for key in agent.get_keys() if not only or key.get_base64() in public)


def _aside(work: Callable[[], T]) -> Future[T]:
    """Do it in a thread that may be left behind."""
    future: Future[T] = Future()

    def do() -> None:
        try:
            future.set_result(work())
        except BaseException as error:
            future.set_exception(error)

    threading.Thread(target=do, daemon=True).start()
    return future
