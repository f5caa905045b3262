"""Places for jobs on this computer, shared by all runs of a user: who holds the lock of its file has the place."""

import fcntl
import os
from pathlib import Path


class Slots:
    """At most `limit` places; `held` are descriptors, which a process that is started can inherit with the lock."""

    def __init__(self, folder: Path, limit: int) -> None:
        self.folder, self.limit = folder, limit
        self.held: list[int] = []
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)

    def take(self) -> bool:
        """Hold one more place; False if all are taken."""
        for number in range(self.limit):
            descriptor = os.open(self.folder / str(number), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                os.close(descriptor)
            else:
                self.held.append(descriptor)
                return True
        return False

    def let_go(self) -> None:
        """Close the last one: the place is free, or belongs to the process that inherited it."""
        if self.held:
            os.close(self.held.pop())
