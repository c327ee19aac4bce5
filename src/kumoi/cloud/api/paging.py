"""The query string of a list request, in the three dialects the services speak."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

from kumoi.base.errors import Invalid
from kumoi.cloud.api.request import Request
from kumoi.cloud.store.listing import Listing, Sort

PAGE_MAX = 1_000
BOOLEANS = {"true": True, "1": True, "false": False, "0": False}


def boolean(text: str, field: str) -> bool:
    """Raises Invalid."""
    value = BOOLEANS.get(text.lower())
    if value is None:
        raise Invalid(f"'{text}' is not a valid boolean value.", field=field)
    return value


def limit(request: Request, *, default: int | None = None, most: int = PAGE_MAX) -> int | None:
    """`limit`, cut to `most`. Raises Invalid when it is not a number of 0 or more."""
    raw = request.query.get("limit")
    if raw is None:
        return default
    if not raw.isdecimal():
        raise Invalid(
            f"Invalid input for limit: '{raw}' is not a non-negative integer", field="limit"
        )
    return min(int(raw), most)


def network_listing(
    request: Request, columns: Mapping[str, str], *, booleans: Sequence[str] = ()
) -> Listing:
    """Neutron's: any attribute is a filter, may be repeated; `sort_key`, `sort_dir`, `limit`,
    `marker`, `page_reverse`. `columns` maps an attribute to its column."""
    filters: dict[str, Sequence[Any]] = {}
    for attribute, column in columns.items():
        values: list[Any] = request.query_all(attribute)
        if values:
            if attribute in booleans:
                values = [boolean(value, attribute) for value in values]
            filters[column] = values
    directions = request.query_all("sort_dir")
    sorts = [
        Sort(columns.get(name, name), _direction(directions, index) == "desc")
        for index, name in enumerate(request.query_all("sort_key"))
    ]
    most = limit(request)
    return Listing(
        filters=filters,
        sorts=tuple(sorts),
        limit=most or None,
        marker=request.query.get("marker"),
        page_reverse=request.query.get("page_reverse", "").lower() == "true",
    )


def _direction(directions: Sequence[str], index: int) -> str:
    direction = directions[index] if index < len(directions) else "asc"
    if direction not in ("asc", "desc"):
        raise Invalid(f"'{direction}' is not one of asc, desc", field="sort_dir")
    return direction


def links(request: Request, ids: Sequence[str], most: int | None) -> list[dict[str, str]]:
    """`next`, when the page is full."""
    if not most or len(ids) < most:
        return []
    query = [(k, v) for k, v in request.http.query_params.multi_items() if k != "marker"]
    page = f"{request.services.settings.api_url}{request.http.url.path}"
    return [{"rel": "next", "href": f"{page}?{urlencode([*query, ('marker', ids[-1])])}"}]
