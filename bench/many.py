"""A hundred containers on one host, as small as they can be: how soon they are there, what each holds, what
`status` and `up` take then, and what our own processes hold. A host promises 32 servers a processor: where
it has fewer than four, its `host.toml` has to say more (`cpu_allocation_ratio`).
"""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import openstack
from openstack.connection import Connection

from bench import memory, quota
from bench.measure import Figure, until
from bench.server import image_and_flavor, network
from kumoi.base.process import run
from kumoi.cloud.drivers.instance.lxc import cgroup
from kumoi.config import HostSettings, read

SERVERS = 100
WIDTH = 10
RAM_MIB, DISK_GIB = 64, 1
NAME = "bench-many-"
TIMES = 3
ACTIVE_WITHIN_S = 600.0
UP_WITHIN_S = 300.0
AT_REST = ("memory.current", "memory.usage_in_bytes")


def figures(cloud: Connection, name: str, state_dir: str) -> list[Figure]:
    """As the cloud's demo user, whose quotas an admin lifts meanwhile."""
    host = read(HostSettings, Path(state_dir)).settings
    where = ("--name", name, "--state-dir", state_dir)
    with _flavor(f"{name}-admin", cloud.current_project_id) as flavor, network(cloud) as made:
        image, _ = image_and_flavor(cloud)
        began = time.perf_counter()
        with ThreadPoolExecutor(WIDTH) as pool:
            try:
                servers = list(
                    pool.map(lambda n: _active(cloud, n, image, flavor, made[0]), range(SERVERS))
                )
                seconds = time.perf_counter() - began
                each = [_memory_mib(host.name, server.id) for server in servers]
                status = [_timed("status", *where) for _ in range(TIMES)]
                up = [_timed("up", *where) for _ in range(TIMES)]
                ours = memory.figures(name, state_dir)
            finally:
                list(pool.map(lambda server: _gone(cloud, server), _ours(cloud)))
    return [
        Figure(f"{SERVERS} containers, {WIDTH} at a time, all ACTIVE", [seconds], "s"),
        Figure(f"  memory of each, {RAM_MIB} MiB promised", each, "MiB"),
        Figure("  status", status, "s"),
        Figure("  up again, running", up, "s", 10),
        *(Figure(f"  {one.what}", one.values, one.unit) for one in ours),
    ]


@contextlib.contextmanager
def _flavor(admin_cloud: str, project_id: str) -> Iterator[str]:
    """The id of the smallest one, and no quota in its way; all as it was at the end."""
    with (
        openstack.connect(cloud=admin_cloud) as admin,
        quota.lifted(admin, project_id, compute=("instances", "cores", "ram"), network=("port",)),
    ):
        made = admin.compute.create_flavor(name="bench-many", ram=RAM_MIB, vcpus=1, disk=DISK_GIB)
        try:
            yield made.id
        finally:
            admin.compute.delete_flavor(made)


def _active(cloud: Connection, number: int, image: str, flavor: str, network_id: str) -> Any:
    server = cloud.compute.create_server(
        name=f"{NAME}{number}", image_id=image, flavor_id=flavor, networks=[{"uuid": network_id}]
    )

    def settled() -> bool:
        return cloud.compute.get_server(server).status in ("ACTIVE", "ERROR")

    until(settled, within_s=ACTIVE_WITHIN_S, pause_s=0.5)
    found = cloud.compute.get_server(server)
    if found.status != "ACTIVE":
        raise RuntimeError(f"{found.name}: {found.fault['message']}")
    return found


def _ours(cloud: Connection) -> list[Any]:
    """Also one that could not be built; nobody else's."""
    return list(cloud.compute.servers(details=False, name=f"^{NAME}"))


def _gone(cloud: Connection, server: Any) -> None:
    cloud.compute.delete_server(server)
    cloud.compute.wait_for_delete(server, interval=0.5, wait=int(ACTIVE_WITHIN_S))


def _memory_mib(host_name: str, server_id: str) -> float:
    """Of its control group: its processes, and what the kernel keeps of files for them."""
    group = cgroup.of_server(host_name, server_id)
    for root in (Path("/sys/fs/cgroup"), Path("/sys/fs/cgroup/memory")):
        for file in AT_REST:
            if (path := root / group / file).exists():
                return int(path.read_text()) / (1 << 20)
    raise FileNotFoundError(group)


def _timed(*words: str) -> float:
    began = time.perf_counter()
    run([sys.executable, "-m", "kumoi.main", *words], timeout_s=UP_WITHIN_S)
    return time.perf_counter() - began
