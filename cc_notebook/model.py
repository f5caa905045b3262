"""The workflow as a value: what a valid file means. It knows no YAML, no files and no running."""

from __future__ import annotations

import re
import shlex
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

Kind = Literal["local", "ssh", "slurm", "lsf", "wsl"]
Trigger = Literal["all_success", "all_done", "one_failed", "none_failed", "always"]
Scalar = str | int | float | bool
KINDS: tuple[str, ...] = get_args(Kind)
PAYLOAD_KINDS = ("sh", "python", "jupyter")  # section 5.2 of the article names payloads as kinds; they mean local

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_BYTES = {"k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}


def seconds(value: object) -> object:
    """`90`, `"10m"`, `"1h"`, `"mm:ss"`, `"hh:mm:ss"` or `"d-hh:mm:ss"` as seconds; anything else unchanged."""
    if not isinstance(value, str):
        return value
    if match := re.fullmatch(r"(\d+(?:\.\d+)?)\s*([smhd])", value.strip()):
        return float(match[1]) * _UNITS[match[2]]
    if match := re.fullmatch(r"(?:(?:(\d+)-)?(\d+):)?(\d+):(\d+)", value.strip()):
        days, hours, minutes, secs = (int(part or 0) for part in match.groups())
        return float(((days * 24 + hours) * 60 + minutes) * 60 + secs)
    return value


def memory_bytes(value: object) -> object:
    """`"4G"`, `"500MB"` or a number of bytes as bytes; anything else unchanged."""
    if isinstance(value, str) and (match := re.fullmatch(r"(\d+(?:\.\d+)?)\s*([kmgt])i?b?", value.strip().lower())):
        return int(float(match[1]) * _BYTES[match[2]])
    return value


def _names(value: object) -> object:
    return [part.strip() for part in value.split(",")] if isinstance(value, str) else value


def _words(value: object) -> object:
    return shlex.split(value) if isinstance(value, str) else value


def _progress(value: object) -> object:
    if isinstance(value, str) and "{n}" not in value:
        raise ValueError("progress is a number from 0 to 100 or a pattern with {n}, such as 'Epoch {n}/{total}'")
    return value


Seconds = Annotated[float, BeforeValidator(seconds), Field(gt=0, le=10**9)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


class Resources(_Part):
    """What a job asks of its machine. `time` in seconds, `memory` in bytes; other keys go to the batch system."""

    model_config = ConfigDict(frozen=True, extra="allow")
    cpus: int = Field(1, ge=1)
    gpus: int = Field(0, ge=0)
    memory: Annotated[int, BeforeValidator(memory_bytes), Field(gt=0)] | None = None
    time: Seconds | None = None


class Retry(_Part):
    """How often to try again (`max`), after which endings (`on`; empty: any failure), and the wait before it."""

    max: int = Field(0, ge=0, le=1000)
    on: tuple[str | int, ...] = ()
    delay: Annotated[float, BeforeValidator(seconds), Field(ge=0)] = 0.0

    @model_validator(mode="before")
    @classmethod
    def _short(cls, value: Any) -> Any:
        return {"max": value} if isinstance(value, int) else value


class Files(_Part):
    """Files that travel: `in` before the start, `out` after the end; paths relative to the working directory."""

    in_: tuple[str, ...] = Field((), alias="in")
    out: tuple[str, ...] = ()


class Job(BaseModel):
    """One node of a workflow. Attributes that it does not know are kept and usable as `{attribute}`."""

    model_config = ConfigDict(frozen=True, extra="allow")
    name: str = ""
    kind: Annotated[Kind, BeforeValidator(lambda kind: "local" if kind in PAYLOAD_KINDS else kind)] = "local"
    host: str = ""
    user: str = ""
    script: str | None = None
    exec: str | None = None
    args: Annotated[tuple[Scalar, ...], BeforeValidator(_words)] = ()
    env: dict[str, Scalar] = {}
    params: dict[str, Any] = {}
    venv: str | None = None
    label: str | None = None
    shape: str | None = None
    style: str | None = None
    status: str | int | None = None
    progress: Annotated[Annotated[int, Field(ge=0, le=100)] | str | None, BeforeValidator(_progress)] = None
    resources: Resources = Resources()
    timeout: Seconds | None = None
    retry: Retry = Retry()
    after: Annotated[tuple[str, ...], BeforeValidator(_names)] = ()
    trigger: Trigger = "all_success"
    isolated: bool = False
    files: Files = Files()

    @model_validator(mode="before")
    @classmethod
    def _other_words(cls, value: Any) -> Any:
        """`command` is another word for `exec`, `parameters` for `params`."""
        if not isinstance(value, dict):
            return value
        value = dict(value)
        for other, word in (("command", "exec"), ("parameters", "params")):
            if other in value:
                if value.get(word) is not None:
                    raise ValueError(f"{other} and {word} are two words for the same thing: keep one")
                value[word] = value.pop(other)
        if value.get("script") and value.get("exec"):
            raise ValueError("script and exec cannot both be given: a job runs one of them")
        return {key: item for key, item in value.items() if item is not None}

    @property
    def instant(self) -> bool:
        """A marker such as `start` and `end`: nothing is executed."""
        return self.script is None and self.exec is None

    @property
    def limit(self) -> float | None:
        """The time limit in seconds: the smaller of `timeout` and `resources.time`."""
        return min((t for t in (self.timeout, self.resources.time) if t is not None), default=None)

    @property
    def pattern(self) -> str | None:
        """The pattern by which a tool's own lines report progress, if one is declared."""
        return self.progress if isinstance(self.progress, str) else None


class Host(_Part):
    """A machine of the `hosts:` section; every field is optional, an ssh alias works without any."""

    address: str = ""
    user: str = ""
    port: int | None = None
    workdir: str = "~/.cc-notebook"
    python: str = "python3"
    setup: str = ""
    transport: str = ""
    queue: str = ""
    max_parallel: int | None = Field(None, ge=1)
    min_poll: float | None = None
    ssh_config: str | None = None
    venv: str | None = None
    before: str | None = None
    after: str | None = None


class Workflow(BaseModel):
    """A valid workflow: jobs by name in file order, and the edges (parent, child) without repetition."""

    model_config = ConfigDict(frozen=True)
    name: str = ""
    params: dict[str, Any] = {}
    hosts: dict[str, Host] = {}
    scheduler: str = "parallel"
    max_parallel: int | None = Field(None, ge=1)
    jobs: dict[str, Job] = {}
    edges: tuple[tuple[str, str], ...] = ()
