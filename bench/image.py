"""The first server of an image that no host has yet: fetched, unpacked, started; and how a neighbour
answers meanwhile.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import struct
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from openstack.connection import Connection

from bench.measure import Figure, until
from bench.server import network
from kumoi.hosts.first_use.first_run import DISK_FORMAT
from kumoi.hosts.install import image as recipes

TIMES = 3
QUIET_S = 2.0
EVERY_S = 0.01
ZSTD_SKIPPED = 0x184D_2A50
"""Begins a frame that zstd passes over: with another number in it, a file is another image."""


def figures(cloud: Connection) -> list[Figure]:
    file = recipes.ensure(recipes.DEBIAN, recipes.cache_dir())
    flavor = cloud.compute.find_flavor("tiny", ignore_missing=False).id
    with (
        network(cloud) as (network_id, group),
        _neighbour(cloud, flavor, network_id, group) as address,
    ):
        with _answers(address) as quiet:
            time.sleep(QUIET_S)
        with _answers(address) as meanwhile:
            firsts = [_first_server(cloud, file, flavor, network_id) for _ in range(TIMES)]
    return [
        Figure(f"first server of a fresh image, {file.stat().st_size >> 20} MiB", firsts, "s", 3),
        Figure("a neighbour's answer meanwhile", meanwhile, "ms"),
        Figure("  with nothing going on", quiet, "ms"),
    ]


def _first_server(cloud: Connection, file: Path, flavor: str, network_id: str) -> float:
    """Seconds from POST to ACTIVE. The image is private: no host fetches it before it has a server."""
    with tempfile.TemporaryDirectory() as directory:
        fresh = Path(directory) / "image"
        shutil.copy(file, fresh)
        with fresh.open("ab") as opened:
            opened.write(struct.pack("<2I", ZSTD_SKIPPED, 16) + os.urandom(16))
        image = cloud.image.create_image(
            "bench-fresh",
            filename=str(fresh),
            allow_duplicates=True,
            disk_format=DISK_FORMAT,
            container_format="bare",
            visibility="private",
        )
    began = time.perf_counter()
    server = cloud.compute.create_server(
        name="bench-fresh", image_id=image.id, flavor_id=flavor, networks=[{"uuid": network_id}]
    )
    until(lambda: cloud.compute.get_server(server).status == "ACTIVE", within_s=120)
    active = time.perf_counter() - began
    cloud.compute.delete_server(server)
    cloud.compute.wait_for_delete(server, interval=0.05, wait=30)
    cloud.image.delete_image(image)
    return active


@contextlib.contextmanager
def _neighbour(cloud: Connection, flavor: str, network_id: str, group: str) -> Iterator[str]:
    """The floating IP of a server that answers."""
    port = cloud.network.create_port(network_id=network_id, security_group_ids=[group])
    public = cloud.network.find_network("public", ignore_missing=False)
    floating = cloud.network.create_ip(floating_network_id=public.id, port_id=port.id)
    image = cloud.image.find_image("debian-12", ignore_missing=False).id
    server = cloud.compute.create_server(
        name="bench-neighbour", image_id=image, flavor_id=flavor, networks=[{"port": port.id}]
    )
    try:
        until(lambda: _answer(floating.floating_ip_address), within_s=60)
        yield floating.floating_ip_address
    finally:
        cloud.compute.delete_server(server)
        cloud.compute.wait_for_delete(server, interval=0.05, wait=30)
        cloud.network.delete_ip(floating)
        cloud.network.delete_port(port)


@contextlib.contextmanager
def _answers(address: str) -> Iterator[list[float]]:
    """Milliseconds until its SSH server says who it is, again and again within the context."""
    found: list[float] = []
    over = threading.Event()

    def ask() -> None:
        while not over.wait(EVERY_S):
            began = time.perf_counter()
            if _answer(address):
                found.append((time.perf_counter() - began) * 1000)

    asking = threading.Thread(target=ask)
    asking.start()
    try:
        yield found
    finally:
        over.set()
        asking.join()


def _answer(address: str) -> bool:
    with contextlib.suppress(OSError), socket.create_connection((address, 22), timeout=10) as peer:
        return peer.recv(4) == b"SSH-"
    return False
