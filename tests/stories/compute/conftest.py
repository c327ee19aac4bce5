"""What stories about servers start from: an image, a flavor, and a network of the story's tenant."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from openstack.connection import Connection
from tests.plain_http import PLAIN
from tests.running_cloud import HOST_HEADER, RunningCloud
from tests.tarball import tarball

from kumoi.base.ids import new_hex_id
from kumoi.cloud.hostapi.hello import PATH
from kumoi.cloud.hostapi.messages import InstanceSpec


@dataclass
class Workbench:
    """A tenant with all that a server needs."""

    cloud: RunningCloud
    connection: Connection
    image_id: str
    flavor_id: str
    network_id: str

    def server(self, name: str = "web", **values: Any) -> Any:
        """Asked for, and not made by its host yet."""
        wanted: dict[str, Any] = {
            "name": name,
            "image_id": self.image_id,
            "flavor_id": self.flavor_id,
            "networks": [{"uuid": self.network_id}],
        }
        return self.connection.compute.create_server(**(wanted | values))

    def active(self, name: str = "web", **values: Any) -> Any:
        """Made by its host."""
        made = self.server(name, **values)
        self.cloud.host.settle()
        return self.show(made)

    def host_says(self, method: str, path: str, content: bytes) -> None:
        """What a FakeHost does not say by itself."""
        host = self.cloud.host
        answer = httpx.request(
            method,
            f"{host.url}{PATH}/{path}",
            content=content,
            headers={HOST_HEADER: host.name},
            verify=PLAIN,
        )
        answer.raise_for_status()

    def spec(self, server: Any) -> InstanceSpec:
        """As its host has it from us."""
        return next(spec for spec in self.cloud.host.servers() if spec.id == server.id)

    def show(self, server: Any) -> Any:
        return self.connection.compute.get_server(server.id)


@pytest.fixture(scope="module")
def image_id(admin: Connection) -> str:
    """Public, so that every tenant has it."""
    made = admin.image.create_image(
        f"debian-{new_hex_id()[:6]}",
        data=tarball(),
        disk_format="root-tar",
        container_format="bare",
        visibility="public",
    )
    return str(made.id)


@pytest.fixture(scope="module")
def flavor_id(admin: Connection) -> str:
    made = admin.compute.create_flavor(name=f"small-{new_hex_id()[:6]}", ram=512, vcpus=1, disk=5)
    return str(made.id)


def workbench(
    cloud: RunningCloud, connection: Connection, image_id: str, flavor_id: str
) -> Workbench:
    network = connection.network.create_network(name="private")
    connection.network.create_subnet(
        network_id=network.id, ip_version=4, cidr="10.206.0.0/24", dns_nameservers=["9.9.9.9"]
    )
    return Workbench(cloud, connection, image_id, flavor_id, network.id)


@pytest.fixture
def bench(
    cloud: RunningCloud, demo: Connection, image_id: str, flavor_id: str
) -> Iterator[Workbench]:
    made = workbench(cloud, demo, image_id, flavor_id)
    yield made
    cloud.host.fail_with = ""
    for server in demo.compute.servers():
        demo.compute.delete_server(server)
    cloud.host.settle()


@pytest.fixture
def bench_of_other(
    cloud: RunningCloud, other: Connection, image_id: str, flavor_id: str
) -> Workbench:
    return workbench(cloud, other, image_id, flavor_id)
