"""A server goes where a driver takes its image and can do what its flavor asks."""

from __future__ import annotations

import struct
from collections.abc import Iterator

import pytest
from openstack import exceptions
from openstack.connection import Connection
from tests.stories.compute.conftest import Workbench

from kumoi.base.ids import new_hex_id
from kumoi.cloud.hostapi.offer import Capability, Offer

CONTAINERS = Offer(formats=["root-tar", "squashfs"], capabilities=[Capability.LIVE_ADDRESSES])
MACHINES = Offer(formats=["qcow2"], capabilities=[])


@pytest.fixture
def disk_id(demo: Connection) -> str:
    head = struct.pack(">4sIQIIQ", b"QFI\xfb", 3, 0, 0, 16, 1 << 30)
    made = demo.image.create_image(
        "disk", data=head.ljust(1_024, b"\0"), disk_format="qcow2", container_format="bare"
    )
    return str(made.id)


@pytest.fixture
def offering(bench: Workbench) -> Iterator[Workbench]:
    """A host that says what its one driver takes."""
    host = bench.cloud.host
    host.offers = {"lxc": CONTAINERS}
    host.register()
    yield bench
    host.offers = {}
    host.register()


def test_an_image_that_no_hosts_driver_takes_is_placed_nowhere_and_says_why(
    offering: Workbench, disk_id: str
) -> None:
    failed = offering.active(image_id=disk_id)
    assert failed.status == "ERROR"
    assert "1 host is without a driver for qcow2 images" in failed.fault["message"]
    assert offering.active().status == "ACTIVE"


def test_a_host_is_given_no_more_servers_than_its_driver_can_have(offering: Workbench) -> None:
    few = Offer(formats=CONTAINERS.formats, capabilities=[], servers_max=1)
    offering.cloud.host.offers = {"lxc": few}
    offering.cloud.host.register()
    first = offering.active()
    assert first.status == "ACTIVE"
    failed = offering.active()
    assert "1 host is at the number of servers that it can have" in failed.fault["message"]
    offering.connection.compute.delete_server(first)
    offering.cloud.host.settle()
    assert offering.active().status == "ACTIVE"


def test_each_server_is_run_by_the_driver_that_takes_its_image(
    offering: Workbench, disk_id: str
) -> None:
    offering.cloud.host.offers = {"lxc": CONTAINERS, "machine": MACHINES}
    offering.cloud.host.register()
    assert offering.spec(offering.server()).driver == "lxc"
    assert offering.spec(offering.server(image_id=disk_id)).driver == "machine"


def test_a_rebuild_stays_with_the_servers_driver(
    offering: Workbench, demo: Connection, disk_id: str
) -> None:
    offering.cloud.host.offers = {"lxc": CONTAINERS, "machine": MACHINES}
    offering.cloud.host.register()
    made = offering.active()
    with pytest.raises(exceptions.BadRequestException, match="lxc, which takes no qcow2 images"):
        demo.compute.rebuild_server(made, disk_id)


def test_what_a_flavor_asks_of_a_driver_is_matched(offering: Workbench, admin: Connection) -> None:
    for asked, status in ((Capability.LIVE_ADDRESSES, "ACTIVE"), (Capability.PAUSE, "ERROR")):
        flavor = admin.compute.create_flavor(name=new_hex_id()[:8], ram=512, vcpus=1, disk=5)
        admin.compute.create_flavor_extra_specs(flavor, {f"capabilities:{asked}": "true"})
        made = offering.active(flavor_id=flavor.id)
        assert made.status == status
    assert "1 host is without pause for such images" in made.fault["message"]


def test_a_host_that_does_not_say_what_its_drivers_take_is_tried(bench: Workbench) -> None:
    """One of an older release."""
    assert bench.spec(bench.server()).driver == "lxc"
