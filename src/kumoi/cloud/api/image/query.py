"""The query string of a list of images: filters, order and page, in Glance's dialect."""

from __future__ import annotations

from typing import Any, get_args

from kumoi.base.errors import Invalid
from kumoi.cloud.api.image.body import Visibility
from kumoi.cloud.api.request import Request
from kumoi.cloud.domain.image.image import PROPERTIES_MAX
from kumoi.cloud.store.image.image_filter import COMPARISONS, ImageFilter, TimeFilter
from kumoi.cloud.store.listing import Listing, Sort
from kumoi.engine.http import paging

PAGE = 25
# Attributes that may be one of several: `in:a,b`.
SEVERAL = ("id", "name", "status", "container_format", "disk_format")
EXACT = ("owner", "checksum", "os_hash_value")
NUMBERS = ("min_disk", "min_ram", "size")
TIMES = ("created_at", "updated_at")
COLUMN = {"os_hash_value": "sha512"}
SORTABLE = (
    *("id", "name", "status", "visibility", "owner", "container_format", "disk_format", "size"),
    *("virtual_size", "min_disk", "min_ram", "protected", "os_hidden", "created_at", "updated_at"),
)
OTHER = frozenset(
    {
        *("limit", "marker", "sort", "sort_key", "sort_dir", "visibility", "member_status"),
        *("size_min", "size_max", "tag", "protected", "os_hidden"),
    }
)
VISIBILITIES = frozenset({*get_args(Visibility), "all"})
MEMBER_STATUSES = frozenset({"pending", "accepted", "rejected", "all"})


def listing(request: Request) -> Listing:
    """Raises Invalid, which names the parameter."""
    filters: dict[str, Any] = {}
    for name in (*SEVERAL, *EXACT):
        if name in request.query:
            several = name in SEVERAL
            filters[COLUMN.get(name, name)] = _values(request.query[name], several=several)
    for name in NUMBERS:
        if name in request.query:
            filters[name] = [_number(request, name)]
    if "protected" in request.query:
        filters["protected"] = [paging.boolean(request.query["protected"], "protected")]
    most = paging.limit(request, default=PAGE)
    return Listing(
        filters=filters,
        sorts=_sorts(request),
        limit=most,
        marker=request.query.get("marker"),
    )


def wanted(request: Request) -> ImageFilter:
    """Raises Invalid, which names the parameter."""
    query = request.query
    parameters = {*SEVERAL, *EXACT, *NUMBERS, *TIMES, *OTHER}
    properties = {name: query[name] for name in query if name not in parameters}
    if len(properties) > PROPERTIES_MAX:
        raise Invalid(f"an image has at most {PROPERTIES_MAX} properties", field=max(properties))
    return ImageFilter(
        visibility=_one_of(request, "visibility", VISIBILITIES),
        member_status=_one_of(request, "member_status", MEMBER_STATUSES) or "accepted",
        os_hidden=paging.boolean(query.get("os_hidden", "false"), "os_hidden"),
        size_min=_number(request, "size_min"),
        size_max=_number(request, "size_max"),
        tags=request.query_all("tag"),
        times=[_time(name, value) for name in TIMES for value in request.query_all(name)],
        properties=properties,
    )


def _values(text: str, *, several: bool) -> list[str]:
    """The values of `in:a,b`; a comma within quotes is part of a value."""
    if not several or not text.startswith("in:"):
        return [text.removeprefix("eq:") if several else text]
    found: list[str] = []
    rest = text.removeprefix("in:")
    while rest:
        if rest.startswith('"'):
            value, closed, rest = rest[1:].partition('"')
            if not closed or (rest and not rest.startswith(",")):
                raise Invalid(f"'{text}' has a quote too many", field="in")
            rest = rest.removeprefix(",")
        else:
            value, _, rest = rest.partition(",")
        found.append(value)
    return found


def _number(request: Request, name: str) -> int | None:
    text = request.query.get(name)
    if text is None:
        return None
    number = paging.natural(text)
    if number is None:
        raise Invalid(f"Cannot convert {name} '{text}' to an integer.", field=name)
    return number


def _one_of(request: Request, name: str, allowed: frozenset[str]) -> str | None:
    value = request.query.get(name)
    if value is not None and value not in allowed:
        raise Invalid(f"Invalid {name} value: {value}", field=name)
    return value


def _time(name: str, text: str) -> TimeFilter:
    comparison, colon, at = text.partition(":")
    if comparison not in COMPARISONS or not colon:
        comparison, at = "eq", text
    try:
        moment = paging.moment(at)
    except ValueError as cause:
        raise Invalid(f"'{at}' is not a time", field=name) from cause
    return TimeFilter(name, comparison, moment)


def _sorts(request: Request) -> tuple[Sort, ...]:
    """Newest first, unless `sort=name:asc,size` or `sort_key` with `sort_dir` say otherwise."""
    keys, directions = request.query_all("sort_key"), request.query_all("sort_dir")
    if "sort" in request.query:
        if keys or directions:
            raise Invalid("sort goes without sort_key and sort_dir", field="sort")
        pairs = [item.strip().partition(":") for item in request.query["sort"].split(",")]
        keys = [key for key, _, _ in pairs]
        directions = [direction or "desc" for _, _, direction in pairs]
    if len(directions) not in (0, 1, len(keys)):
        raise Invalid(
            "Number of sort dirs does not match the number of sort keys", field="sort_dir"
        )
    if len(directions) <= 1:
        directions = (directions or ["desc"]) * max(len(keys), 1)
    if not keys:
        keys = ["created_at"]
    sorts = list(zip(keys, directions, strict=True))
    for key, direction in sorts:
        if key not in SORTABLE:
            raise Invalid(f"Invalid sort key: {key}", field="sort_key")
        if direction not in ("asc", "desc"):
            raise Invalid(f"Invalid sort direction: {direction}", field="sort_dir")
    return tuple(Sort(key, direction == "desc") for key, direction in sorts)
