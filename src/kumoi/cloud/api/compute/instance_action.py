"""Instance actions: what is shown."""

from __future__ import annotations

import hashlib
from typing import Any

from sqlalchemy.engine import Connection

from kumoi.cloud.api.compute import rendering, shapes
from kumoi.cloud.api.request import Request
from kumoi.cloud.domain.compute import action as domain
from kumoi.cloud.domain.compute import server
from kumoi.cloud.store.compute.action import InstanceAction
from kumoi.cloud.store.compute.server import Server
from kumoi.engine.http.request import Reply

V_DELETED = (2, 21)
V_EVENTS_FOR_ALL = (2, 51)
V_PAGES = (2, 58)
V_HOST = (2, 62)
V_BEFORE = (2, 66)
V_DETAILS = (2, 84)
EVENTS = "os_compute_api:os-instance-actions:events"
DETAILS = "os_compute_api:os-instance-actions:events:details"


def index(request: Request) -> Reply:
    paged = request.microversion >= V_PAGES
    most = rendering.limit(request) if paged else rendering.PAGE_MAX
    since, until = request.query.get("changes-since"), request.query.get("changes-before")
    with request.read() as connection:
        found = _server(connection, request)
        rows = domain.page(
            connection,
            found.id,
            since=shapes.moment(since, "changes-since") if since and paged else None,
            until=shapes.moment(until, "changes-before")
            if until and request.microversion >= V_BEFORE
            else None,
            marker=request.query.get("marker") if paged else None,
            limit=most,
        )
    body: dict[str, Any] = {"instanceActions": [_brief(request, row) for row in rows]}
    more = rendering.page_links(request, [row.request_id for row in rows], most)
    if more and paged:
        body["links"] = more
    return Reply(200, body)


def show(request: Request) -> Reply:
    with request.read() as connection:
        found = _server(connection, request)
        row = domain.get(connection, found.id, request.path["request_id"])
    shown = _brief(request, row)
    if request.microversion >= V_EVENTS_FOR_ALL or request.caller.may(EVENTS):
        shown["events"] = [_event(request, row)]
    return Reply(200, {"instanceAction": shown})


def _server(connection: Connection, request: Request) -> Server:
    """Since 2.21 also one that was deleted, as long as its row is there."""
    deleted = request.microversion >= V_DELETED
    return server.get(connection, request.caller, request.path["id"], deleted=deleted)


def _brief(request: Request, row: InstanceAction) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "action": row.action,
        "instance_uuid": row.server_id,
        "request_id": row.request_id,
        "user_id": row.user_id,
        "project_id": row.project_id,
        "start_time": rendering.precise(row.start_at),
        "message": None if row.result != domain.ERROR else "Error",
    }
    if request.microversion >= V_PAGES:
        shown["updated_at"] = rendering.precise(row.finish_at or row.start_at)
    return shown


def _event(request: Request, row: InstanceAction) -> dict[str, Any]:
    """The only event of an action."""
    shown: dict[str, Any] = {
        "event": row.event,
        "start_time": rendering.precise(row.start_at),
        "finish_time": rendering.precise(row.finish_at),
        "result": row.result,
    }
    sees_details = request.caller.may(DETAILS)
    if sees_details:
        shown["traceback"] = None
    if request.microversion >= V_HOST:
        text = f"{row.project_id}{row.host_id}".encode()
        shown["hostId"] = hashlib.sha224(text).hexdigest() if row.host_id else ""
        if sees_details:
            shown["host"] = row.host_id or ""
    if request.microversion >= V_DETAILS:
        shown["details"] = row.message
    return shown
