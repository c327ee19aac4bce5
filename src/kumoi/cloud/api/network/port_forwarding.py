"""Port forwardings: what is accepted and what is shown. Paths: /v2.0/floatingips/{id}/port_forwardings."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec

from kumoi.cloud.api.network import body, query, rendering, shapes
from kumoi.cloud.api.network.rendering import Shown
from kumoi.cloud.api.request import Request, fields_set
from kumoi.cloud.domain.network import port_forwarding as domain
from kumoi.cloud.domain.network.port_forwarding import PortForwardingRequest
from kumoi.cloud.store.network.port_forwarding import PortForwarding
from kumoi.engine import audit
from kumoi.engine.http.bounds import Text
from kumoi.engine.http.request import UNSET, Body, Reply, Unset

WORD, WORDS = "port_forwarding", "port_forwardings"
PROTOCOLS = ("tcp", "udp", "sctp")  # What OVN balances.
PortNumber = Annotated[int, msgspec.Meta(ge=1, le=65_535)]
COLUMNS = {
    name: name
    for name in (
        "protocol",
        "external_port",
        "internal_port_id",
        "internal_ip_address",
        "internal_port",
    )
}


class PortForwardingChanges(Body):
    protocol: Text | Unset = UNSET
    external_port: PortNumber | Unset = UNSET
    internal_port_id: Text | Unset = UNSET
    internal_ip_address: Text | Unset = UNSET
    internal_port: PortNumber | Unset = UNSET
    description: Text | Unset = UNSET


class PortForwardingNew(PortForwardingChanges, kw_only=True):
    protocol: Text
    external_port: PortNumber
    internal_port_id: Text
    internal_port: PortNumber
    project_id: Text | Unset = UNSET
    tenant_id: Text | Unset = UNSET


def create(request: Request) -> Reply:
    values = _values(fields_set(body.one(request, WORD, PortForwardingNew)))
    for name in ("project_id", "tenant_id"):
        values.pop(name, None)  # It is its floating IP's.
    wanted, now = PortForwardingRequest(**values), request.services.clock.now()
    with request.write() as connection:
        row = domain.create(connection, request.caller, request.path["id"], wanted, now)
        audit.about(row.id)
    return Reply(201, {WORD: _render(row)})


def index(request: Request) -> Reply:
    asked = query.read(request, COLUMNS)
    with request.read() as connection:
        rows = domain.page(connection, request.caller, request.path["id"], asked)
    shown = [rendering.only(request, _render(row)) for row in rows]
    return rendering.page(request, WORDS, shown, [row.id for row in rows], asked)


def show(request: Request) -> Reply:
    with request.read() as connection:
        row = domain.get(connection, request.caller, request.path["id"], request.path["key"])
    return Reply(200, {WORD: rendering.only(request, _render(row))})


def update(request: Request) -> Reply:
    values = _values(fields_set(body.one(request, WORD, PortForwardingChanges)))
    key, now = request.path["key"], request.services.clock.now()
    with request.write() as connection:
        row = domain.update(connection, request.caller, request.path["id"], key, values, now=now)
        audit.about(row.id)
    return Reply(200, {WORD: _render(row)})


def delete(request: Request) -> Reply:
    key, now = request.path["key"], request.services.clock.now()
    with request.write() as connection:
        domain.delete(connection, request.caller, request.path["id"], key, now)
        audit.about(key)
    return Reply(204)


def _values(values: dict[str, Any]) -> dict[str, Any]:
    body.convert(values, "protocol", lambda name, text: shapes.one_of(name, text, PROTOCOLS))
    body.convert(values, "internal_port_id", shapes.uuid)
    body.convert(values, "internal_ip_address", shapes.address)
    return values


def _render(row: PortForwarding) -> Shown:
    return {**within(row), "description": row.description}


def within(row: PortForwarding) -> Shown:
    """As its floating IP shows it."""
    return {"id": row.id, **{name: getattr(row, name) for name in COLUMNS}}
