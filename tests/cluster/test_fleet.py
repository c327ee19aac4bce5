"""Many hosts at once: each hears of its own servers, and of nobody else's."""

from __future__ import annotations

import asyncio

from openstack.connection import Connection

from tests.cluster.fleet import FleetHost, fleet
from tests.running_cloud import RunningCloud
from tests.tarball import tarball

HOSTS = 20
SERVERS = 60
WITHIN_S = 60.0
PAUSE_S = 0.05
LOOKS_MAX = round(WITHIN_S / PAUSE_S)


def test_servers_are_spread_told_once_and_made(cloud: RunningCloud, admin: Connection) -> None:
    compute = admin.compute
    cloud.host.register(vcpus=0, ram_mib=0, disk_gib=0)
    image = admin.image.create_image(
        "fleet", data=tarball(), disk_format="root-tar", container_format="bare"
    )
    flavor = compute.create_flavor(name="fleet", ram=512, vcpus=1, disk=5)
    network = admin.network.create_network(name="fleet")
    admin.network.create_subnet(network_id=network.id, ip_version=4, cidr="10.206.8.0/22")

    def create() -> None:
        compute.create_server(
            name="fleet",
            image_id=image.id,
            flavor_id=flavor.id,
            networks=[{"uuid": network.id}],
            min_count=SERVERS,
        )

    async def story() -> list[FleetHost]:
        async with fleet(cloud.host.url, HOSTS) as hosts, asyncio.timeout(WITHIN_S):
            await asyncio.to_thread(create)
            for _ in range(LOOKS_MAX):
                if not await asyncio.to_thread(_not_active, admin):
                    break
                await asyncio.sleep(PAUSE_S)
            return hosts

    hosts = asyncio.run(story())
    assert [len(host.servers) for host in hosts] == [SERVERS // HOSTS] * HOSTS
    assert len({key for host in hosts for key in host.servers}) == SERVERS
    for host in hosts:
        slots = sorted(server.id_slot for server in host.servers.values())
        assert slots == list(range(len(slots)))
        assert host.answers <= 1 + len(host.servers)


def _not_active(admin: Connection) -> int:
    return SERVERS - len(list(admin.compute.servers(status="ACTIVE")))
