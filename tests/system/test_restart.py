"""The promise the product is named for: nothing of ours is on a packet's path."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Self

import httpx
import pytest
from openstack.connection import Connection
from tests.system.live import LiveCloud, another_release, eventually, pings

pytestmark = [pytest.mark.system, pytest.mark.timeout(600)]

PINGS = 30_000
UPDATE_S = 180.0
ASKED = ("/network/v2.0/networks", "/compute/v2.1/servers", "/image/v2/images", "/identity/v3")
# All but ovs-vswitchd, which is the path itself where the switch runs in user space.
KILLED = (
    "agent",
    "inspector",
    "api",
    "worker",
    "repositories",
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
    assert _counted(out) == (PINGS, PINGS), out


def test_an_update_and_the_way_back_fail_no_call_and_lose_no_packet(
    live: LiveCloud, two_networks: dict[str, str], tmp_path: Path
) -> None:
    """And none of four clients that ask as fast as they can waits for long."""
    (first, _), (_, there) = two_networks.items()
    other = another_release(tmp_path / "src")
    before = live.release()
    with Clients(live) as clients, pings(live.init_pid(first), there, PINGS) as pinging:
        live.kumoi("up", source=other, timeout_s=UPDATE_S)
        assert live.release() != before
        clients.go_on()
        live.kumoi("up", timeout_s=UPDATE_S)
        assert live.release() == before
        clients.go_on()
        out, _ = pinging.communicate(timeout=240)
    assert clients.failed == []
    assert _counted(out) == (PINGS, PINGS), out


class Clients:
    """Four of them, each with a connection that it keeps as long as it is let."""

    def __init__(self, live: LiveCloud) -> None:
        self._live = live
        with live.connect() as cloud:
            self._token = cloud.authorize()
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._ask, args=[path]) for path in ASKED]
        self.answered = 0
        self.failed: list[str] = []

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        self.go_on()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()

    def go_on(self) -> None:
        """Until they have had many more answers."""
        enough = self.answered + 400
        eventually(lambda: self.answered > enough, within_s=60, what="clients are answered")

    def _ask(self, path: str) -> None:
        headers = {"X-Auth-Token": self._token}
        url = self._live.config.api_url + path
        with httpx.Client(verify=self._live.tls, headers=headers, timeout=30) as client:
            while not self._over.is_set():
                try:
                    answer = client.get(url)
                except httpx.HTTPError as error:
                    self.failed.append(repr(error))
                    continue
                if answer.status_code == httpx.codes.OK:
                    self.answered += 1
                else:
                    self.failed.append(answer.text)


def _counted(out: str) -> tuple[int, int]:
    """Pings sent and answered."""
    sent, received = re.search(r"(\d+) packets transmitted, (\d+) received", out).groups()  # type: ignore[union-attr]
    return int(sent), int(received)


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
