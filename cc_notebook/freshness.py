"""What is known of other machines, how old that is, and why. Pure: the time is handed in."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any


@dataclass(frozen=True, slots=True)
class Reach:
    """Of one host: why it cannot be reached (empty: it can), when it last answered, the way there.

    `way` is the address that `before` told, None until that has ended; `opened` says that `after` has still to end,
    `closing` that it may have begun: nothing starts there until the way was opened anew.
    """

    trouble: str = ""
    seen: str = ""
    way: str | None = None
    opened: bool = False
    closing: bool = False


def after(reach: Reach, kind: str, reason: str, seen: str, address: str) -> Reach:
    """What is known after an event of the host."""
    if kind == "host":
        return replace(reach, trouble=reason, seen=seen)
    if kind == "closed":
        return Reach(reason)
    return replace(reach, opened=True, way=None if kind == "opening" else address, closing=kind == "closing")


def hosts(known: Mapping[str, Reach], now: str) -> dict[str, Any]:
    """`{"hosts": {NAME: {"seen", "trouble", "told"}}}`; `told` is both in words."""
    return {"hosts": {host: _told(host, reach, now) for host, reach in known.items()}}


def note(known: Mapping[str, Reach], living: Iterable[str], now: str) -> str:
    """Of whom a reader must know: who cannot be reached, or has `living` jobs and did not answer for minutes."""
    late = {host for host, reach in known.items() if reach.seen and not ago(reach.seen, now).endswith(" s")}
    late = late and late.intersection(living)
    return "; ".join(_told(host, it, now)["told"] for host, it in known.items() if it.trouble or host in late)


def _told(host: str, reach: Reach, now: str) -> dict[str, str]:
    age = f"seen {ago(reach.seen, now)} ago" if reach.seen else "not seen yet"
    told = "; ".join(filter(None, ["" if reach.trouble.startswith("after:") else age, reach.trouble]))
    return {"seen": reach.seen, "trouble": reach.trouble, "told": f"{host.partition('@')[2]}: {told}"}


def ago(then: str, now: str) -> str:
    """The time between two moments, in words: `4 min`."""
    left = max(0, int((datetime.fromisoformat(now) - datetime.fromisoformat(then)).total_seconds()))
    units = ((86400, "d"), (3600, "h"), (60, "min"), (1, "s"))
    return next((f"{left // size} {unit}" for size, unit in units if left >= size), "0 s")
