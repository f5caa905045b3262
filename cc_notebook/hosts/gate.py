"""The way to a machine: a command of the user's opens it before the first contact, another closes it at the end.

A VPN, or a machine of a cloud. Both commands run here, and must bear to be run twice. It knows nothing of jobs.
"""

import os
import re
import shlex
import subprocess
import tempfile
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO

from cc_notebook.errors import UnavailableError
from cc_notebook.hosts.transport import Result, Transport
from cc_notebook.model import Host

LIMIT = 600.0  # seconds
SOON = 0.2  # seconds between two looks whether it is still needed
GRACE = 5.0  # seconds between TERM and KILL
LATE = 124  # the exit code of `timeout` for what did not end in time
UNREACHED = 255  # the exit code of ssh that did not get there


class Gate:
    """A transport that is made when it is first used, after `before` has ended well.

    `address` is None until then; after that it is what `before` said in a line `address=…`, or an empty text. An
    earlier engine's is taken as it is, but if it leads nowhere `before` runs again. As long as the way was never open
    nothing can be there, so `before` is ended when it is not `needed` any more.
    """

    def __init__(self, host: Host, folder: str, make: Callable[[str], Transport], address: str | None = None) -> None:
        self.host, self.folder, self.make = host, folder, make
        self.address = address if host.before or host.after else address or ""
        self._inherited, self._lock = address is not None, threading.Lock()
        self.needed: Callable[[], bool] = lambda: True
        self._line: Transport | None = None

    def run(self, script: str, timeout: float) -> Result:
        """See Transport.run."""
        reached = False
        try:
            told = self._open().run(script, timeout)
            reached = told.code != UNREACHED
            return told
        finally:
            if not reached and self._inherited:
                self._inherited, self.address, self._line = False, None, None

    def get(self, script: str, file: IO[bytes], timeout: float) -> None:
        """See Transport.get."""
        self._open().get(script, file, timeout)

    def put(self, script: str, file: IO[bytes], timeout: float) -> Result:
        """See Transport.put."""
        return self._open().put(script, file, timeout)

    def close(self) -> None:
        """See Transport.close."""
        if self._line:
            self._line.close()

    def leave(self) -> str:
        """Close the way by `after`; why that failed, if it did."""
        try:
            _command("after", self.host, self.folder, self.address or "")
        except (UnavailableError, OSError) as error:
            return str(error)
        return ""

    def _open(self) -> Transport:
        with self._lock:
            if self._line is None:
                if self.address is None:
                    told = _command("before", self.host, self.folder, needed=self.needed)
                    self.address = (re.findall(r"^address=([^-\s]\S*)\s*$", told, re.MULTILINE) or [""])[-1]
                self._line = self.make(self.address)
            return self._line


def _command(which: str, host: Host, folder: str, address: str = "", needed: Callable[[], bool] = lambda: True) -> str:
    """Run `before` or `after` in the workflow's folder while `needed`; what it prints. Raises UnavailableError.

    One that an engine left at work when it was killed ends first: what it closes is not to be what this opens.
    """
    ways = {name: _argv(getattr(host, name), folder) for name in ("before", "after") if getattr(host, name)}
    if not (argv := ways.get(which)):
        return ""
    import psutil  # of no use where there is no way to open

    from cc_notebook.hosts import procs

    while (others := procs.running(list(ways.values()))) and needed():
        psutil.wait_procs(others, SOON)
    env, none = {**os.environ, "CC_ADDRESS": address}, subprocess.DEVNULL
    with tempfile.TemporaryFile() as out:  # no pipe: what it leaves running in the background would hold that open
        child = subprocess.Popen(argv, cwd=folder, env=env, stdin=none, stdout=out, stderr=out, start_new_session=True)
        while child.returncode is None:
            with suppress(subprocess.TimeoutExpired):
                child.wait(SOON)
            if not needed():
                child.terminate()
        out.seek(0)
        text = out.read().decode(errors="replace")
    if code := child.returncode:
        late, killed = f"did not end within {LIMIT:g} s", f"was killed by signal {-code}"
        how = late if code == LATE else f"ended with exit code {code}" if code > 0 else killed
        raise UnavailableError(f"{which}: {shlex.join(argv[3:])} {how}: {text.strip()[-300:]}")
    return text


def _argv(words: Sequence[object], folder: str) -> list[str]:
    """A program beside the workflow or on the PATH, under `timeout`, which ends its whole group, also when ended."""
    beside = Path(folder, str(words[0]))
    own = [str(beside) if beside.is_file() else str(words[0]), *map(str, words[1:])]
    return ["timeout", f"--kill-after={GRACE:g}", f"{LIMIT:g}", *own]
