"""The worker role: the reconcilers, each in a loop of its own under a lease."""

from __future__ import annotations

import asyncio

from kumoi import members
from kumoi.base.clock import Clock
from kumoi.cloud.drivers.image.files import ImageFiles
from kumoi.cloud.drivers.network.interface import Northbound
from kumoi.cloud.drivers.network.ovn.apply import OvnNorthbound
from kumoi.cloud.drivers.network.ovsdb import DEFAULT_TIMEOUT_S
from kumoi.cloud.reconcilers import healing
from kumoi.cloud.reconcilers.healing import Healer, WritableWatch
from kumoi.cloud.reconcilers.host import HostReconciler
from kumoi.cloud.reconcilers.image import ImageReconciler
from kumoi.cloud.reconcilers.load_balancer import StationReconciler
from kumoi.cloud.reconcilers.network import NetworkReconciler
from kumoi.cloud.reconcilers.server import ServerReconciler
from kumoi.config import CloudSettings, HostSettings, Role
from kumoi.engine import audit, holder
from kumoi.engine.audit import PRUNE_EVERY_S
from kumoi.engine.db import Database
from kumoi.engine.loop import Loop, Poke, run
from kumoi.engine.loop_leases import LoopLeases
from kumoi.hosts.cluster import leases
from kumoi.hosts.cluster.leases import LeaseBook

NETWORK_INTERVAL_S = 5.0
SERVER_INTERVAL_S = 10.0
HOST_INTERVAL_S = 5.0
IMAGE_INTERVAL_S = 20.0
STATION_INTERVAL_S = 5.0
ELECTED_S = 25.0  # Two elections of 5 to 10 s: in the first one, two may ask for votes at once.


async def serve(cloud: CloudSettings, host: HostSettings, database: Database, clock: Clock) -> None:
    """Until cancelled."""
    plugged = Poke()  # OVN says that a port has come up.
    book = leases.open_book(cloud, host)
    if Role.NETWORK not in host.roles:  # A cloud without networks.
        await serve_with(cloud, host, database, clock, northbound=None, plugged=plugged, book=book)
        return
    remote, certificate = members.northbound(cloud, host)
    timeout_s = DEFAULT_TIMEOUT_S if certificate is None else ELECTED_S
    with OvnNorthbound(
        remote, changed=plugged, certificate=certificate, timeout_s=timeout_s
    ) as northbound:
        await serve_with(
            cloud, host, database, clock, northbound=northbound, plugged=plugged, book=book
        )


async def serve_with(
    cloud: CloudSettings,
    host: HostSettings,
    database: Database,
    clock: Clock,
    *,
    northbound: Northbound | None,
    plugged: Poke,
    book: LeaseBook | None = None,
) -> None:
    """The same with the network's engine given, where there is one, and the hosts' leases."""
    server = ServerReconciler(database)
    hosts = HostReconciler(database, silent_s=cloud.host_silent_s)
    stations = StationReconciler(database)
    image = ImageReconciler(database, ImageFiles(host.image_dir), clock)
    loops = [
        Loop("server", server.round, SERVER_INTERVAL_S),
        Loop("host", hosts.round, HOST_INTERVAL_S),
        Loop("station", stations.round, STATION_INTERVAL_S),
        Loop(_of_disk(cloud, host, "image"), image.round, IMAGE_INTERVAL_S),
        Loop("audit", audit.Pruner(database, clock, cloud.audit_days).round, PRUNE_EVERY_S),
    ]
    if northbound is not None:
        network = NetworkReconciler(database, northbound, clock)
        loops.append(Loop("network", network.round, NETWORK_INTERVAL_S, plugged))
    leases_of_loops = LoopLeases(database)
    async with asyncio.TaskGroup() as tasks:
        if book is not None:
            watch = WritableWatch(database, book, clock, who=host.name)
            loops.append(_healing(cloud, database, book, watch, clock))
            tasks.create_task(_prove(watch, leases_of_loops), name="writable")
        for loop in loops:
            tasks.create_task(run(loop, database, leases_of_loops), name=loop.name)


def _of_disk(cloud: CloudSettings, host: HostSettings, name: str) -> str:
    """The name of a loop that tends this host's disk, and is nobody else's."""
    return f"{name} {host.name}" if cloud.is_replicated else name


def _healing(
    cloud: CloudSettings, database: Database, book: LeaseBook, watch: WritableWatch, clock: Clock
) -> Loop:
    token = holder.new_token()
    healer = Healer(database, book, watch, clock, default=cloud.ha_policy, token=token)
    return Loop(healing.NAME, healer.round, healing.LOOK_EVERY_S, token=token)


async def _prove(watch: WritableWatch, loops: LoopLeases) -> None:
    while True:
        await asyncio.to_thread(prove, watch, loops)
        await asyncio.sleep(healing.PROVE_EVERY_S)


def prove(watch: WritableWatch, loops: LoopLeases) -> None:
    """By the healer, and by every worker that may soon be: when the healer is late with its lease, the next one has been
    counting by the time that it takes it.
    """
    if loops.may_come(healing.NAME):
        watch.prove()
