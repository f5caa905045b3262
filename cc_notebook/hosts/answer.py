"""What resource.sh prints, read back. Pure text in, values out."""

from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(slots=True)
class Look:
    """The answer about one attempt."""

    gone: str = ""  # cc-gone: never made, cc-lost: removed
    claim: str | None = None
    names: list[str] = field(default_factory=list)
    left: int | None = None
    times: list[float] = field(default_factory=list)
    size: int = 0
    error: str = ""
    lines: list[str] = field(default_factory=list)
    add: list[str] = field(default_factory=list)


def parse(lines: Sequence[str]) -> dict[str, Look]:
    """The looks by folder. Lines before the first `cc-at` are a banner; those with a bar or a plus come from files."""
    looks: dict[str, Look] = {}
    look = Look()
    for line in lines:
        word, _, rest = line.partition(" ")
        if word == "cc-at":
            look = looks[rest] = Look()
        elif line.startswith("|"):
            look.lines.append(line[1:])
        elif line.startswith("+"):
            look.add.append(line[1:])
        elif word in ("cc-gone", "cc-lost"):
            look.gone = word
        elif word == "cc-claim":
            look.claim = rest
        elif word == "cc-names":
            look.names = rest.split()
        elif word == "cc-left":
            look.left = len(rest.split())
        elif word == "cc-error":
            look.error = rest
        elif word == "cc-log":
            look.size = int(rest or 0)
        elif word == "cc-times":
            look.times = [float(part) for part in rest.split() if part.isdigit()]
    return looks
