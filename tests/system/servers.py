"""Real servers for system tests: a host with the real agent, and what makes servers on it."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator
from pathlib import Path

import msgspec
from tests.system.container_host import (
    GATEWAY,
    ContainerHost,
    container_host,
    image_of,
    until,
)

from kumoi.base.ids import new_id
from kumoi.cloud.hostapi.messages import (
    Address,
    ImageContent,
    InstanceSpec,
    InstanceState,
    Power,
    ServerPort,
)
from kumoi.hosts.install.image import DEBIAN, ensure

CACHE = Path("/var/tmp/kumoi-test-cache")
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ6q5n1yVb0Vt0gk2C0v1b3o4vQ0T2f3sXo1q8r7YtZk test"


class Servers:
    """Makes servers that are gone when the test is."""

    def __init__(self, host: ContainerHost, image: ImageContent) -> None:
        self.host, self.image = host, image
        self.made: list[InstanceSpec] = []

    def new(self, *, number: int = 5, **changes: object) -> InstanceSpec:
        """Wanted running, and it does."""
        server = self.wanted(number=number, **changes)
        self.host.control.want(server)
        self.host.control.await_report(server, InstanceState.RUNNING)
        return server

    def wanted(self, *, number: int = 5, **changes: object) -> InstanceSpec:
        port = ServerPort(
            id=new_id(),
            mac=f"02:00:00:00:01:{number:02x}",
            mtu=1400,
            name="eth0",
            addresses=[
                Address(address=f"10.202.1.{number}", prefix=24, gateway=GATEWAY, dns=[GATEWAY])
            ],
        )
        server = InstanceSpec(
            id=new_id(),
            generation=1,
            power=Power.RUNNING,
            hostname=f"web{number}",
            vcpus=1,
            ram_mib=256,
            disk_gib=1,
            image=self.image,
            id_slot=number,
            ports=[port],
            ssh_keys=[KEY],
        )
        made = msgspec.structs.replace(server, **changes)
        self.made.append(made)
        return made

    def change(self, server: InstanceSpec, **changes: object) -> InstanceSpec:
        """Want it otherwise, as the next generation."""
        changed = msgspec.structs.replace(server, generation=server.generation + 1, **changes)
        self.made = [item for item in self.made if item.id != server.id] + [changed]
        self.host.control.want(changed)
        return changed

    def delete_all(self) -> None:
        known = [item for item in self.made if item.id in self.host.control.servers]
        gone = [self.change(item, power=Power.ABSENT) for item in known]
        for item in gone:
            self.host.control.await_report(item, InstanceState.ABSENT)


@contextlib.contextmanager
def running_host(**settings: object) -> Iterator[tuple[ContainerHost, ImageContent]]:
    """A host whose agent is ready to start servers of Debian; its settings but for these."""
    path = ensure(DEBIAN, CACHE)
    image = image_of(hashlib.sha256(path.read_bytes()).hexdigest(), path)
    with container_host(path, image.sha256, **settings) as running:
        running.control.images = [image]
        running.start_agent()
        until(
            lambda: running.control.hello and running.control.hello.ready_images == (image.id,),
            bound_s=120,
        )
        yield running, image


@contextlib.contextmanager
def made_here(host: ContainerHost, image: ImageContent) -> Iterator[Servers]:
    """Makes servers, which are gone at the end, and with them all they had."""
    made = Servers(host, image)
    yield made
    host.control.reachable = True
    if host.agent is None or host.agent.poll() is not None:
        host.start_agent()
    made.delete_all()
    until(lambda: host.leftovers() == [], why=host.leftovers)
