"""What compute's answers have in common: links, times, pages."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

from kumoi.base.errors import Invalid
from kumoi.cloud.api.request import Request

PAGE_MAX = 1_000
VERSION = "v2.1"
_INTEGER = re.compile(r"-?[0-9]{1,18}")


def links(request: Request, path: str) -> list[dict[str, str]]:
    """`self` with the version in it, `bookmark` without."""
    return links_to(request.base, path)


def links_to(base: str, path: str) -> list[dict[str, str]]:
    """`links` of a service whose public URL is known."""
    return [
        {"rel": "self", "href": f"{base}/{VERSION}/{path}"},
        {"rel": "bookmark", "href": f"{base}/{path}"},
    ]


def time(value: datetime) -> str:
    """2026-01-01T00:00:00Z"""
    return f"{value.isoformat()[:19]}Z"


def precise(value: datetime | None) -> str | None:
    """2026-01-01T00:00:00.000000, which some attributes have."""
    if value is None:
        return None
    return value.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds")


def limit(request: Request) -> int:
    """`limit`, PAGE_MAX where none is given and at most. Raises Invalid when it is not a number of
    0 or more.
    """
    return min(_natural(request.query.get("limit", str(PAGE_MAX)), "limit"), PAGE_MAX)


def offset(request: Request) -> int:
    return _natural(request.query.get("offset", "0"), "offset")


def page_links(request: Request, ids: Sequence[str], most: int) -> list[dict[str, str]]:
    """`next`, when the page is full."""
    if not most or len(ids) < most:
        return []
    query = [(k, v) for k, v in request.query.multi_items() if k != "marker"]
    path = request.url_path.split("/", 2)[2]  # Without the service's prefix.
    href = f"{request.base}/{path}?{urlencode([*query, ('marker', ids[-1])])}"
    return [{"rel": "next", "href": href}]


def page(
    request: Request, name: str, shown: list[Any], ids: Sequence[str], most: int
) -> dict[str, Any]:
    """The body of a list, with `<name>_links` when there is more."""
    body: dict[str, Any] = {name: shown}
    more = page_links(request, ids, most)
    if more:
        body[f"{name}_links"] = more
    return body


def _natural(raw: str, field: str) -> int:
    if not _INTEGER.fullmatch(raw):
        raise Invalid(
            f"Invalid input for query parameters {field}. Value: {raw}. '{raw}' does not match "
            "'^[0-9]*$'",
            field=field,
        )
    value = int(raw)
    if value < 0:
        raise Invalid(
            f"Invalid input for query parameters {field}. Value: {raw}. {field} must be >= 0",
            field=field,
        )
    return value
