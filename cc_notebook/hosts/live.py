"""One attempt on this computer as its engine sees it: its folder, its wrapper, what is known of it so far."""

import os
import selectors
import subprocess
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from cc_notebook.hosts.base import Attempt, Claim, Folder, Observation
from cc_notebook.hosts.folder import Log, private, take_claim
from cc_notebook.hosts.slots import Place


@dataclass(slots=True, eq=False)
class Live:
    """An attempt that has not ended. `kill_at` is when TERM becomes KILL; 0: nobody wants it dead."""

    attempt: Attempt
    folder: str
    log: Log = field(init=False)
    child: subprocess.Popen[bytes] | None = None
    pidfd: int = -1
    claim: Claim | None = None
    cancelled: bool = False
    kill_at: float = 0.0
    launches: int = 0

    def __post_init__(self) -> None:
        self.log = Log(self.folder, self.attempt.pattern)

    def spawn(self, shell: str, env: Mapping[bytes, bytes], place: Place) -> int:
        """Start the wrapper in a session of its own, with its place as its standard input; its pid."""
        self.launches += 1
        own = {b"CC_ATTEMPT": self.attempt.token.encode()}
        if place.gpus:
            own |= {b"CUDA_VISIBLE_DEVICES": ",".join(map(str, place.gpus)).encode(), b"CC_HOLD": b"yes"}
        with open(f"{self.folder}/log", "ab", opener=private) as log:
            self.child = subprocess.Popen(
                [shell, "job.sh"],
                cwd=self.folder,
                env={**env, **own},
                stdin=place.descriptor,
                stdout=log,
                stderr=log,
                start_new_session=True,
                umask=0o077,
            )
        return self.child.pid

    def follow(self, ends: selectors.BaseSelector, pid: int) -> None:
        """Have `ends` tell when process `pid` ends, and of no other."""
        self.unfollow(ends)
        with suppress(ProcessLookupError):
            self.pidfd = os.pidfd_open(pid)
            ends.register(self.pidfd, selectors.EVENT_READ, self)

    def unfollow(self, ends: selectors.BaseSelector) -> None:
        """Nobody waits for its process any more."""
        if self.pidfd >= 0:
            ends.unregister(self.pidfd)
            os.close(self.pidfd)
            self.pidfd = -1

    def give_up(self) -> None:
        """Mark it as cancelled and leave nothing to claim; on a full disk only this engine knows."""
        with suppress(OSError):
            Path(self.folder, "cancel").touch(mode=0o600)
        with suppress(OSError):
            take_claim(self.folder)

    @property
    def seen(self) -> Observation:
        """An observation of this attempt that says nothing yet."""
        return Observation(self.attempt.job, self.attempt.number)

    def recorded(self, folder: Folder) -> Observation:
        """The end as the wrapper's record tells it."""
        return replace(
            self.seen,
            claim=folder.claim,
            started=self.time_of("claim") if folder.claim else None,
            ending="cancelled" if self.cancelled else folder.ending,
            code=folder.code,
            ended=self.time_of(folder.record),
            report=self.log.final(folder.names),
        )

    def time_of(self, name: str) -> float:
        """When a file of the folder was made, by this computer's clock."""
        return os.stat(f"{self.folder}/{name}").st_ctime


def environment(env: Mapping[str, str]) -> dict[bytes, bytes]:
    """What wrappers find in their environment; their own files are for their owner alone, those of a job as usual."""
    os.umask(mask := os.umask(0o077))
    return {os.fsencode(key): os.fsencode(value) for key, value in {**env, "CC_UMASK": f"{mask:04o}"}.items()}
