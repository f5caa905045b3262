"""What forks the notebooks of a run on this computer, and their kernels: started with the first, see warm.py."""

import os
import socket
import subprocess
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

MODULES = ("notebook", "ipykernel_launcher")


class Parents:
    """Import for all notebooks below `run_dir`. They end as soon as nobody can read their output: with this process."""

    def __init__(self, run_dir: Path, python: str, env: Mapping[bytes, bytes]) -> None:
        self.run_dir, self.python = run_dir.resolve(), python
        path = b":".join(filter(None, (os.fsencode(self.run_dir / "stub"), env.get(b"PYTHONPATH"))))  # as the wrapper's
        # room for the token of a child; and what is read when a kernel is imported, else each prints how to end it
        self.env = {**env, b"PYTHONPATH": path, b"CC_ATTEMPT": b"." * 255, b"JPY_PARENT_PID": b"1"}
        self._output = -1

    def start(self) -> None:
        """Have them; where they cannot be had notebooks run without them."""
        if self._output >= 0:
            return
        folder = os.open(self.run_dir, os.O_RDONLY | os.O_CLOEXEC)
        self._output, writes = os.pipe2(os.O_CLOEXEC)
        for module in MODULES:
            with suppress(OSError), socket.socket(socket.AF_UNIX) as listener:
                (self.run_dir / f"warm.{module}").unlink(missing_ok=True)  # of an earlier engine
                listener.bind(f"/proc/self/fd/{folder}/warm.{module}")  # the folder's own name may be too long
                listener.listen(1000)
                words = [self.python, str(self.run_dir / "warm.py"), module]
                child = subprocess.Popen(words, cwd=self.run_dir, env=self.env, stdin=listener.fileno(), stdout=writes)
                child.returncode = 0  # it goes when we go, unasked
        os.close(folder)
        os.close(writes)

    def close(self) -> None:
        """Let them go; notebooks that run go on."""
        if self._output >= 0:
            os.close(self._output)
            self._output = -1
