"""Hosts in Placement's words: each is a provider of resources, and its servers are the consumers.

Nothing here is kept: it is what the hosts say and what the scheduler has claimed, shown in another way.
Providers have neither parents nor children, and share nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

import msgspec
from sqlalchemy.engine import Connection

from kumoi.base.errors import NotFound
from kumoi.cloud.domain.compute import placement
from kumoi.cloud.hostapi.hello import Allocation
from kumoi.cloud.store.compute import server as server_store
from kumoi.cloud.store.compute.server import OFFLOADED, Server
from kumoi.cloud.store.host import aggregate as aggregate_store
from kumoi.cloud.store.host import host as host_store
from kumoi.cloud.store.host.host import Host

VCPU, MEMORY, DISK = "VCPU", "MEMORY_MB", "DISK_GB"
CLASSES = (VCPU, MEMORY, DISK)
DISABLED = "COMPUTE_STATUS_DISABLED"
"""The trait of a host that gets no new servers."""
NODE = "COMPUTE_NODE"
STANDARD_FORMATS = frozenset({"aki", "ami", "ari", "iso", "qcow2", "raw", "vhd", "vhdx", "vmdk"})
Amounts = Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Inventory:
    """How much of a resource class a provider has, and `allocation_ratio` times how much of what is
    not reserved may be claimed.
    """

    total: int
    reserved: int
    allocation_ratio: float

    @property
    def capacity(self) -> int:
        return int(max(0, self.total - self.reserved) * self.allocation_ratio)


@dataclass(frozen=True, slots=True, kw_only=True)
class ResourceProvider:
    id: str
    name: str
    inventories: Mapping[str, Inventory]
    used: Amounts
    traits: frozenset[str]
    aggregates: tuple[str, ...]
    updated_at: datetime

    @property
    def generation(self) -> int:
        return int(self.updated_at.timestamp())


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderFilter:
    """Which providers: with room for `amounts` more, with all traits of `required`, one of each of
    `any_of`, none of `forbidden`; in one aggregate of each of `member_of`, and in none of `outside`.
    """

    ids: Collection[str] | None = None
    name: str | None = None
    amounts: Amounts = field(default_factory=dict)
    required: frozenset[str] = frozenset()
    any_of: Sequence[frozenset[str]] = ()
    forbidden: frozenset[str] = frozenset()
    member_of: Sequence[frozenset[str]] = ()
    outside: frozenset[str] = frozenset()

    def takes(self, row: ResourceProvider) -> bool:
        """Pure."""
        return (
            (self.ids is None or row.id in self.ids)
            and self.name in (None, row.name)
            and all(
                name in row.inventories and amount <= room(row, name)
                for name, amount in self.amounts.items()
            )
            and self.required <= row.traits
            and all(row.traits & traits for traits in self.any_of)
            and not self.forbidden & row.traits
            and all(aggregates & set(row.aggregates) for aggregates in self.member_of)
            and self.outside.isdisjoint(row.aggregates)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ResourceAllocation:
    """What a server claims of a provider."""

    server: Server
    provider_id: str
    generation: int  # The provider's.
    amounts: Amounts


def room(row: ResourceProvider, name: str) -> int:
    """How much may still be claimed."""
    return row.inventories[name].capacity - row.used.get(name, 0)


def every(connection: Connection, where: ProviderFilter | None = None) -> list[ResourceProvider]:
    """In the order in which the hosts were registered."""
    groups = aggregate_store.every(connection)
    rows = [
        _provider(host, tuple(group.id for group in groups if host.id in group.hosts))
        for host in host_store.every(connection)
    ]
    return [row for row in rows if where is None or where.takes(row)]


def get(connection: Connection, key: str) -> ResourceProvider:
    """Raises NotFound."""
    found = every(connection, ProviderFilter(ids={key}))
    if not found:
        words = f"No resource provider with uuid {key} found"
        raise NotFound("resource provider", key, message=words)
    return found[0]


def traits(connection: Connection) -> dict[str, bool]:
    """All traits that a host may have, and whether one has it."""
    had = frozenset[str]().union(*(row.traits for row in every(connection)))
    return {name: name in had for name in sorted(had | {NODE, DISABLED})}


def allocations(connection: Connection, servers: Sequence[Server]) -> list[ResourceAllocation]:
    """What these servers claim; one without a host claims nothing, unless its host has it yet."""
    providers = {row.name: row for row in every(connection)}
    found = []
    for row in servers:
        host_id = row.host_id or _host_left(row)
        if host_id in providers and not row.deleted:
            provider = providers[host_id]
            amounts = dict(zip(CLASSES, placement.claims(row), strict=True))
            found.append(
                ResourceAllocation(
                    server=row,
                    provider_id=provider.id,
                    generation=provider.generation,
                    amounts=_some(amounts),
                )
            )
    return found


def allocations_of_provider(
    connection: Connection, row: ResourceProvider
) -> list[ResourceAllocation]:
    leaving = [one for one in server_store.being_shelved(connection) if one.host_id is None]
    servers = [*server_store.on_host(connection, row.name), *leaving]
    return [one for one in allocations(connection, servers) if one.provider_id == row.id]


def _host_left(row: Server) -> str | None:
    """The host that still has a server which is to be on none."""
    return (row.shelved or {}).get("host_id") if row.shelf not in ("", OFFLOADED) else None


def _some(amounts: Amounts) -> dict[str, int]:
    return {name: amount for name, amount in amounts.items() if amount}


def _provider(host: Host, aggregates: tuple[str, ...]) -> ResourceProvider:
    allowed = msgspec.convert(host.allocation, Allocation)
    inventories = {
        VCPU: Inventory(host.vcpus, 0, allowed.cpu_ratio),
        MEMORY: Inventory(host.ram_mib, allowed.ram_reserved_mib, allowed.ram_ratio),
        DISK: Inventory(host.disk_gib, allowed.disk_reserved_gib, allowed.disk_ratio),
    }
    return ResourceProvider(
        id=host.uuid,
        name=host.id,
        inventories={name: has for name, has in inventories.items() if has.total},
        used={
            VCPU: host.vcpus_claimed,
            MEMORY: host.ram_claimed_mib,
            DISK: host.disk_claimed_gib,
        },
        traits=_traits(host),
        aggregates=aggregates,
        updated_at=host.updated_at,
    )


def _traits(host: Host) -> frozenset[str]:
    """A format of images and a capability of a driver are traits; what Placement has no name for is
    CUSTOM_.
    """
    found = {NODE}
    if not (host.is_up and host.enabled):
        found.add(DISABLED)
    for driver in host.drivers:
        found.add(_custom(f"DRIVER_{driver}"))
        offer = host.offers.get(driver) or {}
        for name in offer.get("formats", ()):
            standard = name in STANDARD_FORMATS
            found.add(
                f"COMPUTE_IMAGE_TYPE_{name.upper()}" if standard else _custom(f"IMAGE_TYPE_{name}")
            )
        found |= {_custom(f"CAPABILITY_{name}") for name in offer.get("capabilities", ())}
    return frozenset(found)


def _custom(name: str) -> str:
    plain = "".join(letter if letter.isalnum() else "_" for letter in name.upper())
    return f"CUSTOM_{plain}"
