"""Allocation candidates: which providers could take what is asked for, and what they have left."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from kumoi.cloud.api.placement import query, rendering
from kumoi.cloud.api.placement.query import CandidateQuery
from kumoi.cloud.api.request import Request
from kumoi.cloud.domain.placement import provider as domain
from kumoi.cloud.domain.placement.candidate import CandidateWish, candidates
from kumoi.cloud.domain.placement.provider import ResourceProvider
from kumoi.engine.http.request import Reply
from kumoi.engine.http.versions import Version

V_OBJECTS = (1, 12)
V_TRAITS = (1, 17)
V_ALL_RESOURCES = (1, 27)
V_TREE = (1, 29)
V_MAPPINGS = (1, 34)


def index(request: Request) -> Reply:
    """Each request names one provider, which takes all groups: none has parents or shares anything."""
    with request.read() as connection:
        wanted = query.candidates(request, domain.traits(connection))
        rows = domain.every(connection)
    wish = CandidateWish(groups=tuple(wanted.groups.values()), isolated=wanted.isolated)
    found = candidates(rows, wish)[: wanted.limit]
    version = request.microversion
    shown = [_request(version, row, wish.amounts, wanted) for row in found]
    summaries = {row.id: _summary(version, row, wish.amounts) for row in found}
    body = {"allocation_requests": shown, "provider_summaries": summaries}
    return rendering.reply(request, body)


def _request(
    version: Version, row: ResourceProvider, amounts: domain.Amounts, wanted: CandidateQuery
) -> dict[str, Any]:
    if version < V_OBJECTS:
        one = {"resource_provider": {"uuid": row.id}, "resources": amounts}
        return {"allocations": [one]}
    shown: dict[str, Any] = {"allocations": {row.id: {"resources": amounts}}}
    if version >= V_MAPPINGS:
        used = [suffix for suffix, group in wanted.groups.items() if group.amounts]
        shown["mappings"] = {suffix: [row.id] for suffix in used}
    return shown


def _summary(version: Version, row: ResourceProvider, asked: Collection[str]) -> dict[str, Any]:
    names = row.inventories if version >= V_ALL_RESOURCES else asked
    shown: dict[str, Any] = {
        "resources": {
            name: {"capacity": row.inventories[name].capacity, "used": row.used[name]}
            for name in names
        }
    }
    if version >= V_TRAITS:
        shown["traits"] = sorted(row.traits)
    if version >= V_TREE:
        shown |= {"parent_provider_uuid": None, "root_provider_uuid": row.id}
    return shown
