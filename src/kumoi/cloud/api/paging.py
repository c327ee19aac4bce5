"""What the query strings of list requests have in common; api/<service>/ has each one's dialect."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import urlencode

from kumoi.base.errors import Invalid
from kumoi.cloud.api.request import Request

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


def links(request: Request, ids: Sequence[str], most: int | None) -> list[dict[str, str]]:
    """`next`, when the page is full."""
    if not most or len(ids) < most:
        return []
    query = [(k, v) for k, v in request.http.query_params.multi_items() if k != "marker"]
    page = f"{request.services.settings.api_url}{request.http.url.path}"
    return [{"rel": "next", "href": f"{page}?{urlencode([*query, ('marker', ids[-1])])}"}]
