"""Address groups: what is accepted and what is shown."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sqlalchemy.engine import Connection

from kumoi.cloud.api.network import body, rendering, shapes
from kumoi.cloud.api.network.rendering import Shown
from kumoi.cloud.api.network.resource import Resource
from kumoi.cloud.api.request import Request
from kumoi.cloud.domain.network import address_group as domain
from kumoi.cloud.domain.network.address_group import AddressGroupRequest
from kumoi.cloud.store.network.address_group import AddressGroup
from kumoi.engine.http.bounds import Entries, Text
from kumoi.engine.http.request import UNSET, Body, Reply, Unset

COLUMNS = {"name": "name"}


class AddressGroupChanges(Body):
    name: Text | Unset = UNSET
    description: Text | Unset = UNSET


class AddressGroupNew(AddressGroupChanges):
    addresses: Entries[Text] | Unset | None = UNSET
    project_id: Text | Unset = UNSET
    tenant_id: Text | Unset = UNSET


class AddressGroupAddresses(Body):
    addresses: Entries[Text]


def add_addresses(request: Request) -> Reply:
    return _change_addresses(request, domain.add_addresses)


def remove_addresses(request: Request) -> Reply:
    return _change_addresses(request, domain.remove_addresses)


def _change_addresses(request: Request, change: Callable[..., AddressGroup]) -> Reply:
    """An address without a prefix is itself here, as in Neutron."""
    texts = body.plain(request, AddressGroupAddresses).addresses
    addresses = [
        shapes.cidr("addresses", text if "/" in text else shapes.host("addresses", text))
        for text in texts
    ]
    now = request.services.clock.now()
    with request.write() as connection:
        row = change(connection, request.caller, request.path["id"], addresses, now)
    return Reply(200, {"address_group": _render(row)})


def _convert(_request: Request, values: dict[str, Any]) -> None:
    if "addresses" in values:
        values["addresses"] = shapes.cidrs("addresses", values["addresses"] or ())


def _shown(
    _connection: Connection,
    _request: Request,
    rows: Sequence[AddressGroup],
    _tags: Mapping[str, Sequence[str]],
) -> list[Shown]:
    return [_render(row) for row in rows]


def _render(row: AddressGroup) -> Shown:
    return {
        "name": row.name,
        "addresses": row.addresses,
        "shared": False,
        **rendering.standard(row, None),
    }


RESOURCE = Resource(
    word="address_group",
    words="address_groups",
    new=AddressGroupNew,
    changes=AddressGroupChanges,
    columns=COLUMNS,
    wanted=AddressGroupRequest,
    convert=_convert,
    make=domain.create,
    get=domain.get,
    page=domain.page,
    change=domain.update,
    remove=domain.delete,
    shown=_shown,
)
