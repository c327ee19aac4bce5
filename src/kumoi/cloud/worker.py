"""The worker role: the reconcilers, each in a loop of its own under a lease."""

from __future__ import annotations

import asyncio

from kumoi import members
from kumoi.base.clock import Clock
from kumoi.cloud.drivers.image.files import ImageFiles
from kumoi.cloud.drivers.network.interface import Northbound
from kumoi.cloud.drivers.network.ovn.apply import OvnNorthbound
from kumoi.cloud.drivers.network.ovsdb import DEFAULT_TIMEOUT_S
from kumoi.cloud.reconcilers.host import HostReconciler
from kumoi.cloud.reconcilers.image import ImageReconciler
from kumoi.cloud.reconcilers.load_balancer import StationReconciler
from kumoi.cloud.reconcilers.network import NetworkReconciler
from kumoi.cloud.reconcilers.server import ServerReconciler
from kumoi.config import CloudSettings, HostSettings, Role
from kumoi.engine import audit
from kumoi.engine.audit import PRUNE_EVERY_S
from kumoi.engine.db import Database
from kumoi.engine.loop import Loop, Poke, run

NETWORK_INTERVAL_S = 5.0
SERVER_INTERVAL_S = 10.0
HOST_INTERVAL_S = 5.0
IMAGE_INTERVAL_S = 20.0
STATION_INTERVAL_S = 5.0
ELECTED_S = 25.0  # Two elections of 5 to 10 s: in the first one, two may ask for votes at once.


async def serve(cloud: CloudSettings, host: HostSettings, database: Database, clock: Clock) -> None:
    """Until cancelled."""
    plugged = Poke()  # OVN says that a port has come up.
    if Role.NETWORK not in host.roles:  # A cloud without networks.
        await serve_with(cloud, host, database, clock, northbound=None, plugged=plugged)
        return
    remote, certificate = members.northbound(cloud, host)
    timeout_s = DEFAULT_TIMEOUT_S if certificate is None else ELECTED_S
    with OvnNorthbound(
        remote, changed=plugged, certificate=certificate, timeout_s=timeout_s
    ) as northbound:
        await serve_with(cloud, host, database, clock, northbound=northbound, plugged=plugged)


async def serve_with(
    cloud: CloudSettings,
    host: HostSettings,
    database: Database,
    clock: Clock,
    *,
    northbound: Northbound | None,
    plugged: Poke,
) -> None:
    """The same with the network's engine given, where there is one."""
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
    async with asyncio.TaskGroup() as tasks:
        for loop in loops:
            tasks.create_task(run(loop, database), name=loop.name)


def _of_disk(cloud: CloudSettings, host: HostSettings, name: str) -> str:
    """The name of a loop that tends this host's disk, and is nobody else's."""
    return f"{name} {host.name}" if cloud.is_replicated else name
