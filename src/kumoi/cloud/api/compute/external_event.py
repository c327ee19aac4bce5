"""Events that other services tell compute of a server: taken, and nothing follows from them, because
networks, volumes and power are looked at and not waited for.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec

from kumoi.base.ids import is_uuid
from kumoi.cloud.api.compute import shapes
from kumoi.cloud.api.compute.shapes import Text, Version
from kumoi.cloud.api.request import Request, fields_set
from kumoi.cloud.store.compute import server as store
from kumoi.engine import audit
from kumoi.engine.http.request import UNSET, Body, Reply, Unset

EVENTS_MAX = 1_000  # Of one request.
SINCE: dict[str, Version] = {
    **dict.fromkeys(("network-changed", "network-vif-plugged"), (2, 1)),
    **dict.fromkeys(("network-vif-unplugged", "network-vif-deleted"), (2, 1)),
    "volume-extended": (2, 51),
    "power-update": (2, 76),
    "accelerator-request-bound": (2, 82),
    "volume-reimaged": (2, 93),
}
TAG_REQUIRED = frozenset(
    {"volume-extended", "power-update", "accelerator-request-bound"} | {"volume-reimaged"}
)
TAKEN, MALFORMED, UNKNOWN, NOWHERE = 200, 400, 404, 422
SOME_FAILED = 207


class ExternalEvent(Body, kw_only=True):
    name: Text
    server_uuid: Text
    status: Literal["failed", "completed", "in-progress"] | Unset = UNSET
    tag: Text | Unset = UNSET


class ExternalEvents(Body, kw_only=True):
    events: Annotated[list[ExternalEvent], msgspec.Meta(min_length=1, max_length=EVENTS_MAX)]


def create(request: Request) -> Reply:
    """Each event with what became of it."""
    events = request.parse(ExternalEvents).events
    for event in events:
        if request.microversion < SINCE.get(event.name, (3, 0)):
            raise shapes.invalid("name", event.name, "it is no event of this version")
        if not is_uuid(event.server_uuid):
            raise shapes.invalid("server_uuid", event.server_uuid, "it is not a 'uuid'")
    audit.about(events[0].server_uuid)
    with request.read() as connection:
        rows = store.several(connection, {event.server_uuid for event in events})
    hosts = {row.id: row.host_id for row in rows if not row.deleted}
    shown = [_shown(event, hosts) for event in events]
    failed = any(event["code"] != TAKEN for event in shown)
    return Reply(SOME_FAILED if failed else 200, {"events": shown})


def _shown(event: ExternalEvent, hosts: dict[str, str | None]) -> dict[str, Any]:
    code = TAKEN
    if event.server_uuid not in hosts:
        code = UNKNOWN
    elif event.name in TAG_REQUIRED and event.tag is UNSET:
        code = MALFORMED
    elif hosts[event.server_uuid] is None:
        code = NOWHERE
    status = "completed" if code == TAKEN else "failed"
    return {**fields_set(event), "status": status, "code": code}
