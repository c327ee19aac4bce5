"""Octavia's query string: any attribute filters and may be repeated; an unknown one is ignored."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from kumoi.base.errors import Invalid
from kumoi.cloud.api.request import Request
from kumoi.cloud.store import tag_filter
from kumoi.cloud.store.listing import Listing, Sort
from kumoi.cloud.store.network.standard import NetworkQuery
from kumoi.engine.http import paging

STANDARD: Mapping[str, type] = {
    "id": str,
    "name": str,
    "description": str,
    "project_id": str,
    "admin_state_up": bool,
}
STATUSES = ("provisioning_status", "operating_status")
SORT_ONLY = frozenset({"created_at", "updated_at"})
RENAMED = {
    "tenant_id": "project_id",
    "loadbalancer_id": "load_balancer_id",
    "flavor_data": "data",
    "availability_zone_data": "data",
    "flavor_profile_id": "profile_id",
    "availability_zone_profile_id": "profile_id",
}


def read(request: Request, known: Mapping[str, type], order: str) -> NetworkQuery:
    """What a list request asks for. `known` are the columns that it may name, with their types, `order` the one
    to sort by where it names none. `special` of the answer has the states, which are no columns.
    """
    filters: dict[str, Sequence[Any]] = {}
    for name in dict.fromkeys(request.query.keys()):
        column = RENAMED.get(name, name)
        if column in known:
            filters[column] = _values(name, request.query_all(name), known[column])
    listing = Listing(
        filters=filters,
        sorts=_sorts(request, known, order),
        limit=paging.limit(request) or paging.PAGE_MAX,
        marker=request.query.get("marker"),
        page_reverse=request.query.get("page_reverse", "").lower() == "true",
    )
    states = {name: request.query_all(name) for name in STATUSES if name in request.query}
    return NetworkQuery(listing=listing, tags=tag_filter.read(request.query_all), special=states)


def fields(request: Request) -> frozenset[str]:
    """The attributes to show; none named is all."""
    return frozenset(
        name for text in request.query_all("fields") for name in text.split(",") if name
    )


def _values(name: str, texts: Sequence[str], kind: type) -> Sequence[Any]:
    if kind is bool:
        return [paging.boolean(text, name) for text in texts]
    if kind is int:
        return [paging.integer(text, name) for text in texts]
    return texts


def _sorts(request: Request, known: Mapping[str, type], order: str) -> tuple[Sort, ...]:
    """`sort=name:desc,id`, or `sort_key` with `sort_dir`."""
    asked = [text for text in request.query.get("sort", "").split(",") if text]
    if not asked and "sort_key" in request.query:
        asked = [f"{request.query['sort_key']}:{request.query.get('sort_dir', 'asc')}"]
    sorts = []
    for text in asked:
        key, _, direction = text.partition(":")
        key = RENAMED.get(key, key)
        if key not in known and key not in SORT_ONLY:
            raise Invalid(f"Supplied sort key '{key}' is not valid.", field="sort")
        if direction not in ("", "asc", "desc"):
            raise Invalid(f"Supplied sort direction '{direction}' is not valid.", field="sort")
        sorts.append(Sort(key, direction == "desc"))
    return tuple(sorts) or (Sort(order),)
