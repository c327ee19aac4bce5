"""Choose a server's host and claim its resources there, inside the transaction that makes the server."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any

from sqlalchemy.engine import Connection

from kumoi.base.errors import Invalid, Unsupported
from kumoi.cloud.domain.compute import server_group
from kumoi.cloud.domain.host import aggregate
from kumoi.cloud.hostapi.offer import Capability
from kumoi.cloud.scheduler.choose import (
    Candidate,
    Decision,
    DriverOffer,
    HostRules,
    RequestSpec,
    choose,
)
from kumoi.cloud.store.compute import server as server_store
from kumoi.cloud.store.compute import server_group as group_store
from kumoi.cloud.store.compute.flavor import Flavor
from kumoi.cloud.store.compute.server import Server
from kumoi.cloud.store.host import host as host_store
from kumoi.cloud.store.host.host import Host

CANDIDATES_MAX = 16
CAPABILITY_PREFIX = "capabilities:"


def request_spec(
    connection: Connection,
    size: Flavor | Server,
    *,
    image_format: str,
    image_id: str | None = None,
    group_id: str | None = None,
    zone: str | None = None,
    host_id: str | None = None,
    more: Collection[Capability] = (),
    excluded: Collection[str] = (),
    leaving: Server | None = None,
) -> RequestSpec:
    """What a server of this size needs, and which hosts its group, its zone, the aggregates of its
    flavor and whoever named a host allow it. Beside what the flavor asks for, its driver has `more`. `leaving` is
    the server itself, where it has a host already.
    """
    group = None if group_id is None else group_store.get(connection, group_id)
    own = "" if leaving is None else leaving.id
    hosts = HostRules()
    if group is not None:
        hosts = server_group.host_rules(connection, group, leaving=own)
    hosts = replace(hosts, excluded=hosts.excluded.union(excluded))
    for allowed in (
        None if host_id is None else frozenset({host_id}),
        aggregate.allowed_hosts(connection, zone=zone, extra_specs=size.extra_specs),
    ):
        if allowed is not None:
            both = allowed if hosts.allowed is None else allowed & hosts.allowed
            hosts = replace(hosts, allowed=both)
    return RequestSpec(
        image_format=image_format,
        capabilities=capabilities(size.extra_specs).union(more),
        vcpus=size.vcpus,
        ram_mib=size.ram_mib,
        disk_gib=disk_claim_gib(size.disk_gib, size.ephemeral_gib, size.swap_mib),
        image_id=image_id,
        hosts=hosts,
    )


def place(connection: Connection, spec: RequestSpec) -> Decision:
    """Choose among the hosts with most room; where none of those fits, among all, if only to say why
    no host does.
    """
    roomiest = host_store.roomiest(
        connection,
        vcpus=spec.vcpus,
        ram_mib=spec.ram_mib,
        disk_gib=spec.disk_gib,
        excluded=spec.hosts.excluded,
        allowed=spec.hosts.allowed,
        most=CANDIDATES_MAX,
    )
    decision = choose([_candidate(row) for row in roomiest], spec)
    if decision.host_id is None:
        decision = choose([_candidate(row) for row in host_store.every(connection)], spec)
    return decision


def claim(connection: Connection, host_id: str, spec: RequestSpec) -> int:
    """Claim what the server needs; gives its slot, the lowest free one on the host."""
    host_store.claim(
        connection,
        host_id,
        vcpus=spec.vcpus,
        ram_mib=spec.ram_mib,
        disk_gib=spec.disk_gib,
        servers=1,
    )
    return free_slot(connection, host_id)


def free_slot(connection: Connection, host_id: str) -> int:
    """The lowest that no server of the host has."""
    used = server_store.used_slots(connection, host_id)
    return next(slot for slot in itertools.count() if slot not in used)


def release(connection: Connection, server: Server) -> None:
    """Give back what `claim` took."""
    if server.host_id is not None:
        vcpus, ram_mib, disk_gib = claims(server)
        host_store.claim(
            connection,
            server.host_id,
            vcpus=-vcpus,
            ram_mib=-ram_mib,
            disk_gib=-disk_gib,
            servers=-1,
        )


def require_format(connection: Connection, server: Server, image_format: str) -> None:
    """Raises Invalid when the driver that runs the server cannot boot images of this format."""
    host = None if server.host_id is None else host_store.get(connection, server.host_id)
    formats = None if host is None else _driver_offer(host.offers.get(server.driver)).formats
    if formats is not None and image_format not in formats:
        raise Invalid(
            f"The server's host runs it by {server.driver}, which takes no {image_format} images.",
            field="imageRef",
        )


def require_capability(connection: Connection, server: Server, name: Capability) -> None:
    """Raises Unsupported when the driver that runs the server cannot do that."""
    host = None if server.host_id is None else host_store.get(connection, server.host_id)
    if host is None or name not in _driver_offer(host.offers.get(server.driver)).capabilities:
        raise Unsupported(f"The server's host runs it by {server.driver}, which has no {name}.")


def capabilities(extra_specs: Mapping[str, str]) -> frozenset[str]:
    """The capabilities that a flavor asks of the driver: each extra spec `capabilities:NAME=true`."""
    return frozenset(
        name.removeprefix(CAPABILITY_PREFIX)
        for name, value in extra_specs.items()
        if name.startswith(CAPABILITY_PREFIX) and value.lower() == "true"
    )


def reclaim(connection: Connection, before: Server, after: Server) -> None:
    """Change a server's claim on its host. Raises Invalid when the host has no room for it."""
    host = None if before.host_id is None else host_store.get(connection, before.host_id)
    if host is None:
        return
    changes = zip(claims(after), claims(before), strict=True)
    vcpus, ram_mib, disk_gib = (new - old for new, old in changes)
    short = [
        f"{more} more {what} wanted, {max(free, 0)} free"
        for what, more, free in (
            ("vcpus", vcpus, host.vcpus_free),
            ("MiB of memory", ram_mib, host.ram_free_mib),
            ("GiB of disk", disk_gib, host.disk_free_gib),
        )
        if more > max(free, 0)
    ]
    if short:
        raise Invalid(f"No valid host was found. {'; '.join(short)}.", field="resize.flavorRef")
    host_store.claim(
        connection, host.id, vcpus=vcpus, ram_mib=ram_mib, disk_gib=disk_gib, servers=0
    )


