"""The promise the product is named for: nothing of ours is on a packet's path."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from openstack.connection import Connection
from tests.system.live import LiveCloud, eventually, pings

pytestmark = [pytest.mark.system, pytest.mark.timeout(600)]

PINGS = 30_000
# All but ovs-vswitchd, which is the path itself where the switch runs in user space.
KILLED = (
    "agent",
    "api",
    "worker",
    "pipeline",
    "ovn-controller",
    "ovn-northd",
    "ovnnb-db",
    "ovnsb-db",
    "ovs-db",
)


@pytest.fixture
def two_networks(live: LiveCloud) -> Iterator[dict[str, str]]:
    """Two servers on two networks joined by a router; gives address by server id."""
    with live.connect() as cloud:
        group = cloud.network.create_security_group(name="restart")
        cloud.network.create_security_group_rule(
            security_group_id=group.id, direction="ingress", protocol="icmp"
        )
        router = cloud.network.create_router(name="restart")
        subnets = []
        for number in (1, 2):
            network = cloud.network.create_network(name=f"restart-{number}")
            subnet = cloud.network.create_subnet(
                network_id=network.id, cidr=f"10.8.{number}.0/24", ip_version=4
            )
            cloud.network.add_interface_to_router(router, subnet=subnet.id)
            subnets.append(subnet)
        try:
            yield dict(_server(cloud, subnet, group.name) for subnet in subnets)
        finally:
            for server in list(cloud.compute.servers(name="restart")):
                cloud.compute.delete_server(server)
                cloud.compute.wait_for_delete(server, interval=0.2, wait=30)
            for subnet in subnets:
                cloud.network.remove_interface_from_router(router, subnet=subnet.id)
                cloud.network.delete_network(subnet.network_id)
            cloud.network.delete_router(router)
            cloud.network.delete_security_group(group)


def _server(cloud: Connection, subnet: object, group: str) -> tuple[str, str]:
    network_id = subnet.network_id  # type: ignore[attr-defined]
    server = cloud.compute.create_server(
        name=f"restart-{network_id[:4]}",
        image_id=cloud.image.find_image("debian-12").id,
        flavor_id=cloud.compute.find_flavor("tiny").id,
        networks=[{"uuid": network_id}],
        security_groups=[{"name": group}],
    )
    server = cloud.compute.wait_for_server(server, interval=0.1, wait=60)
    (port,) = cloud.network.ports(device_id=server.id)
    return server.id, port.fixed_ips[0]["ip_address"]


def test_no_packet_is_lost_while_each_process_is_killed_in_turn(
    live: LiveCloud, two_networks: dict[str, str]
) -> None:
    (first, _), (_, there) = two_networks.items()
    inside = live.init_pid(first)
    with pings(inside, there, 200) as warm:
        warm.communicate(timeout=30)
    with pings(inside, there, PINGS) as pinging:
        for unit in KILLED:
            _kill_and_wait_for_the_next(live, unit)
        assert pinging.poll() is None, "the pings ended before the last process was back"
        out, _ = pinging.communicate(timeout=240)
    sent, received = re.search(r"(\d+) packets transmitted, (\d+) received", out).groups()  # type: ignore[union-attr]
    assert (int(sent), int(received)) == (PINGS, PINGS), out


def _kill_and_wait_for_the_next(live: LiveCloud, unit: str) -> None:
    before = live.pid(unit)
    os.kill(before, signal.SIGKILL)

    def back() -> bool:
        now = live.pid(unit)
        return now not in (0, before) and Path(f"/proc/{now}").exists()

    eventually(back, within_s=20, what=f"{unit} is back")
    time.sleep(1.0)  # Traffic goes on with the new one, for the pings to notice.
    if unit == "api":
        eventually(lambda: _answers(live), within_s=20, what="the API answers")


def _answers(live: LiveCloud) -> bool:
    with contextlib.suppress(httpx.HTTPError):
        url = f"{live.config.api_url}/identity/v3"
        return httpx.get(url, verify=live.tls).status_code == 200
    return False


def test_servers_are_where_they_were_after_the_agent_is_killed(
    live: LiveCloud, two_networks: dict[str, str]
) -> None:
    before = {server: live.init_pid(server) for server in two_networks}
    _kill_and_wait_for_the_next(live, "agent")
    assert {server: live.init_pid(server) for server in two_networks} == before
