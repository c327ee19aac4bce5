"""POST server → ACTIVE → SSH answers, one at a time and ten at a time."""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from openstack.connection import Connection

from bench.measure import Figure, until

ONE_BY_ONE = 10
TOGETHER = 50
WIDTH = 10


def figures(cloud: Connection, *, together: bool = True) -> list[Figure]:
    with network(cloud) as (network_id, group):
        active, answering = [], []
        for number in range(ONE_BY_ONE):
            seconds = _one(cloud, network_id, group, f"bench-{number}")
            active.append(seconds[0])
            answering.append(seconds[1])
        found = [
            Figure("POST server → ACTIVE, container", active, "s", 0.3),
            Figure("POST server → SSH on its floating IP", answering, "s", 1.2),
        ]
        if together:
            found.append(_many(cloud, network_id))
        return found


def _one(cloud: Connection, network_id: str, group: str, name: str) -> tuple[float, float]:
    """With its port and floating IP made before, so that the clock starts at POST."""
    port = cloud.network.create_port(network_id=network_id, security_group_ids=[group])
    public = cloud.network.find_network("public", ignore_missing=False)
    floating = cloud.network.create_ip(floating_network_id=public.id, port_id=port.id)
    address = floating.floating_ip_address
    image, flavor = image_and_flavor(cloud)
    began = time.perf_counter()
    server = cloud.compute.create_server(
        name=name, image_id=image, flavor_id=flavor, networks=[{"port": port.id}]
    )
    until(lambda: cloud.compute.get_server(server).status == "ACTIVE", within_s=30)
    active = time.perf_counter() - began
    until(lambda: _answers(address), within_s=30)
    answering = time.perf_counter() - began
    cloud.compute.delete_server(server)
    cloud.compute.wait_for_delete(server, interval=0.05, wait=30)
    cloud.network.delete_ip(floating)
    cloud.network.delete_port(port)
    return active, answering


def _many(cloud: Connection, network_id: str) -> Figure:
    image, flavor = image_and_flavor(cloud)

    def make(number: int) -> Any:
        server = cloud.compute.create_server(
            name=f"bench-{number}",
            image_id=image,
            flavor_id=flavor,
            networks=[{"uuid": network_id}],
        )
        until(
            lambda: cloud.compute.get_server(server).status == "ACTIVE", within_s=120, pause_s=0.2
        )
        return server

    with ThreadPoolExecutor(WIDTH) as pool:
        began = time.perf_counter()
        servers = list(pool.map(make, range(TOGETHER)))
        seconds = time.perf_counter() - began
        list(pool.map(lambda server: _gone(cloud, server), servers))
    what = f"{TOGETHER} containers, {WIDTH} at a time, all ACTIVE"
    return Figure(what, [TOGETHER / seconds], "per s", 4, at_least=True)


def _gone(cloud: Connection, server: Any) -> None:
    cloud.compute.delete_server(server)
    cloud.compute.wait_for_delete(server, interval=0.2, wait=120)


def image_and_flavor(cloud: Connection) -> tuple[str, str]:
    image = cloud.image.find_image("debian-12", ignore_missing=False)
    flavor = cloud.compute.find_flavor("tiny", ignore_missing=False)
    return image.id, flavor.id


def _answers(address: str) -> bool:
    with contextlib.suppress(OSError), socket.create_connection((address, 22), timeout=0.2) as peer:
        return peer.recv(4) == b"SSH-"
    return False


@contextlib.contextmanager
def network(cloud: Connection, *, port: int = 22) -> Iterator[tuple[str, str]]:
    """A network with a way out, and a security group that lets SSH or another port in; gone at the end."""
    public = cloud.network.find_network("public", ignore_missing=False)
    made = cloud.network.create_network(name="bench")
    subnet = cloud.network.create_subnet(network_id=made.id, cidr="10.7.0.0/24", ip_version=4)
    router = cloud.network.create_router(
        name="bench", external_gateway_info={"network_id": public.id}
    )
    cloud.network.add_interface_to_router(router, subnet=subnet.id)
    group = cloud.network.create_security_group(name="bench")
    cloud.network.create_security_group_rule(
        security_group_id=group.id,
        direction="ingress",
        protocol="tcp",
        port_range_min=port,
        port_range_max=port,
    )
    try:
        yield made.id, group.id
    finally:
        cloud.network.remove_interface_from_router(router, subnet=subnet.id)
        cloud.network.delete_router(router)
        cloud.network.delete_network(made)
        cloud.network.delete_security_group(group)