def claims(server: Server) -> tuple[int, int, int]:
    """The vcpus, memory and disk that a server claims: while a resize is not confirmed, the larger
    ones of the two flavors.
    """
    old = server.resized_from or {}
    disk_gib = disk_claim_gib(server.disk_gib, server.ephemeral_gib, server.swap_mib)
    if old:
        old_disk_gib = disk_claim_gib(old["disk_gib"], old["ephemeral_gib"], old["swap_mib"])
        disk_gib = max(disk_gib, old_disk_gib)
    return (
        max(server.vcpus, old.get("vcpus", 0)),
        max(server.ram_mib, old.get("ram_mib", 0)),
        disk_gib,
    )


def disk_claim_gib(disk_gib: int, ephemeral_gib: int, swap_mib: int) -> int:
    """What a server of these sizes takes of its host's disk."""
    return disk_gib + ephemeral_gib + -(-swap_mib // 1024)


def _driver_offer(offer: Mapping[str, Any] | None) -> DriverOffer:
    if offer is None:
        return DriverOffer()
    return DriverOffer(
        formats=frozenset(offer["formats"]),
        capabilities=frozenset(offer["capabilities"]),
        servers_max=offer.get("servers_max"),
    )


def _candidate(row: Host) -> Candidate:
    return Candidate(
        id=row.id,
        up=row.is_up,
        enabled=row.enabled,
        drivers={name: _driver_offer(row.offers.get(name)) for name in row.drivers},
        vcpus_free=row.vcpus_free,
        ram_free_mib=row.ram_free_mib,
        disk_free_gib=row.disk_free_gib,
        ready_images=frozenset(row.ready_images),
        servers=row.servers_claimed,
    )
