"""Subnet pools: what is accepted and what is shown."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any

import msgspec
from sqlalchemy.engine import Connection

from kumoi.cloud.api.network import body, rendering, shapes
from kumoi.cloud.api.network.body import Tags
from kumoi.cloud.api.network.rendering import Shown
from kumoi.cloud.api.network.resource import Resource
from kumoi.cloud.api.request import Request
from kumoi.cloud.domain.network import subnet_pool as domain
from kumoi.cloud.domain.network.subnet_pool import SubnetPoolRequest
from kumoi.cloud.store.network.subnet_pool import SubnetPool
from kumoi.engine.http.bounds import ENTRIES_MAX, Entries, Text
from kumoi.engine.http.request import UNSET, Body, Reply, Unset

Length = Annotated[int, msgspec.Meta(ge=0, le=128)]
Count = Annotated[int, msgspec.Meta(ge=0, le=2_147_483_647)]

COLUMNS = {
    "name": "name",
    "ip_version": "ip_version",
    "default_prefixlen": "default_prefixlen",
    "min_prefixlen": "min_prefixlen",
    "max_prefixlen": "max_prefixlen",
    "default_quota": "default_quota",
    "shared": "shared",
    "is_default": "is_default",
    "address_scope_id": "address_scope_id",
}


class SubnetPoolChanges(Body):
    name: Text | Unset = UNSET
    description: Text | Unset = UNSET
    prefixes: Entries[Text] | Unset = UNSET
    default_prefixlen: Length | Unset = UNSET
    min_prefixlen: Length | Unset = UNSET
    max_prefixlen: Length | Unset = UNSET
    default_quota: Count | Unset | None = UNSET
    is_default: bool | Unset = UNSET
    address_scope_id: Text | Unset | None = UNSET


class SubnetPoolNew(Body):
    name: Text
    prefixes: Entries[Text]
    description: Text | Unset = UNSET
    default_prefixlen: Length | Unset | None = UNSET
    min_prefixlen: Length | Unset | None = UNSET
    max_prefixlen: Length | Unset | None = UNSET
    default_quota: Count | Unset | None = UNSET
    shared: bool | Unset = UNSET
    is_default: bool | Unset = UNSET
    address_scope_id: Text | Unset | None = UNSET
    project_id: Text | Unset = UNSET
    tenant_id: Text | Unset = UNSET
    tags: Tags | Unset = UNSET


class SubnetPoolPrefixes(Body):
    prefixes: Annotated[list[Text], msgspec.Meta(min_length=1, max_length=ENTRIES_MAX)]


def add_prefixes(request: Request) -> Reply:
    return _change_prefixes(request, domain.add_prefixes)


def remove_prefixes(request: Request) -> Reply:
    return _change_prefixes(request, domain.remove_prefixes)


def _change_prefixes(request: Request, change: Callable[..., SubnetPool]) -> Reply:
    prefixes = shapes.cidrs("prefixes", body.plain(request, SubnetPoolPrefixes).prefixes)
    now = request.services.clock.now()
    with request.write() as connection:
        row = change(connection, request.caller, request.path["id"], prefixes, now)
    return Reply(200, {"prefixes": row.prefixes})


def _convert(_request: Request, values: dict[str, Any]) -> None:
    body.convert(values, "prefixes", shapes.cidrs)
    body.convert(values, "address_scope_id", shapes.uuid)


def _shown(
    _connection: Connection,
    _request: Request,
    rows: Sequence[SubnetPool],
    tags: Mapping[str, Sequence[str]],
) -> list[Shown]:
    return [
        {
            "name": row.name,
            "ip_version": row.ip_version,
            "prefixes": row.prefixes,
            "default_prefixlen": str(row.default_prefixlen),  # Neutron shows them as text.
            "min_prefixlen": str(row.min_prefixlen),
            "max_prefixlen": str(row.max_prefixlen),
            "default_quota": row.default_quota,
            "shared": row.shared,
            "is_default": row.is_default,
            "address_scope_id": row.address_scope_id,
            **rendering.standard(row, tags.get(row.id, ())),
        }
        for row in rows
    ]


RESOURCE = Resource(
    word="subnetpool",
    words="subnetpools",
    new=SubnetPoolNew,
    changes=SubnetPoolChanges,
    columns=COLUMNS,
    booleans=frozenset({"shared", "is_default"}),
    wanted=SubnetPoolRequest,
    convert=_convert,
    make=domain.create,
    get=domain.get,
    page=domain.page,
    change=domain.update,
    remove=domain.delete,
    shown=_shown,
)
