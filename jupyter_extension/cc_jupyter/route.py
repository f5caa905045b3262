"""The words of the service: a route, what is asked by it, what is answered, and a refusal. It knows no HTTP server."""

import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, create_model
from pydantic_core import to_json

JSON, YAML = "application/json", "application/yaml"


class Refusal(Exception):
    """A request that cannot be served: an HTTP status, and in words what is wrong and what to do."""

    def __init__(self, status: int, message: str, hint: str = "") -> None:
        self.status, self.hint = status, hint
        super().__init__(message)


@dataclass(frozen=True)
class Ask:
    """What of a request only some routes look at."""

    root: Path  # of the server's files
    headers: Mapping[str, str]
    data: bytes = b""  # the body, or the one file of a form
    media: str = ""  # of the body, without its parameters

    def wants(self, media: str, format: str | None) -> bool:
        """True if `?format=`, or else the request's `Accept`, names this media type."""
        return media.endswith(f"/{format}") if format else media in self.headers.get("Accept", "")


@dataclass(frozen=True)
class Reply:
    """An answer that is more than a value for JSON."""

    body: Any = None  # bytes, text, a stream of bytes, or a value for JSON
    status: int = 0  # 0: the route's own
    media: str = JSON
    headers: dict[str, str] = field(default_factory=dict)
    at: str = ""  # the name of what was made: its URL is below that of the request


def encoded(value: Any) -> bytes:
    """JSON in UTF-8; what is no number is null."""
    return to_json(value, inf_nan_mode="null", by_alias=True)


@dataclass(frozen=True)
class Route:
    """A row of the table. The function says the rest: its docstring is the description, its arguments are those of the
    path, of the query, and `body` (JSON) and `ask`."""

    method: str
    path: str
    work: Callable[..., Any]
    gives: tuple[Any, ...] = ()  # of JSON a type, the types of an object's fields, or some such; else a media type
    status: int = 200
    also: tuple[int, ...] = ()  # other good statuses
    takes: tuple[str, ...] = ()  # media types of the body beside, or in the place of, JSON
    wrong: int = 422  # what an InputError means here
    runs: bool = False  # it makes jobs run, or ends them

    @property
    def action(self) -> str:
        """The word by which an authorizer knows what is about to be done."""
        return "read" if self.method == "GET" else "execute" if self.runs else "write"

    @property
    def reads(self) -> bool:
        """It waits for nothing: it only looks at what is known, and tells it as JSON."""
        return self.method == "GET" and not any(isinstance(given, str) for given in self.gives)

    @cached_property
    def names(self) -> list[str]:
        """The variable parts of the path."""
        return re.findall(r"{(\w+)}", self.path)

    @cached_property
    def pattern(self) -> str:
        """The path as a regular expression."""
        return "([^/]+)".join(re.escape(part) for part in re.split(r"{\w+}", self.path))

    @cached_property
    def arguments(self) -> type[BaseModel]:
        """The arguments of the function that a request gives, as a model."""
        known = {key: one for key, one in self.known.items() if key != "ask"}
        fields: Any = {key: (it.annotation, ... if it.default is it.empty else it.default) for key, it in known.items()}
        return create_model("Arguments", __config__=ConfigDict(extra="forbid"), **fields)

    @cached_property
    def known(self) -> Mapping[str, inspect.Parameter]:
        """Every argument of the function."""
        return inspect.signature(self.work).parameters

    def call(self, names: Sequence[str], query: Mapping[str, str], value: Any, ask: Ask) -> dict[str, Any]:
        """The arguments of `work`, checked. Raises pydantic's ValidationError."""
        given: Any = {**query, **dict(zip(self.names, names, strict=True))}
        given |= {"body": value} if "body" in self.known else {}
        return dict(self.arguments.model_validate(given)) | ({"ask": ask} if "ask" in self.known else {})
