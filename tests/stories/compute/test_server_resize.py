"""Another flavor: tried, then kept or taken back; and what is claimed meanwhile."""

from __future__ import annotations

from typing import Any

import pytest
from openstack import exceptions
from openstack.connection import Connection
from tests.stories.compute.conftest import Workbench

from kumoi.base.ids import new_hex_id


@pytest.fixture
def larger(admin: Connection) -> Any:
    return admin.compute.create_flavor(name=f"large-{new_hex_id()[:6]}", ram=1024, vcpus=2, disk=8)


def shape(server: Any) -> tuple[str, int, int, int]:
    return server.status, server.flavor.vcpus, server.flavor.ram, server.flavor.disk


def claimed(bench: Workbench, admin: Connection) -> tuple[int, int, int]:
    """Of all hosts, in vcpus, MiB and GiB."""
    rows = list(admin.compute.hypervisors(details=True, microversion="2.87"))
    return (
        sum(row.vcpus_used for row in rows),
        sum(row.memory_used for row in rows),
        sum(row.local_disk_used for row in rows),
    )


def test_a_resize_waits_to_be_confirmed(bench: Workbench, demo: Connection, larger: Any) -> None:
    made = bench.active()
    boot = bench.spec(made).boot
    wanted = {"flavorRef": larger.id, "OS-DCF:diskConfig": "AUTO"}
    demo.compute.post(f"/servers/{made.id}/action", json={"resize": wanted})
    shown = bench.show(made)
    assert (shown.status, shown.task_state) == ("RESIZE", "resize_migrating")
    assert (made.disk_config, shown.disk_config) == ("MANUAL", "AUTO")
    spec = bench.spec(made)
    assert (spec.vcpus, spec.ram_mib, spec.disk_gib, spec.boot) == (2, 1024, 5, boot + 1)
    bench.cloud.host.settle()
    shown = bench.show(made)
    assert (shown.vm_state, shown.task_state) == ("resized", None)
    assert shape(shown) == ("VERIFY_RESIZE", 2, 1024, 8)
    with pytest.raises(exceptions.ConflictException):
        demo.compute.reboot_server(made, "SOFT")
    demo.compute.confirm_server_resize(made)
    assert shape(bench.show(made)) == ("ACTIVE", 2, 1024, 8)
    assert bench.spec(made).disk_gib == 8
    with pytest.raises(exceptions.ConflictException):
        demo.compute.confirm_server_resize(made)


def test_a_resize_is_taken_back(
    bench: Workbench, demo: Connection, admin: Connection, larger: Any
) -> None:
    made = bench.active()
    before = claimed(bench, admin)
    demo.compute.resize_server(made, larger.id)
    bench.cloud.host.settle()
    vcpus, ram_mib, disk_gib = claimed(bench, admin)
    assert (vcpus, ram_mib, disk_gib) == (before[0] + 1, before[1] + 512, before[2] + 3)
    demo.compute.revert_server_resize(made)
    shown = bench.show(made)
    assert (shown.status, shown.vm_state, shown.task_state) == (
        "REVERT_RESIZE",
        "resized",
        "resize_reverting",
    )
    bench.cloud.host.settle()
    assert shape(bench.show(made)) == ("ACTIVE", 1, 512, 5)
    assert claimed(bench, admin) == before


def test_a_resized_server_stays_on_its_host(
    bench: Workbench, demo: Connection, admin: Connection, larger: Any
) -> None:
    made = bench.active()
    before = admin.compute.get_server(made.id).compute_host
    demo.compute.resize_server(made, larger.id)
    bench.cloud.host.settle()
    assert admin.compute.get_server(made.id).compute_host == before


def test_of_two_flavors_the_larger_is_held_until_the_smaller_is_confirmed(
    bench: Workbench, demo: Connection, admin: Connection
) -> None:
    smaller = admin.compute.create_flavor(name=f"tiny-{new_hex_id()[:6]}", ram=256, vcpus=1, disk=5)
    made = bench.active()
    before = claimed(bench, admin)
    demo.compute.resize_server(made, smaller.id)
    bench.cloud.host.settle()
    assert claimed(bench, admin) == before
    demo.compute.confirm_server_resize(made)
    assert claimed(bench, admin) == (before[0], before[1] - 256, before[2])


def test_a_server_deleted_before_it_is_confirmed_gives_back_what_it_held(
    bench: Workbench, demo: Connection, admin: Connection, larger: Any
) -> None:
    before = claimed(bench, admin)
    made = bench.active()
    demo.compute.resize_server(made, larger.id)
    bench.cloud.host.settle()
    demo.compute.delete_server(made)
    bench.cloud.host.settle()
    assert claimed(bench, admin) == before


def test_a_stopped_server_stays_stopped(bench: Workbench, demo: Connection, larger: Any) -> None:
    made = bench.active()
    demo.compute.stop_server(made)
    bench.cloud.host.settle()
    demo.compute.resize_server(made, larger.id)
    bench.cloud.host.settle()
    assert bench.show(made).status == "VERIFY_RESIZE"
    demo.compute.confirm_server_resize(made)
    assert bench.show(made).status == "SHUTOFF"


def test_a_flavor_that_will_not_do_is_refused(
    bench: Workbench, demo: Connection, admin: Connection
) -> None:
    flat = admin.compute.create_flavor(name=f"flat-{new_hex_id()[:6]}", ram=1024, vcpus=2, disk=1)
    vast = admin.compute.create_flavor(
        name=f"vast-{new_hex_id()[:6]}", ram=512, vcpus=1, disk=9_000_000
    )
    made = bench.active()
    for flavor_id in (bench.flavor_id, flat.id, vast.id, "nowhere"):
        with pytest.raises(exceptions.BadRequestException):
            demo.compute.resize_server(made, flavor_id)
    assert shape(bench.show(made)) == ("ACTIVE", 1, 512, 5)


def test_a_resize_holds_the_quota(
    bench: Workbench, demo: Connection, admin: Connection, larger: Any
) -> None:
    made = bench.active()
    project_id = demo.current_project_id
    admin.compute.update_quota_set(project_id, cores=1)
    try:
        with pytest.raises(exceptions.ForbiddenException):
            demo.compute.resize_server(made, larger.id)
    finally:
        admin.compute.revert_quota_set(project_id)
    assert bench.show(made).status == "ACTIVE"
