"""The process that forks the notebooks of a run on this computer, see warm.py: started with the first of them."""

import os
import socket
import subprocess
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path


class Parent:
    """Imports for all notebooks below `run_dir`. It ends as soon as nobody can read its output: with this process."""

    def __init__(self, run_dir: Path, python: str, env: Mapping[bytes, bytes]) -> None:
        self.run_dir, self.python = run_dir, python
        self.env = {**env, b"CC_ATTEMPT": b"." * 255}  # room for that of a child
        self._output = -1

    def start(self) -> None:
        """Have it; where it cannot be had notebooks run without it."""
        if self._output >= 0:
            return
        folder = os.open(self.run_dir, os.O_RDONLY | os.O_CLOEXEC)
        self._output, writes = os.pipe2(os.O_CLOEXEC)
        with suppress(OSError), socket.socket(socket.AF_UNIX) as listener:
            (self.run_dir / "warm").unlink(missing_ok=True)  # of an earlier engine
            listener.bind(f"/proc/self/fd/{folder}/warm")  # the folder's own name may be too long for a socket
            listener.listen(1000)
            words = [self.python, str(self.run_dir / "warm.py")]
            child = subprocess.Popen(words, cwd=self.run_dir, env=self.env, stdin=listener.fileno(), stdout=writes)
            child.returncode = 0  # it goes when we go, unasked
        os.close(folder)
        os.close(writes)

    def close(self) -> None:
        """Let it go; notebooks that run go on."""
        if self._output >= 0:
            os.close(self._output)
            self._output = -1
