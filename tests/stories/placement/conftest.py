"""What the stories of Placement have in common."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from openstack.connection import Connection

from kumoi.base.ids import new_hex_id
from kumoi.cloud.hostapi.hello import Allocation
from kumoi.cloud.hostapi.offer import Offer
from tests.running_cloud import RunningCloud
from tests.tarball import tarball

LATEST = "1.39"
Get = Callable[..., Any]


@pytest.fixture
def get(admin: Connection) -> Get:
    """What the administrator is answered."""

    def ask(path: str, version: str = LATEST, status: int = 200) -> Any:
        answer = admin.placement.get(path, microversion=version)
        assert answer.status_code == status, answer.text
        return answer.json() if answer.content else None

    return ask


@pytest.fixture
def provider_id(cloud: RunningCloud, admin: Connection) -> Iterator[str]:
    """A host of 8 processors, of which each may be claimed twice."""
    host = cloud.host
    host.offers = {"lxc": Offer(formats=["root-tar", "raw"], capabilities=["pause"])}
    allowed = Allocation(cpu_ratio=2.0, ram_reserved_mib=1_024, disk_ratio=1.0)
    host.register(vcpus=8, ram_mib=9_216, disk_gib=100, allocation=allowed)
    (row,) = [row for row in admin.placement.resource_providers() if row.name == host.name]
    yield str(row.id)
    host.offers = {}
    host.register()


@pytest.fixture
def server(cloud: RunningCloud, admin: Connection, demo: Connection) -> Iterator[Any]:
    """Of 2 processors, 512 MiB and 5 GiB; it is deleted afterwards."""
    image = admin.image.create_image(
        f"debian-{new_hex_id()[:6]}",
        data=tarball(),
        disk_format="root-tar",
        container_format="bare",
        visibility="public",
    )
    name = f"small-{new_hex_id()[:6]}"
    flavor = admin.compute.create_flavor(name=name, ram=512, vcpus=2, disk=5)
    made = demo.compute.create_server(
        name="web", image_id=image.id, flavor_id=flavor.id, networks="none"
    )
    cloud.host.settle()
    yield made
    demo.compute.delete_server(made)
    cloud.host.settle()


@pytest.fixture
def group_id(cloud: RunningCloud, admin: Connection) -> Iterator[str]:
    """Of an aggregate that the host is in."""
    group = admin.compute.create_aggregate(name=f"rack-{new_hex_id()[:6]}")
    admin.compute.add_host_to_aggregate(group, cloud.host.name)
    listed = admin.compute.get("/os-aggregates", microversion="2.41").json()["aggregates"]
    yield next(row["uuid"] for row in listed if row["id"] == group.id)
    admin.compute.remove_host_from_aggregate(group, cloud.host.name)
    admin.compute.delete_aggregate(group)
