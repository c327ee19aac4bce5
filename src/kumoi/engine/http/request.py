"""The request that a handler gets, and the Reply that it returns.

A handler parses (`request.parse`), calls one domain function inside `request.read()` or
`request.write()`, renders, and returns a Reply. It runs in a worker thread; a streaming handler is
a coroutine and uses `request.http` itself.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, TypeVar

import msgspec
from sqlalchemy.engine import Connection
from starlette.datastructures import QueryParams
from starlette.requests import Request as HttpRequest

from kumoi.base.clock import Clock
from kumoi.base.errors import Bug, Invalid
from kumoi.engine.audit import Record
from kumoi.engine.db import Database

NUL_WORD = b"\\u0000"
NUL = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")
"""NUL as JSON writes it. PostgreSQL accepts none in a text, nor does OVN's database."""

NO_QUERY = QueryParams()

UNSET = msgspec.UNSET
Unset = msgspec.UnsetType


class Context(Protocol):
    """The services that every handler has; the cloud and the pipeline each add their own."""

    @property
    def database(self) -> Database: ...
    @property
    def clock(self) -> Clock: ...


Services = TypeVar("Services", bound=Context)
Who = TypeVar("Who")
Shape = TypeVar("Shape")


class Body(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Base of the shapes of bodies. A field left out is UNSET, which differs from null."""


@dataclass(frozen=True, slots=True)
class Reply:
    """`body` is encoded as JSON unless it is bytes; None is no body; an iterator is streamed."""

    status: int
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)
    stream: AsyncIterator[bytes] | Iterator[bytes] | None = None
    media_type: str = "application/json"


@dataclass(slots=True)
class Request(Generic[Services, Who]):
    """One request. `path` holds the route's placeholders; `microversion` is (2, 96) and the like
    where the service has them; `base` is the service's public URL without a version, and `root`
    what stands before every service's prefix; `claims` are what a caller's token says.
    """

    services: Services
    http: HttpRequest
    path: dict[str, str]
    raw: bytes
    root: str
    base: str
    request_id: str
    source: str
    microversion: tuple[int, int] = (0, 0)
    caller_or_none: Who | None = None
    claims: Any = None
    record: Record | None = None
    quiet: bool = False

    @property
    def caller(self) -> Who:
        if self.caller_or_none is None:
            raise Bug("the handler of a route without a policy asked for its caller")
        return self.caller_or_none

    @property
    def query(self) -> QueryParams:
        return self.http.query_params if self.http.scope["query_string"] else NO_QUERY

    def query_all(self, key: str) -> list[str]:
        return self.query.getlist(key)

    @property
    def url_path(self) -> str:
        """The path as it was sent. `http.url` is made of the Host header, too, which may be
        anything.
        """
        return str(self.http.scope["path"])

    @property
    def json(self) -> bytes:
        """The body, checked for text that no database stores. Raises Invalid."""
        if not self.raw.isascii():
            try:
                self.raw.decode()
            except UnicodeDecodeError as cause:
                raise Invalid("the body is not UTF-8", field="body") from cause
        if NUL_WORD in self.raw and NUL.search(self.raw):
            raise Invalid("the body holds a NUL character", field="body")
        return self.raw or b"null"

    def parse(self, shape: type[Shape]) -> Shape:
        """The body as `shape`. Raises Invalid naming the field that does not fit."""
        try:
            return msgspec.json.decode(self.json, type=shape)
        except msgspec.ValidationError as cause:
            # The library's sentence is "Expected `str`, got `int` - at `$.network.name`".
            text, _, path = str(cause).partition(" - at `")
            name = path.rstrip("`").removeprefix("$").removeprefix(".") or "body"
            raise Invalid(f"Invalid input for field {name}: {text}", field=name) from cause
        except msgspec.DecodeError as cause:
            raise Invalid("the body is not JSON", field="body") from cause
        except RecursionError as cause:
            raise Invalid("the body is nested too deeply", field="body") from cause

    def read(self) -> AbstractContextManager[Connection]:
        return self.services.database.read()

    def write(self) -> AbstractContextManager[Connection]:
        return self.services.database.write()


def encoded(shown: Any) -> msgspec.Raw:
    """A part of an answer's body, for a Memo."""
    return msgspec.Raw(msgspec.json.encode(shown))
