"""Shelving: the server becomes an image, no host has it, and it comes back where there is room."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from openstack import exceptions
from openstack.connection import Connection
from tests.running_cloud import FakeHost
from tests.stories.compute.conftest import Workbench
from tests.tarball import tarball

from kumoi.cloud.reconcilers.server import ServerReconciler


def status(bench: Workbench, server: object) -> tuple[str, str | None]:
    shown = bench.show(server)
    return shown.status, shown.task_state


def shelved(bench: Workbench, name: str = "web", **values: Any) -> tuple[Any, str]:
    """A server that is offloaded, and the image that it became."""
    made = bench.active(name, **values)
    bench.connection.compute.shelve_server(made)
    bench.cloud.host.settle()
    (image_id,) = bench.spec(made).snapshots
    bench.host_says("PUT", f"images/{image_id}", tarball())
    bench.cloud.host.settle()
    return made, image_id


def memory_used(admin: Connection) -> int:
    answer = admin.compute.get("/os-hypervisors/statistics", microversion="2.87")
    return int(answer.json()["hypervisor_statistics"]["memory_mb_used"])


def test_a_server_is_shelved_step_by_step(
    bench: Workbench, demo: Connection, admin: Connection
) -> None:
    before = memory_used(admin)
    made = bench.active()
    (address,) = [entry["addr"] for entry in bench.show(made).addresses["private"]]
    demo.compute.shelve_server(made)
    assert status(bench, made) == ("ACTIVE", "shelving")
    assert bench.spec(made).snapshots == []  # Not before it has stopped.
    bench.cloud.host.settle()
    assert status(bench, made) == ("SHUTOFF", "shelving_image_uploading")
    (image_id,) = bench.spec(made).snapshots
    assert demo.image.get_image(image_id).name == "web-shelved"
    bench.host_says("PUT", f"images/{image_id}", tarball())
    assert status(bench, made) == ("SHELVED", "shelving_offloading")
    assert memory_used(admin) == before + 512  # Its host has it yet.
    with pytest.raises(exceptions.ConflictException):
        demo.compute.unshelve_server(made)
    bench.cloud.host.settle()
    assert status(bench, made) == ("SHELVED_OFFLOADED", None)
    assert memory_used(admin) == before
    assert admin.compute.get_server(made.id).compute_host is None
    (port,) = demo.network.ports(device_id=made.id)
    assert (port.status, port.fixed_ips[0]["ip_address"]) == ("DOWN", address)
    (action, _) = demo.compute.server_actions(made)
    assert (action.action, action.message) == ("shelve", None)


def test_a_shelved_server_comes_back_with_its_addresses(
    bench: Workbench, demo: Connection, admin: Connection
) -> None:
    made, image_id = shelved(bench)
    ports = [(port.id, port.fixed_ips) for port in demo.network.ports(device_id=made.id)]
    demo.compute.unshelve_server(made)
    assert status(bench, made) == ("SHELVED_OFFLOADED", "unshelving")
    spec = bench.spec(made)
    assert spec.image is not None
    assert (spec.image.id, spec.build) == (image_id, 1)
    bench.host_says("GET", f"images/{image_id}", b"")  # Private, and its host may fetch it.
    bench.cloud.host.settle()
    assert status(bench, made) == ("ACTIVE", None)
    assert ports == [(port.id, port.fixed_ips) for port in demo.network.ports(device_id=made.id)]
    assert bench.show(made).image.id == bench.image_id
    with pytest.raises(exceptions.NotFoundException):
        demo.image.get_image(image_id)
    assert admin.compute.get_server(made.id).compute_host == "host1"


def test_what_is_not_in_the_right_state_is_refused(
    bench: Workbench, demo: Connection, admin: Connection
) -> None:
    made = bench.active()
    with pytest.raises(exceptions.ConflictException):
        demo.compute.unshelve_server(made)
    with pytest.raises(exceptions.ConflictException):
        admin.compute.shelve_offload_server(made)
    made, image_id = shelved(bench, "other")
    for attempt in (demo.compute.shelve_server, demo.compute.start_server):
        with pytest.raises(exceptions.ConflictException):
            attempt(made)
    demo.image.delete_image(image_id)
    with pytest.raises(exceptions.ConflictException, match="image is gone"):
        demo.compute.unshelve_server(made)


def test_a_server_whose_image_its_host_cannot_make_is_as_it_was(
    bench: Workbench, demo: Connection
) -> None:
    made = bench.active()
    demo.compute.shelve_server(made)
    bench.cloud.host.settle()
    (image_id,) = bench.spec(made).snapshots
    bench.host_says("DELETE", f"images/{image_id}", b"")
    bench.cloud.host.settle()
    assert status(bench, made) == ("ACTIVE", None)
    with pytest.raises(exceptions.NotFoundException):
        demo.image.get_image(image_id)
    (action, _) = demo.compute.server_actions(made)
    assert (action.action, action.message) == ("shelve", "Error")


def test_a_server_that_cannot_be_made_again_is_offloaded_again(
    bench: Workbench, demo: Connection, admin: Connection
) -> None:
    made, image_id = shelved(bench)
    before = memory_used(admin)
    demo.compute.unshelve_server(made)
    bench.cloud.host.fail_with = "no room"
    bench.cloud.host.settle()
    bench.cloud.host.fail_with = ""
    bench.cloud.host.settle()  # Whatever it has of it, it removes.
    assert status(bench, made) == ("SHELVED_OFFLOADED", None)
    assert memory_used(admin) == before
    demo.compute.unshelve_server(made)
    bench.cloud.host.settle()
    assert status(bench, made) == ("ACTIVE", None)
    assert image_id not in [image.id for image in demo.image.images()]


@pytest.mark.parametrize("steps", [0, 1, 2, 3])
def test_a_server_may_be_deleted_at_every_step(
    bench: Workbench, demo: Connection, admin: Connection, steps: int
) -> None:
    before = memory_used(admin)
    made = bench.active()
    demo.compute.shelve_server(made)
    image_id = next(image.id for image in demo.image.images() if image.name == "web-shelved")
    if steps > 0:
        bench.cloud.host.settle()
    if steps > 1:
        bench.host_says("PUT", f"images/{image_id}", tarball())
    if steps > 2:
        bench.cloud.host.settle()
    demo.compute.delete_server(made)
    bench.cloud.host.settle()
    with pytest.raises(exceptions.NotFoundException):
        bench.show(made)
    with pytest.raises(exceptions.NotFoundException):
        demo.image.get_image(image_id)
    assert memory_used(admin) == before
    assert list(demo.network.ports(device_id=made.id)) == []


def test_the_worker_takes_the_steps_that_nobody_took(bench: Workbench, demo: Connection) -> None:
    """As where a role of an older release, or one that was killed, had the report."""
    made = bench.active()
    demo.compute.shelve_server(made)
    bench.cloud.host.settle()
    (image_id,) = bench.spec(made).snapshots
    bench.host_says("PUT", f"images/{image_id}", tarball())
    database = bench.cloud.database
    with database.write() as connection:
        connection.exec_driver_sql("UPDATE server SET shelf = 'imaging', host_id = 'host1'")
    ServerReconciler(database).round()
    assert status(bench, made) == ("SHELVED", "shelving_offloading")
    ServerReconciler(database).round()  # Its host has it, so nothing is due.
    assert status(bench, made) == ("SHELVED", "shelving_offloading")
    bench.cloud.host.settle()
    with database.write() as connection:
        connection.exec_driver_sql("UPDATE server SET shelf = 'offloading'")
    ServerReconciler(database).round()
    assert status(bench, made) == ("SHELVED_OFFLOADED", None)


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
    admin.compute.disable_service(service)


def test_an_administrator_chooses_the_host_and_an_owner_the_zone(
    bench: Workbench, second: FakeHost, demo: Connection, admin: Connection
) -> None:
    made, _ = shelved(bench, availability_zone="nova")
    attempts: list[tuple[int, dict[str, Any], Connection]] = [
        (400, {"availability_zone": "nowhere"}, demo),
        (403, {"host": "second"}, demo),
        (400, {"host": "nobody"}, admin),
    ]
    for refused, body, who in attempts:
        answer = who.compute.post(f"/servers/{made.id}/action", json={"unshelve": body})
        assert answer.status_code == refused, answer.text
    there = {"unshelve": {"availability_zone": None, "host": "second"}}
    older = admin.compute.post(f"/servers/{made.id}/action", json=there, microversion="2.77")
    assert older.status_code == 400
    assert admin.compute.post(f"/servers/{made.id}/action", json=there).status_code == 202
    second.settle()
    assert admin.compute.get_server(made.id).compute_host == "second"
    assert bench.show(made).pinned_availability_zone is None
