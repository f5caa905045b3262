"""Times and sizes as people and batch systems write them."""

import re

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_BYTES = {"k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}


def seconds(value: object) -> object:
    """`90`, `"10m"`, `"mm:ss"`, `"hh:mm:ss"` or `"d-hh:mm:ss"` as seconds; anything else unchanged."""
    text = value.strip() if isinstance(value, str) else ""
    if match := re.fullmatch(r"(\d+(?:\.\d+)?)\s*([smhd])", text):
        return float(match[1]) * _UNITS[match[2]]
    if match := re.fullmatch(r"(?:(?:(\d+)-)?(\d+):)?(\d+):(\d+)", text):
        days, hours, minutes, secs = (int(part or 0) for part in match.groups())
        return float(((days * 24 + hours) * 60 + minutes) * 60 + secs)
    return value


def memory_bytes(value: object) -> object:
    """`"4G"`, `"500MB"` or a number of bytes as bytes; anything else unchanged."""
    if isinstance(value, str) and (match := re.fullmatch(r"(\d+(?:\.\d+)?)\s*([kmgt])i?b?", value.strip().lower())):
        return int(float(match[1]) * _BYTES[match[2]])
    return value
