"""How long one request may keep all other writers waiting: the longest write transaction of each route
that is asked for as much as its body may hold, in this process over SQLite. Needs no cloud that is up.

tests/security/test_bounds.py counts what these do.
"""

from __future__ import annotations

import asyncio
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx

from bench.measure import Figure, come_first
from kumoi.base import log
from kumoi.base.clock import Clock
from kumoi.base.secret import Secret
from kumoi.cloud.api import serve as api_serve
from kumoi.cloud.api.load_balancer import body as balancer_body
from kumoi.cloud.api.load_balancer import load_balancer
from kumoi.cloud.api.network import body as network_body
from kumoi.cloud.domain.host import host
from kumoi.cloud.domain.identity import bootstrap
from kumoi.cloud.drivers.image import inspect
from kumoi.cloud.hostapi.hello import HostHello
from kumoi.cloud.store.tables import metadata
from kumoi.config import CloudSettings, HostSettings
from kumoi.engine.db import Database, now
from kumoi.engine.http.bounds import ENTRIES_MAX

PASSWORD = "bench"
QUIET = 50
HELD_MAX_MS = 50.0
TIMES = 5
TAGS = ["tag-1", "tag-2", "tag-3"]
NETWORK, COMPUTE, BALANCER = "/network/v2.0", "/compute/v2.1", "/load-balancer/v2.0/lbaas"


def figures() -> list[Figure]:
    log.set_up("bench", level=QUIET)
    come_first()
    with tempfile.TemporaryDirectory(prefix="kumoi-bench-") as directory:
        return asyncio.run(_measure(Path(directory)))


class Asker:
    """As the administrator, whose quotas are lifted. Notes how long each route's longest transaction
    was.
    """

    def __init__(self, client: httpx.AsyncClient, database: Database) -> None:
        self._client = client
        self._database = database
        self.longest_ms: dict[str, list[float]] = {}
        self.cpu_ms: dict[str, list[float]] = {}

    async def __call__(self, method: str, path: str, body: Any, *, what: str = "") -> Any:
        self._database.write_watch.longest_s = 0.0
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        kind = "application/octet-stream" if isinstance(body, bytes) else "application/json"
        headers = {"Content-Type": kind, "Content-Length": str(len(content))}
        began = time.process_time()
        answer = await self._client.request(method, path, content=content, headers=headers)
        answer.raise_for_status()
        if what:
            held = self.longest_ms.setdefault(what, [])
            held.append(self._database.write_watch.longest_s * 1_000)
            spent = self.cpu_ms.setdefault(what, [])
            spent.append((time.process_time() - began) * 1_000)
        return answer.json() if answer.content else None


async def _measure(directory: Path) -> list[Figure]:
    database = Database(f"sqlite:///{directory}/store.db", wake_dir=directory / "wake")
    metadata.create_all(database.engine)
    cloud = CloudSettings(name="bench", api_public_url="http://asked")
    here = HostSettings(name="host1", state_dir=str(directory))
    for needed in (here.pki_dir, here.image_dir):
        needed.mkdir(parents=True)
    first = bootstrap.prepare(admin_password=Secret(PASSWORD), demo_password=Secret(PASSWORD))
    hello = HostHello(
        release="0",
        hostname="host1",
        drivers=["lxc"],
        vcpus=4_096,
        ram_mib=1 << 20,
        disk_gib=100_000,
    )
    with database.write() as connection:
        bootstrap.bootstrap(connection, cloud, first)
        host.register(connection, "host1", hello, now(connection))
    services = api_serve.build_services(cloud, here, database, Clock(), inspect.check_file)
    transport = httpx.ASGITransport(api_serve.app(services))
    async with httpx.AsyncClient(transport=transport, base_url="http://asked") as client:
        await _log_in(client)
        ask = Asker(client, database)
        for number in range(TIMES):
            await _ask_for_much(ask, number)
    database.close()
    rows: list[Figure] = []
    for what, held in ask.longest_ms.items():
        rows.append(Figure(f"{what}: the longest transaction", held, "ms", HELD_MAX_MS))
        rows.append(Figure("  processor time of the request", ask.cpu_ms[what], "ms"))
    return rows


async def _log_in(client: httpx.AsyncClient) -> None:
    domain = {"id": "default"}
    user = {"name": "admin", "password": PASSWORD, "domain": domain}
    auth = {
        "identity": {"methods": ["password"], "password": {"user": user}},
        "scope": {"project": {"name": "admin", "domain": domain}},
    }
    answer = await client.post("/identity/v3/auth/tokens", json={"auth": auth})
    client.headers["X-Auth-Token"] = answer.headers["X-Subject-Token"]
    project = answer.json()["token"]["project"]["id"]
    for path, word in (
        (f"{NETWORK}/quotas", "quota"),
        (f"{COMPUTE}/os-quota-sets", "quota_set"),
        (f"{BALANCER}/quotas", "quota"),
    ):
        limits = (await client.get(f"{path}/{project}")).json()[word]
        lifted = {key: -1 for key, value in limits.items() if isinstance(value, int)}
        (await client.put(f"{path}/{project}", json={word: lifted})).raise_for_status()


