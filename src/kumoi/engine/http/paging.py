"""Parts of the query strings of list requests that several services share."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from datetime import UTC, datetime
from typing import Any, Generic, TypeVar
from urllib.parse import urlencode

from kumoi.base.errors import Invalid
from kumoi.engine.http.request import Request

Asked = TypeVar("Asked")

PAGE_MAX = 1_000
QUERIES_KEPT = 1_000
QUERY_KEPT_BYTES = 512
DIGITS_MAX = 18  # Any such number has room in 64 bits.
BOOLEANS = {"true": True, "1": True, "false": False, "0": False}


class QueryMemo(Generic[Asked]):
    """What query strings ask for, each read once: clients ask the same again and again. `read`
    looks at nothing else of a request.
    """

    def __init__(self, read: Callable[..., Asked]) -> None:
        self._read = read
        self._kept: dict[tuple[Hashable, bytes], Asked] = {}

    def of(self, request: Request[Any, Any], *about: Hashable) -> Asked:
        """`read(request, *about)`."""
        text: bytes = request.http.scope["query_string"]
        key = (about, text)
        found = self._kept.get(key)
        if found is None:
            found = self._read(request, *about)
            if len(text) <= QUERY_KEPT_BYTES:
                if len(self._kept) >= QUERIES_KEPT:
                    self._kept.clear()
                self._kept[key] = found
        return found


def natural(text: str) -> int | None:
    """The number that decimal digits say; None for other text and for what no column could hold."""
    return int(text) if text.isdecimal() and len(text) <= DIGITS_MAX else None


def integer(text: str, field: str) -> int:
    """Of either sign. Raises Invalid."""
    number = natural(text.removeprefix("-"))
    if number is None:
        raise Invalid(f"'{text}' is not an integer", field=field)
    return -number if text.startswith("-") else number


def boolean(text: str, field: str) -> bool:
    """Raises Invalid."""
    value = BOOLEANS.get(text.lower())
    if value is None:
        raise Invalid(f"'{text}' is not a valid boolean value.", field=field)
    return value


def moment(text: str) -> datetime:
    """A time as ISO 8601, in UTC; without a zone it is UTC. Raises ValueError."""
    found = datetime.fromisoformat(text)
    try:
        return found.astimezone(UTC) if found.tzinfo else found.replace(tzinfo=UTC)
    except OverflowError as cause:
        raise ValueError(f"{text} is before or after all times") from cause


def limit(
    request: Request[Any, Any], *, default: int | None = None, most: int = PAGE_MAX
) -> int | None:
    """`limit`, cut to `most`. Raises Invalid when it is not a number of 0 or more."""
    raw = request.query.get("limit")
    if raw is None:
        return default
    wanted = natural(raw)
    if wanted is None:
        raise Invalid(
            f"Invalid input for limit: '{raw}' is not a non-negative integer", field="limit"
        )
    return min(wanted, most)


def links(request: Request[Any, Any], ids: Sequence[str], most: int | None) -> list[dict[str, str]]:
    """`next`, when the page is full."""
    if not most or len(ids) < most:
        return []
    query = [(k, v) for k, v in request.query.multi_items() if k != "marker"]
    page = f"{request.root}{request.url_path}"
    return [{"rel": "next", "href": f"{page}?{urlencode([*query, ('marker', ids[-1])])}"}]
