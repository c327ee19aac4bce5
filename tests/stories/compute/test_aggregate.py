"""Host aggregates and the availability zones that they make."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from openstack import exceptions
from openstack.connection import Connection
from tests.running_cloud import FakeHost
from tests.stories.compute.conftest import Workbench

from kumoi.base.ids import new_hex_id


@pytest.fixture
def second(bench: Workbench, admin: Connection) -> Iterator[FakeHost]:
    """A second host beside the first, disabled afterwards."""
    host = FakeHost(bench.cloud.host.url, name="second")
    host.register()
    service = next(item for item in admin.compute.services() if item.host == "second")
    admin.compute.enable_service(service)
    yield host
    for server in bench.connection.compute.servers():
        bench.connection.compute.delete_server(server)
    host.settle()
    bench.cloud.host.settle()
    admin.compute.disable_service(service)


@pytest.fixture
def aggregate(bench: Workbench, admin: Connection) -> Iterator[Callable[..., Any]]:
    """Makes aggregates, which are empty and gone afterwards."""
    made: list[Any] = []

    def make(*hosts: str, zone: str | None = None) -> Any:
        found = admin.compute.create_aggregate(
            name=f"rack-{new_hex_id()[:6]}", availability_zone=zone
        )
        made.append(found)
        for host in hosts:
            admin.compute.add_host_to_aggregate(found, host)
        return found

    yield make
    for server in bench.connection.compute.servers():
        bench.connection.compute.delete_server(server)
    for host in (bench.cloud.host, FakeHost(bench.cloud.host.url, name="second")):
        host.settle()
    for found in made:
        for host in admin.compute.get_aggregate(found).hosts or []:
            admin.compute.remove_host_from_aggregate(found, host)
        admin.compute.delete_aggregate(found)


def zones(connection: Connection) -> dict[str, bool]:
    listed = connection.compute.availability_zones()
    return {zone.name: zone.state["available"] for zone in listed}


def test_an_aggregate_is_made_changed_and_deleted(admin: Connection, bench: Workbench) -> None:
    made = admin.compute.create_aggregate(name="rack-1")
    assert (made.name, made.availability_zone) == ("rack-1", None)
    changed = admin.compute.update_aggregate(made, name="rack-2", availability_zone="cellar")
    assert changed.metadata == {"availability_zone": "cellar"}
    changed = admin.compute.set_aggregate_metadata(made, {"ssd": "true", "old": "1"})
    changed = admin.compute.set_aggregate_metadata(made, {"old": None})
    assert changed.metadata == {"availability_zone": "cellar", "ssd": "true"}
    assert [row.name for row in admin.compute.aggregates()] == ["rack-2"]
    admin.compute.add_host_to_aggregate(made, "host1")
    with pytest.raises(exceptions.BadRequestException, match="still hosts"):
        admin.compute.delete_aggregate(made)
    admin.compute.remove_host_from_aggregate(made, "host1")
    admin.compute.delete_aggregate(made)
    with pytest.raises(exceptions.NotFoundException):
        admin.compute.get_aggregate(made)


def test_what_an_aggregate_cannot_be_is_refused(
    admin: Connection, demo: Connection, aggregate: Callable[..., Any]
) -> None:
    made = aggregate("host1", zone="cellar")
    other = aggregate(zone="attic")
    attempts: list[tuple[int, Callable[[], Any]]] = [
        (409, lambda: admin.compute.create_aggregate(name=made.name)),
        (409, lambda: admin.compute.update_aggregate(other, name=made.name)),
        (409, lambda: admin.compute.add_host_to_aggregate(made, "host1")),
        (409, lambda: admin.compute.add_host_to_aggregate(other, "host1")),
        (404, lambda: admin.compute.add_host_to_aggregate(made, "nobody")),
        (404, lambda: admin.compute.remove_host_from_aggregate(other, "host1")),
        (404, lambda: admin.compute.get_aggregate(999_999)),
        (404, lambda: admin.compute.get_aggregate(-1)),
        (404, lambda: admin.compute.delete_aggregate(-1, ignore_missing=False)),
        (400, lambda: admin.compute.create_aggregate(name="")),
        (400, lambda: admin.compute.create_aggregate(name="x", availability_zone="a:b")),
        (400, lambda: admin.compute.set_aggregate_metadata(made, {"availability_zone": None})),
        (403, lambda: demo.compute.create_aggregate(name="mine")),
        (403, lambda: demo.compute.add_host_to_aggregate(made, "host1")),
    ]
    for refused, call in attempts:
        with pytest.raises(exceptions.HttpException) as caught:
            call()
        assert caught.value.status_code == refused, caught.value
    answers = [
        admin.compute.put(f"/os-aggregates/{made.id}", json={"aggregate": {}}),
        admin.compute.post(f"/os-aggregates/{made.id}/action", json={"no_such": {}}),
        admin.compute.post(
            f"/os-aggregates/{made.id}/images", json={"cache": []}, microversion="2.81"
        ),
    ]
    assert [answer.status_code for answer in answers] == [400, 400, 501]


def test_a_server_gets_a_host_of_the_zone_asked_for(
    bench: Workbench, second: FakeHost, admin: Connection, aggregate: Callable[..., Any]
) -> None:
    assert zones(bench.connection) == {"nova": True}
    made = aggregate("second", zone="cellar")
    assert zones(bench.connection) == {"nova": True, "cellar": True}
    detailed = {zone.name: zone.hosts for zone in admin.compute.availability_zones(details=True)}
    assert [*detailed["cellar"]] == ["second"]
    hosts = {}
    for zone in ("cellar", "nova"):
        server = bench.server(availability_zone=zone)
        seen = admin.compute.get_server(server.id)
        assert seen.availability_zone == zone
        hosts[zone] = seen.compute_host
    assert hosts["cellar"] == "second"
    assert hosts["nova"] == "host1"
    listed = bench.connection.compute.servers(availability_zone="cellar")
    assert [server.availability_zone for server in listed] == ["cellar"]
    services = {item.host: item.availability_zone for item in admin.compute.services()}
    assert (services["second"], services["host1"]) == ("cellar", "nova")
    with pytest.raises(exceptions.BadRequestException, match="zone is not available"):
        bench.server(availability_zone="nowhere")
    with pytest.raises(exceptions.ConflictException, match="another availability zone"):
        admin.compute.remove_host_from_aggregate(made, "second")
    with pytest.raises(exceptions.BadRequestException, match="contain instances"):
        admin.compute.update_aggregate(made, availability_zone="attic")


def test_a_zone_with_a_host_is_where_that_host_is(
    bench: Workbench, second: FakeHost, admin: Connection, aggregate: Callable[..., Any]
) -> None:
    aggregate("second", zone="cellar")
    common = {"image_id": bench.image_id, "flavor_id": bench.flavor_id, "networks": "none"}
    made = admin.compute.create_server(name="there", availability_zone="cellar:second", **common)
    assert admin.compute.get_server(made.id).compute_host == "second"
    wrong = admin.compute.create_server(name="wrong", availability_zone="nova:second", **common)
    assert "zone or aggregate" in admin.compute.get_server(wrong.id).fault["message"]
    for server in (made, wrong):
        admin.compute.delete_server(server)


def test_a_flavor_asks_for_what_an_aggregate_has(
    bench: Workbench, second: FakeHost, admin: Connection, aggregate: Callable[..., Any]
) -> None:
    made = aggregate("second")
    flavor = admin.compute.create_flavor(name=f"fast-{new_hex_id()[:6]}", ram=512, vcpus=1, disk=5)
    spec = {"aggregate_instance_extra_specs:disk": "ssd"}
    admin.compute.create_flavor_extra_specs(flavor, spec)
    failed = bench.show(bench.server(flavor_id=flavor.id))
    assert "zone or aggregate" in failed.fault["message"]
    admin.compute.set_aggregate_metadata(made, {"disk": "nvme, ssd"})
    placed = bench.server(flavor_id=flavor.id)
    assert admin.compute.get_server(placed.id).compute_host == "second"