def _each(most: int, make: Callable[[int], Any]) -> list[Any]:
    return [make(number) for number in range(most)]


async def _ask_for_much(ask: Asker, turn: int) -> None:
    together = network_body.BULK_MAX
    for words in ("networks", "routers", "security-groups"):
        key = words.replace("-", "_")
        body = {key: _each(together, lambda number: {"name": f"{number}", "tags": TAGS})}
        await ask("POST", f"{NETWORK}/{words}", body, what=f"{together} {words}")
    network = (await ask("POST", f"{NETWORK}/networks", {"network": {"name": "n"}}))["network"][
        "id"
    ]
    new = {"network_id": network, "ip_version": 4, "cidr": "10.0.0.0/16"}
    subnet = (await ask("POST", f"{NETWORK}/subnets", {"subnet": new}))["subnet"]["id"]
    subnets = _each(
        together, lambda n: {"network_id": network, "ip_version": 4, "cidr": f"10.{n + 1}.0.0/24"}
    )
    await ask("POST", f"{NETWORK}/subnets", {"subnets": subnets}, what=f"{together} subnets")
    await _ports(ask)
    pools = _each(ENTRIES_MAX, lambda n: {"start": f"10.0.{n}.8", "end": f"10.0.{n}.9"})
    await ask(
        "PUT",
        f"{NETWORK}/subnets/{subnet}",
        {"subnet": {"allocation_pools": pools}},
        what=f"a subnet's {ENTRIES_MAX} pools",
    )
    prefixes = _each(ENTRIES_MAX, lambda n: f"10.0.{n}.0/26")
    made = await ask(
        "POST", f"{NETWORK}/subnetpools", {"subnetpool": {"name": "s", "prefixes": prefixes}}
    )
    path = f"{NETWORK}/subnetpools/{made['subnetpool']['id']}"
    same = {"subnetpool": {"prefixes": prefixes}}
    await ask("PUT", path, same, what=f"a subnet pool's {ENTRIES_MAX} prefixes")
    await _balancers(ask, subnet)
    await _servers(ask, network, turn)


async def _ports(ask: Asker) -> None:
    """Of a network with one subnet: with many, each port takes longer."""
    made = await ask("POST", f"{NETWORK}/networks", {"network": {"name": "n"}})
    network, together = made["network"]["id"], network_body.BULK_MAX
    new = {"network_id": network, "ip_version": 4, "cidr": "10.0.0.0/16"}
    subnet = (await ask("POST", f"{NETWORK}/subnets", {"subnet": new}))["subnet"]["id"]
    port = {"network_id": network, "fixed_ips": [{"subnet_id": subnet}] * 3}
    ports = {"ports": [port] * together}
    await ask("POST", f"{NETWORK}/ports", ports, what=f"{together} ports of 3 addresses")
    await ask("POST", f"{NETWORK}/ports", {"ports": [{"network_id": network}] * together})


async def _balancers(ask: Asker, subnet: str) -> None:
    def listener(number: int) -> Any:
        member = {"address": "10.0.0.9", "protocol_port": 80}
        pool = {"protocol": "TCP", "lb_algorithm": "SOURCE_IP", "members": [member]}
        return {"protocol": "TCP", "protocol_port": number + 1, "default_pool": pool}

    whole = {"vip_subnet_id": subnet, "listeners": _each(load_balancer.PARTS_MAX // 3, listener)}
    made = await ask(
        "POST",
        f"{BALANCER}/loadbalancers",
        {"loadbalancer": whole},
        what="a balancer with all its parts",
    )
    balancer = made["loadbalancer"]["id"]
    new = {"loadbalancer_id": balancer, "protocol": "TCP", "lb_algorithm": "SOURCE_IP"}
    pool = (await ask("POST", f"{BALANCER}/pools", {"pool": new}))["pool"]["id"]
    most = balancer_body.TOGETHER_MAX
    for port in (80, 81):
        members = _each(
            most,
            lambda n: {"address": f"10.0.{n // 200}.{n % 200}", "protocol_port": port},  # noqa: B023
        )
        await ask(
            "PUT",
            f"{BALANCER}/pools/{pool}/members",
            {"members": members},
            what=f"a pool's {most} members",
        )
    await ask(
        "DELETE", f"{BALANCER}/loadbalancers/{balancer}?cascade=true", None, what="a balancer's end"
    )


async def _servers(ask: Asker, network: str, turn: int) -> None:
    flavor = {"name": f"f{turn}", "ram": 1, "vcpus": 1, "disk": 1}
    flavor_id = (await ask("POST", f"{COMPUTE}/flavors", {"flavor": flavor}))["flavor"]["id"]
    image = await ask(
        "POST", "/image/v2/images", {"disk_format": "raw", "container_format": "bare"}
    )
    await ask("PUT", f"/image/v2/images/{image['id']}/file", b"content")
    server = {
        "name": "s",
        "flavorRef": flavor_id,
        "imageRef": image["id"],
        "networks": [{"uuid": network}],
        "min_count": 100,
    }
    await ask("POST", f"{COMPUTE}/servers", {"server": server}, what="100 servers")
