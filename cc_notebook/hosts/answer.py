"""What resource.sh prints, read back. Pure text in, values out."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from cc_notebook.model import Host


@dataclass(slots=True)
class Look:
    """The answer about one attempt."""

    gone: str = ""  # cc-gone: never made, cc-lost: removed
    claim: str | None = None
    names: list[str] = field(default_factory=list)
    left: int | None = None
    born: str = ""
    restarted: str = ""  # yes: the machine was, since the claim
    times: list[float] = field(default_factory=list)
    size: int = 0
    error: str = ""
    lines: list[str] = field(default_factory=list)
    add: list[str] = field(default_factory=list)


def machine(lines: Sequence[str], known: Host) -> Host:
    """What the machine said that it has, where that was not known."""
    told = next((line.split(" ")[1:] for line in lines if line.startswith("cc-has ")), [])
    found = {key: int(text) for key, text in zip(("cpus", "gpus", "memory"), told, strict=False) if text.isdigit()}
    found |= {"memory": found["memory"] << 20} if "memory" in found else {}
    return known.model_copy(update={key: value for key, value in found.items() if getattr(known, key) is None})


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
        elif word in ("cc-claim", "cc-born", "cc-error", "cc-restarted"):
            setattr(look, word[3:], rest)
        elif word == "cc-names":
            look.names = rest.split()
        elif word == "cc-left":
            look.left = len(rest.split())
        elif word == "cc-log":
            look.size = int(rest or 0)
        elif word == "cc-times":
            look.times = [float(part) for part in rest.split() if part.isdigit()]
    return looks


def trouble(code: int, error: str) -> str:
    """Why a machine did not answer, from what the line's program said, with the next step."""
    last = (error.strip().splitlines() or [f"no answer (exit code {code})"])[-1].strip()
    known = (
        ("HAS CHANGED", "its key has changed{print}: if that is right, remove the old one by ssh-keygen -R"),
        ("key verification failed", "its key is not known: compare its fingerprint when you log in once by ssh"),
        (r"Permission denied \(", "it refuses your key: see ssh-copy-id, or jupyter cc hosts login"),
        ("No space|I/O error|quota", "no space left there: make room, then it goes on, or set 'workdir:' of this host"),
        ("Could not resolve", "there is no such host: see its 'address:', or the alias in your ssh configuration"),
    )
    told = next((text for sign, text in known if re.search(sign, error)), "")
    found = re.search(r"SHA256:[\w+/=]+", error)
    return f"{told.format(print=f' ({found[0]})' if found else '')} ({last})" if told else last
