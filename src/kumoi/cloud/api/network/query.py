"""Neutron's query string: any attribute is a filter and may be repeated; an unknown one is an error."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from kumoi.base.errors import Invalid
from kumoi.cloud.api.request import Request
from kumoi.cloud.store import tag_filter
from kumoi.cloud.store.listing import Listing, Sort
from kumoi.cloud.store.network.standard import NetworkQuery
from kumoi.engine.http import paging

NO_FILTERS = frozenset({"fields", "limit", "marker", "page_reverse", "sort_key", "sort_dir"})
TAG_FILTERS = frozenset({"tags", "tags-any", "not-tags", "not-tags-any"})
STANDARD = {
    "id": "id",
    "description": "description",
    "project_id": "project_id",
    "tenant_id": "project_id",
    "revision_number": "revision_number",
}
NUMBERS = frozenset(
    {
        "mtu",
        "ip_version",
        "revision_number",
        "external_port",
        "internal_port",
        "port_range_min",
        "port_range_max",
        "provider:segmentation_id",
        "default_prefixlen",
        "min_prefixlen",
        "max_prefixlen",
        "default_quota",
    }
)
NO_CONSTANTS: Mapping[str, str] = {}
SORT_ONLY = {"created_at": "created_at", "updated_at": "updated_at"}


def read(
    request: Request,
    columns: Mapping[str, str],
    *,
    booleans: Collection[str] = (),
    special: Collection[str] = (),
    constants: Mapping[str, str] = NO_CONSTANTS,
) -> NetworkQuery:
    """The filters, order and page of a list request. `columns` maps an attribute to its column;
    `special` are the filters that the noun's store understands itself; `constants` are attributes
    that have the same value everywhere.
    """
    known = {**STANDARD, **columns}
    asked = list(dict.fromkeys(request.query.keys()))
    require_known(request, {*known, *TAG_FILTERS, *special, *constants})
    filters: dict[str, Sequence[Any]] = {
        known[name]: _values(name, request.query_all(name), booleans)
        for name in asked
        if name in known
    }
    for name, value in constants.items():
        if name in request.query and value not in request.query_all(name):
            filters["id"] = []  # Nothing has another.
    listing = Listing(
        filters=filters,
        sorts=_sorts(request, known | SORT_ONLY, constants),
        limit=paging.limit(request) or paging.PAGE_MAX,
        marker=request.query.get("marker"),
        page_reverse=request.query.get("page_reverse", "").lower() == "true",
    )
    found = {name: request.query_all(name) for name in special if name in request.query}
    return NetworkQuery(listing=listing, tags=tag_filter.read(request.query_all), special=found)


def require_known(request: Request, filters: Collection[str]) -> None:
    """Raises Invalid for any other filter: without it a list would be of more than was asked for."""
    asked = dict.fromkeys(request.query.keys())
    unknown = [name for name in asked if name not in NO_FILTERS and name not in filters]
    if unknown:
        raise Invalid(
            f"Invalid input for operation: {unknown} is invalid attribute for filtering.",
            field=unknown[0],
            kind="InvalidInput",
        )


def fields(request: Request) -> frozenset[str]:
    """The attributes to show; empty for all."""
    return frozenset(name for name in request.query_all("fields") if name)


def _values(name: str, texts: Sequence[str], booleans: Collection[str]) -> Sequence[Any]:
    if name in booleans:
        return [paging.boolean(text, name) for text in texts]
    if name in NUMBERS:
        return [paging.integer(text, name) for text in texts]
    return texts


def _sorts(
    request: Request, columns: Mapping[str, str], constants: Collection[str]
) -> tuple[Sort, ...]:
    """What is the same everywhere makes no order."""
    keys, directions = request.query_all("sort_key"), request.query_all("sort_dir")
    if directions and len(directions) != len(keys):
        raise Invalid("The number of sort_keys and sort_dirs must be same", field="sort_dir")
    sorts: list[Sort] = []
    for index, key in enumerate(keys):
        direction = directions[index] if directions else "asc"
        if direction not in ("asc", "desc"):
            raise Invalid(
                f"The value for sort_dir is invalid: '{direction}' is not one of asc, desc",
                field="sort_dir",
            )
        if key in constants:
            continue
        if key not in columns:
            raise Invalid(f"['{key}'] is invalid attribute for sort_keys", field="sort_key")
        sorts.append(Sort(columns[key], direction == "desc"))
    return tuple(sorts)
