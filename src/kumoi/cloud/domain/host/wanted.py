"""What a host is told: its servers as they are wanted, each complete in itself."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy.engine import Connection

from kumoi.cloud.domain.compute import server_resize
from kumoi.cloud.domain.host import prefetch
from kumoi.cloud.domain.network import wiring
from kumoi.cloud.domain.network.wiring import WiredAddress, WiredPort
from kumoi.cloud.hostapi import messages
from kumoi.cloud.hostapi.messages import GENERATION_LAST, Power, Wanted
from kumoi.cloud.store.compute import server as store
from kumoi.cloud.store.compute import snapshot as snapshot_store
from kumoi.cloud.store.compute.server import Server
from kumoi.cloud.store.host import host as host_store
from kumoi.engine import feed
from kumoi.engine.feed import Position


def since(connection: Connection, host_id: str, seen: Position) -> Wanted:
    """What changed after that; everything for revision 0, and for a position that the store does not
    continue. An agent that does not say an epoch yet means the present one.

    Images to prefetch are told when there is nothing more urgent.
    """
    now = feed.position(connection)
    if not seen.epoch:
        seen = Position(now.epoch, seen.revision)
    host = host_store.get(connection, host_id)
    # A store that is made anew gives each host another uuid.
    name = "" if host is None else host.uuid
    if not now.continues(seen):
        rows = store.on_host(connection, host_id)
        return Wanted(
            epoch=now.epoch,
            revision=max(now.revision, 1),
            complete=True,
            servers=_messages(connection, rows),
            store=name,
            images=prefetch.images(connection),
        )
    changes = feed.changes(connection, host_store.topic(host_id), since=seen.revision)
    for_all = feed.changes(connection, host_store.EVERY_HOST, since=seen.revision)
    rows = store.several(connection, changes.keys) if changes.keys else []
    mine = [row for row in rows if row.host_id == host_id and not row.deleted]
    gone = sorted(set(changes.keys) - {row.id for row in mine})
    servers = [*_messages(connection, mine), *(_absent(key) for key in gone)]
    return Wanted(
        epoch=now.epoch,
        revision=_next(changes, for_all),
        complete=False,
        servers=servers,
        store=name,
        images=[] if servers and not for_all.keys else prefetch.images(connection),
    )


def _next(changes: feed.Changes, for_all: feed.Changes) -> int:
    """Where to go on from: behind both, unless there is more of the first."""
    if len(changes.keys) >= feed.CHANGES_MAX:
        return changes.revision
    return max(changes.revision, for_all.revision)


def _messages(connection: Connection, rows: Iterable[Server]) -> list[messages.Server]:
    listed = list(rows)
    ports = wiring.wirings(connection, [row.id for row in listed]) if listed else {}
    snapshots = snapshot_store.by_server(connection, [row.id for row in listed])
    return [_message(row, ports.get(row.id, ()), snapshots.get(row.id, [])) for row in listed]


def _message(row: Server, ports: Iterable[WiredPort], snapshots: list[str]) -> messages.Server:
    return messages.Server(
        id=row.id,
        generation=row.generation,
        power=Power(row.power),
        driver=row.driver,
        name=row.name,
        hostname=row.hostname,
        project_id=row.project_id,
        vcpus=row.vcpus,
        ram_mib=row.ram_mib,
        disk_gib=server_resize.disk_gib(row),
        image=None if row.image is None else messages.Image(**row.image),
        id_slot=row.id_slot or 0,
        ports=[_port(port) for port in ports],
        ssh_keys=row.ssh_keys,
        user_data=row.user_data or "",
        metadata=row.metadata,
        boot=row.boot,
        hard_boot=row.hard_boot,
        build=row.build,
        snapshots=snapshots,
    )


def _port(port: WiredPort) -> messages.Port:
    return messages.Port(
        id=port.id,
        mac=port.mac,
        mtu=port.mtu,
        name=f"eth{port.index}",
        addresses=[_address(address) for address in port.addresses],
    )


def _address(address: WiredAddress) -> messages.Address:
    return messages.Address(
        address=address.address,
        prefix=address.prefix,
        gateway=address.gateway,
        dns=list(address.dns),
        routes=[
            messages.Route(destination=route.destination, nexthop=route.nexthop)
            for route in address.routes
        ],
    )


def _absent(key: str) -> messages.Server:
    return messages.Server(id=key, generation=GENERATION_LAST, power=Power.ABSENT)
