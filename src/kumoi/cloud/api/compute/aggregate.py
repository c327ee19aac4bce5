"""Host aggregates: what is accepted and what is shown. Their zone is also shown as metadata."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any

import msgspec
from sqlalchemy.engine import Connection

from kumoi.base.errors import Unsupported
from kumoi.cloud.api.compute import rendering, server_action, shapes
from kumoi.cloud.api.compute.shapes import Key, Name, Text
from kumoi.cloud.api.request import Request, fields_set
from kumoi.cloud.domain.host import aggregate as domain
from kumoi.cloud.domain.host.aggregate import ZONE_PROPERTY
from kumoi.cloud.store.host.aggregate import Aggregate
from kumoi.engine import audit
from kumoi.engine.http.bounds import Entries
from kumoi.engine.http.request import UNSET, Body, Reply, Unset

V_UUID = (2, 41)
PROPERTIES_MAX = 1_000
Zone = Annotated[str, msgspec.Meta(min_length=1, max_length=255, pattern=r"^(?!\s)[^:]*(?<!\s)\Z")]


class AggregateNew(Body, kw_only=True):
    name: Name
    availability_zone: Zone | None = None


class AggregateCreate(Body, kw_only=True):
    aggregate: AggregateNew


class AggregateChanges(Body, kw_only=True):
    name: Name | Unset = UNSET
    availability_zone: Zone | Unset | None = UNSET


class AggregateUpdate(Body, kw_only=True):
    aggregate: AggregateChanges


class AggregateHost(Body, kw_only=True):
    host: Name


class AggregateProperties(Body, kw_only=True):
    metadata: Annotated[dict[Key, Text | None], msgspec.Meta(max_length=PROPERTIES_MAX)]


class AggregateImage(Body, kw_only=True):
    id: Text


class AggregateCache(Body, kw_only=True):
    cache: Entries[AggregateImage]


def index(request: Request) -> Reply:
    with request.read() as connection:
        found = domain.every(connection)
    return Reply(200, {"aggregates": [_render(request, row) for row in found]})


def create(request: Request) -> Reply:
    """The answer has neither hosts nor metadata, as Nova's has none."""
    body = request.parse(AggregateCreate).aggregate
    now = request.services.clock.now()
    with request.write() as connection:
        made = domain.create(connection, body.name, body.availability_zone, now)
        audit.about(made.id)
    shown = _render(request, made)
    del shown["hosts"], shown["metadata"]
    return Reply(200, {"aggregate": shown})


def show(request: Request) -> Reply:
    with request.read() as connection:
        found = domain.get(connection, _number(request))
    return Reply(200, {"aggregate": _render(request, found)})


def update(request: Request) -> Reply:
    """Raises Invalid where nothing is asked for."""
    body = request.parse(AggregateUpdate).aggregate
    values = fields_set(body)
    if not values:
        raise shapes.invalid("aggregate", {}, "{} does not have enough properties")
    if "availability_zone" in values:
        values["zone"] = values.pop("availability_zone")
    now = request.services.clock.now()
    with request.write() as connection:
        changed = domain.update(connection, _number(request), values, now)
    return Reply(200, {"aggregate": _render(request, changed)})


def delete(request: Request) -> Reply:
    with request.write() as connection:
        domain.delete(connection, _number(request))
    return Reply(200)


def act(request: Request) -> Reply:
    """The only key of the body is the action: it gives and takes hosts, and sets metadata."""
    name, raw = server_action.single(request)
    if name not in ACTIONS:
        raise shapes.invalid(name, "…", "There is no such action")
    action = ACTIONS[name]
    request.caller.check(action.rule)
    now = request.services.clock.now()
    number = _number(request)
    with request.write() as connection:
        changed = action.act(connection, number, server_action.read(name, raw, action.shape), now)
        audit.about(changed.id, action=f"update/{name}")
    return Reply(200, {"aggregate": _render(request, changed)})


def cache_images(request: Request) -> Reply:
    """Always refused, after what is wrong with the request; since 2.81."""
    request.parse(AggregateCache)
    with request.read() as connection:
        domain.get(connection, _number(request))
    raise Unsupported("Hosts fetch the images that are used most by themselves, and on demand.")


def _add_host(connection: Connection, number: int, body: AggregateHost, now: datetime) -> Aggregate:
    return domain.add_host(connection, number, body.host, now)


def _remove_host(
    connection: Connection, number: int, body: AggregateHost, now: datetime
) -> Aggregate:
    return domain.remove_host(connection, number, body.host, now)


def _set_metadata(
    connection: Connection, number: int, body: AggregateProperties, now: datetime
) -> Aggregate:
    return domain.put_properties(connection, number, body.metadata, now)


@dataclass(frozen=True, slots=True)
class AggregateAction:
    """`rule` is the policy of the action; the route, which all actions share, has none of its own."""

    rule: str
    shape: Any
    act: Callable[[Connection, int, Any, datetime], Aggregate]


ACTIONS = {
    "add_host": AggregateAction("os_compute_api:os-aggregates:add_host", AggregateHost, _add_host),
    "remove_host": AggregateAction(
        "os_compute_api:os-aggregates:remove_host", AggregateHost, _remove_host
    ),
    "set_metadata": AggregateAction(
        "os_compute_api:os-aggregates:set_metadata", AggregateProperties, _set_metadata
    ),
}


def _number(request: Request) -> int:
    """Of either sign, as Nova reads it: there is no aggregate of a negative number."""
    return shapes.count(request.path["id"], "id", least=-(2**31))


def _render(request: Request, row: Aggregate) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "id": row.number,
        "name": row.name,
        "availability_zone": row.zone,
        "hosts": row.hosts,
        "metadata": row.properties | ({ZONE_PROPERTY: row.zone} if row.zone else {}),
        "created_at": rendering.precise(row.created_at),
        "updated_at": rendering.precise(row.updated_at),
        "deleted": False,
        "deleted_at": None,
    }
    if request.microversion >= V_UUID:
        shown["uuid"] = row.id
    return shown
