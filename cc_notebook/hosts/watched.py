"""One attempt on another machine as its engine sees it: what is known, what is asked, what answers mean. No I/O."""

import shlex
from collections.abc import Iterator
from dataclasses import dataclass, replace

from cc_notebook import protocol
from cc_notebook.hosts.answer import Look
from cc_notebook.hosts.base import LOST, Attempt, Claim, Launch, Observation, read_folder
from cc_notebook.hosts.script import Packed
from cc_notebook.hosts.slots import lacks
from cc_notebook.model import Host


@dataclass(slots=True)
class Watched:
    """An attempt that has not ended."""

    attempt: Attempt
    launch: Launch | None = None  # to be started, until an answer shows that it was claimed
    packed: Packed | None = None  # its inputs, when those that go on their own are there
    refused: str = ""  # why it is not to start
    again: float = 0.0  # when an unclaimed one is started once more
    sent: bool = False  # its start may be there: not while the way was never open
    claim: Claim | None = None
    born: str = ""  # when its wrapper was started, in the words of that machine
    cancelled: float = 0.0  # when TERM becomes KILL; 0: nobody wants it dead
    offset: int = 0
    bereft: int = 0  # looks at which no process was there and no record

    @property
    def calm(self) -> bool:
        """True if only it can change something: nothing has to be done for it now."""
        here = self.launch is not None and self.packed is None  # its files are on their way
        return bool(self.claim or here) and not (self.cancelled or self.refused or self.bereft)

    def go(self, packed: Packed | None, refused: str) -> None:
        """Its inputs are ready, or why not."""
        self.packed, self.refused = packed, refused

    def asked(self, now: float) -> Iterator[str]:
        """What is wanted of it there, in sh."""
        folder, token = shlex.quote(self.attempt.folder), shlex.quote(self.attempt.token)
        if self.cancelled:
            yield f"cc_end {folder} {token} {'KILL' if now > self.cancelled else 'TERM'}"
        elif self.refused:
            yield f"cc_refuse {folder}"
        yield f"cc_look {folder} {token} {self.offset} '{self.born if self.born.isdigit() else ''}'"

    def see(self, look: Look, has: Host) -> Observation | None:
        """What an answer says that was not known; with an ending the attempt is over."""
        folder, seen = read_folder(look.names, look.claim), Observation(self.attempt.job, self.attempt.number)
        if self.refused and not self.cancelled and (look.gone or folder.by_engine):
            return replace(seen, ending="input", reason=self.refused)
        if look.gone or not look.names:
            if self.launch and look.gone != "cc-lost" and not self.cancelled:
                return None
            ending, why = ("cancelled", "") if self.cancelled else ("lost", "its folder is gone")
            return replace(seen, ending=ending, reason=why)
        self.launch = None if folder.claim or folder.by_engine else self.launch
        if self.launch:
            self.refused = self.refused or lacks(self.attempt.resources, has)
        report = replace(
            protocol.report(look.lines, self.attempt.pattern),
            error=protocol.failure(look.error),
            add="\n".join(look.add),
        )
        started = look.times[0] if look.times else None
        if folder.ending and not look.left:
            ending = "cancelled" if "cancel" in look.names else folder.ending
            ended = look.times[-1] if len(look.times) > 1 else None
            end = replace(seen, claim=folder.claim, started=started, ending=ending, code=folder.code, ended=ended)
            return replace(end, report=report)
        if folder.by_engine:
            return replace(seen, ending="cancelled")
        self.bereft = self.bereft + 1 if look.left == 0 else 0
        if self.bereft > 2 and not self.cancelled:
            ending, why = ("restarted", "the host was restarted") if look.restarted else ("lost", LOST)
            return replace(seen, claim=folder.claim, ending=ending, reason=why)
        news, self.offset = look.size > self.offset, max(self.offset, look.size)
        known = folder.claim if folder.claim and folder.claim.pid else None  # made a moment ago: the next look knows
        if (known and self.claim is None) or (news and report != protocol.Report()):
            self.claim, self.born = self.claim or known, self.born or look.born
            return replace(seen, claim=self.claim, started=started, report=report)
        return None
