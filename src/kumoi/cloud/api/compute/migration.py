"""GET /os-migrations: resizes and moves. In a resize a server stays on its host, so both ends are that host."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kumoi.cloud.api.compute import rendering, shapes
from kumoi.cloud.api.request import Request
from kumoi.cloud.domain.compute import migration as domain
from kumoi.cloud.store.compute.migration import Migration
from kumoi.cloud.store.listing import Listing, Sort
from kumoi.engine.http.request import Reply

V_TYPE = (2, 23)
V_PAGES = (2, 59)
V_BEFORE = (2, 66)
V_OWNERS = (2, 80)
COLUMNS = {
    "instance_uuid": "server_id",
    "host": "host_id",
    "source_compute": "host_id",
    "migration_type": "kind",
}
OWNERS = {"user_id": "user_id", "project_id": "project_id"}
"""Filters since 2.80."""


def index(request: Request) -> Reply:
    """Newest first, in pages since 2.59. One that nobody has decided on yet counts by what it is shown as."""
    version = request.microversion
    is_paged = version >= V_PAGES
    known = COLUMNS | (OWNERS if version >= V_OWNERS else {})
    filters: dict[str, Sequence[Any]] = {
        known[name]: request.query_all(name) for name in known if name in request.query
    }
    since, until = request.query.get("changes-since"), request.query.get("changes-before")
    most = rendering.limit(request) if is_paged else rendering.PAGE_MAX
    wanted = Listing(
        filters=filters,
        sorts=(Sort("created_at", descending=True), Sort("number", descending=True)),
        limit=most,
        marker=request.query.get("marker") if is_paged else None,
    )
    with request.read() as connection:
        found = domain.page(
            connection,
            wanted,
            since=shapes.moment(since, "changes-since") if since and is_paged else None,
            until=shapes.moment(until, "changes-before") if until and version >= V_BEFORE else None,
        )
    status = request.query.get("status")
    shown = [_render(request, row, word) for row, word in found if status in (None, word)]
    if not is_paged:
        return Reply(200, {"migrations": shown})
    ids = [row.id for row, _ in found]
    return Reply(200, rendering.page(request, "migrations", shown, ids, most))


def _render(request: Request, row: Migration, word: str) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "id": row.number,
        "instance_uuid": row.server_id,
        "status": word,
        "source_compute": row.host_id,
        "source_node": row.host_id,
        "dest_compute": row.to_host_id or row.host_id,
        "dest_node": row.to_host_id or row.host_id,
        "dest_host": None,
        "old_instance_type_id": None,
        "new_instance_type_id": None,
        "created_at": rendering.precise(row.created_at),
        "updated_at": rendering.precise(row.updated_at),
    }
    if request.microversion >= V_TYPE:
        shown["migration_type"] = row.kind
    if request.microversion >= V_PAGES:
        shown["uuid"] = row.id
    if request.microversion >= V_OWNERS:
        shown |= {"user_id": row.user_id, "project_id": row.project_id}
    return shown
