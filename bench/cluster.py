"""A thousand servers on a hundred hosts that only answer, and what lists of them cost.

The API runs in a process of its own, over SQLite, on loopback; the hosts and the clients share
another. Run it as `python -m bench.cluster`.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import tempfile
import time
from dataclasses import dataclass
from multiprocessing.connection import Connection as Pipe
from pathlib import Path
from typing import Any

import httpx
from tests.cluster.fleet import FleetHost, fleet
from tests.running_cloud import ADMIN_PASSWORD, running_cloud
from tests.tarball import tarball

from bench.measure import Figure
from kumoi.base import log

HOSTS = 100
SERVERS = 1_000
TOGETHER = 20
LISTS = 20
WITHIN_S = 300.0
PAUSE_S = 0.02
LOOKS_MAX = round(WITHIN_S / PAUSE_S)
QUIET = 50  # Above every level that our log lines have.


@dataclass(frozen=True, slots=True)
class Bench:
    """Where the API is, and what servers are made from."""

    url: str
    host_url: str
    token: str
    image_id: str
    flavor_id: str
    network_id: str

    def body(self, number: int) -> dict[str, Any]:
        server = {
            "name": f"bench-{number:04}",
            "imageRef": self.image_id,
            "flavorRef": self.flavor_id,
            "networks": [{"uuid": self.network_id}],
        }
        return {"server": server}


def figures(
    *, servers: int = SERVERS, hosts: int = HOSTS, together: int = TOGETHER
) -> list[Figure]:
    """Make them, list them, delete them."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    api = context.Process(target=_serve, args=(theirs,))
    api.start()
    try:
        bench: Bench = ours.recv()
        pid = api.pid or 0
        return asyncio.run(_measure(bench, pid, servers=servers, hosts=hosts, together=together))
    finally:
        ours.send("stop")
        api.join(30)


def _serve(pipe: Pipe) -> None:
    """The child: a cloud with all that servers need, until told to stop."""
    log.set_up("bench", level=QUIET)
    with tempfile.TemporaryDirectory(prefix="kumoi-bench-") as directory:
        url = f"sqlite:///{directory}/store.db"
        with running_cloud(Path(directory), url) as cloud:
            cloud.host.register(vcpus=0, ram_mib=0, disk_gib=0)
            admin = cloud.connect("admin", ADMIN_PASSWORD, "admin")
            compute, network = admin.compute, admin.network
            project = admin.current_project_id
            compute.update_quota_set(project, instances=-1, cores=-1, ram=-1)
            network.update_quota(project, port=-1)
            image = admin.image.create_image(
                "bench",
                data=tarball(),
                disk_format="root-tar",
                container_format="bare",
                visibility="public",
            )
            flavor = compute.create_flavor(name="bench", ram=512, vcpus=1, disk=5)
            made = network.create_network(name="bench")
            network.create_subnet(network_id=made.id, ip_version=4, cidr="10.206.0.0/16")
            pipe.send(
                Bench(
                    url=f"{cloud.url}/compute/v2.1",
                    host_url=cloud.host.url,
                    token=admin.auth_token,
                    image_id=image.id,
                    flavor_id=flavor.id,
                    network_id=made.id,
                )
            )
            pipe.recv()


async def _measure(
    bench: Bench, pid: int, *, servers: int, hosts: int, together: int
) -> list[Figure]:
    headers = {"X-Auth-Token": bench.token, "OpenStack-API-Version": "compute 2.96"}
    async with (
        fleet(bench.host_url, hosts) as members,
        httpx.AsyncClient(base_url=bench.url, headers=headers, timeout=60) as client,
    ):
        began, spent_before = time.perf_counter(), _cpu_s(pid)
        answers = await _create(bench, client, servers, together)
        await _until(client, members, servers)
        rate = servers / (time.perf_counter() - began)
        spent_ms = (_cpu_s(pid) - spent_before) * 1000 / servers
        spread = sorted(len(host.servers) for host in members)
        print(f"spread over hosts: {spread[0]} to {spread[-1]} servers each")
        found = [
            Figure(f"{servers} servers on {hosts} hosts", [rate], "per s", 80, at_least=True),
            Figure("POST /servers among them", answers, "ms"),
            Figure("the API's CPU per server", [spent_ms], "ms", 8),
        ]
        for path, target in (("servers/detail", 35.0), ("servers", None)):
            spent = [await _list(client, path, servers) for _ in range(LISTS + 1)][1:]
            found.append(Figure(f"GET /{path} of {servers}", spent, "ms", target))
        return found


def _cpu_s(pid: int) -> float:
    """Processor time that a process has used, of user and system."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def _create(
    bench: Bench, client: httpx.AsyncClient, servers: int, together: int
) -> list[float]:
    """How long each POST took, in ms."""
    numbers = iter(range(servers))
    spent: list[float] = []

    async def work() -> None:
        for number in numbers:
            began = time.perf_counter()
            answer = await client.post("/servers", json=bench.body(number))
            answer.raise_for_status()
            spent.append((time.perf_counter() - began) * 1000)

    async with asyncio.TaskGroup() as tasks:
        for _ in range(together):
            tasks.create_task(work())
    return spent


async def _until(client: httpx.AsyncClient, hosts: list[FleetHost], servers: int) -> None:
    """All of them ACTIVE. The hosts know first; then the API is asked. Raises TimeoutError."""
    async with asyncio.timeout(WITHIN_S):
        for _ in range(LOOKS_MAX):
            if sum(len(host.servers) for host in hosts) >= servers:
                break
            await asyncio.sleep(PAUSE_S)
        for _ in range(LOOKS_MAX):
            answer = await client.get("/servers", params={"status": "ACTIVE", "limit": 1000})
            if len(answer.json()["servers"]) >= min(servers, 1000):
                return
            await asyncio.sleep(PAUSE_S)
    raise TimeoutError("not all servers became ACTIVE")


async def _list(client: httpx.AsyncClient, path: str, servers: int) -> float:
    """In ms; the body is read, and not parsed."""
    began = time.perf_counter()
    answer = await client.get(f"/{path}")
    spent = (time.perf_counter() - began) * 1000
    if len(answer.json()["servers"]) != min(servers, 1000):
        raise RuntimeError(answer.text[:200])
    return spent


if __name__ == "__main__":
    for figure in figures():
        met = {None: "", True: "met", False: "MISSED"}[figure.is_met]
        print(f"{figure.what:40} {figure.median:8.1f} p99 {figure.p99:8.1f} {figure.unit} {met}")
