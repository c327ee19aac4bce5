"""Networks: what is accepted and what is shown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import msgspec
from sqlalchemy.engine import Connection

from kumoi.cloud.api.network import body, dns, rendering, shapes
from kumoi.cloud.api.network.body import Tags
from kumoi.cloud.api.network.rendering import Shown
from kumoi.cloud.api.network.resource import Resource
from kumoi.cloud.api.request import Request
from kumoi.cloud.domain.host.host import ZONE
from kumoi.cloud.domain.network import network as domain
from kumoi.cloud.domain.network.network import NetworkRequest
from kumoi.cloud.store.network import subnet as subnet_store
from kumoi.cloud.store.network.network import Network
from kumoi.cloud.store.network.subnet import SubnetOfNetwork
from kumoi.engine.http.bounds import Entries, Text
from kumoi.engine.http.request import UNSET, Body, Unset, encoded
from kumoi.engine.memo import Memo

Mtu = Annotated[int, msgspec.Meta(ge=0, le=9000)]
Kind = Annotated[str, msgspec.Meta(max_length=32)]
Place = Annotated[str, msgspec.Meta(max_length=64)]
Segment = Annotated[int, msgspec.Meta(ge=0, le=2**24)]

# The column of an attribute.
COLUMNS = {
    "name": "name",
    "admin_state_up": "admin_state_up",
    "shared": "shared",
    "router:external": "external",
    "is_default": "is_default",
    "port_security_enabled": "port_security_enabled",
    "mtu": "mtu",
    "provider:network_type": "network_type",
    "provider:physical_network": "physical_network",
    "provider:segmentation_id": "segmentation_id",
    "qos_policy_id": "qos_policy_id",
}
BOOLEANS = frozenset(
    {"admin_state_up", "shared", "router:external", "is_default", "port_security_enabled"}
)


class NetworkChanges(Body, rename={"external": "router:external"}):
    name: Text | Unset = UNSET
    description: Text | Unset = UNSET
    admin_state_up: bool | Unset = UNSET
    shared: bool | Unset = UNSET
    external: bool | Unset = UNSET
    is_default: bool | Unset = UNSET
    port_security_enabled: bool | Unset = UNSET
    mtu: Mtu | Unset = UNSET
    qos_policy_id: Text | Unset | None = UNSET
    dns_domain: Text | Unset = UNSET


class NetworkNew(
    NetworkChanges,
    rename={
        "external": "router:external",
        "network_type": "provider:network_type",
        "physical_network": "provider:physical_network",
        "segmentation_id": "provider:segmentation_id",
    },
):
    project_id: Text | Unset = UNSET
    tenant_id: Text | Unset = UNSET
    tags: Tags | Unset = UNSET
    network_type: Kind | Unset = UNSET
    physical_network: Place | Unset | None = UNSET
    segmentation_id: Segment | Unset | None = UNSET
    availability_zone_hints: Entries[Text] | Unset = UNSET


def _convert(_request: Request, values: dict[str, Any]) -> None:
    values.pop("availability_zone_hints", None)  # There is one zone.
    body.convert(values, "qos_policy_id", shapes.uuid)
    body.convert(values, "dns_domain", dns.domain)


def _shown(
    connection: Connection,
    request: Request,
    rows: Sequence[Network],
    tags: Mapping[str, Sequence[str]],
) -> list[Shown]:
    subnets = subnet_store.by_network(connection, [row.id for row in rows])
    provider = request.caller.may("get_network:provider")
    return [
        _render(row, subnets.get(row.id, ()), tags.get(row.id, ()), provider=provider)
        for row in rows
    ]


def _encoded(
    connection: Connection,
    request: Request,
    rows: Sequence[Network],
    tags: Mapping[str, Sequence[str]],
) -> list[msgspec.Raw]:
    subnets = subnet_store.by_network(connection, [row.id for row in rows])
    provider = request.caller.may("get_network:provider")
    return [
        _SHOWN.get((row,), tuple(subnets.get(row.id, ())), tuple(tags.get(row.id, ())), provider)
        for row in rows
    ]


def _encode(
    nouns: tuple[Network],
    subnets: tuple[SubnetOfNetwork, ...],
    tags: tuple[str, ...],
    provider: bool,
) -> msgspec.Raw:
    return encoded(_render(*nouns, subnets, tags, provider=provider))


_SHOWN = Memo(_encode)


def _render(
    row: Network, subnets: Sequence[SubnetOfNetwork], tags: Sequence[str], *, provider: bool
) -> Shown:
    for_administrators = {
        "provider:network_type": row.network_type,
        "provider:physical_network": row.physical_network,
        "provider:segmentation_id": row.segmentation_id,
    }
    return {
        "name": row.name,
        "status": "ACTIVE",
        "admin_state_up": row.admin_state_up,
        "shared": row.shared,
        "router:external": row.external,
        "is_default": row.is_default,
        "port_security_enabled": row.port_security_enabled,
        "mtu": row.mtu,
        "subnets": [subnet.id for subnet in subnets],
        "ipv4_address_scope": _scope(subnets, 4),
        "ipv6_address_scope": _scope(subnets, 6),
        "qos_policy_id": row.qos_policy_id,
        "dns_domain": row.dns_domain,
        "availability_zone_hints": [],
        "availability_zones": [ZONE],
        **rendering.standard(row, tags),
        **(for_administrators if provider else {}),
    }


def _scope(subnets: Sequence[SubnetOfNetwork], ip_version: int) -> str | None:
    """That of the network's subnets of that version; all of them are of one pool."""
    found = (each.address_scope_id for each in subnets if each.ip_version == ip_version)
    return next((scope for scope in found if scope is not None), None)


RESOURCE = Resource(
    word="network",
    words="networks",
    new=NetworkNew,
    changes=NetworkChanges,
    columns=COLUMNS,
    booleans=BOOLEANS,
    constants={"status": "ACTIVE"},
    wanted=NetworkRequest,
    convert=_convert,
    make=domain.create,
    get=domain.get,
    page=domain.page,
    change=domain.update,
    remove=domain.delete,
    shown=_shown,
    encoded=_encoded,
)
