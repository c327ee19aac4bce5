"""Server groups: who shares a host and who does not."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from openstack import exceptions
from openstack.connection import Connection
from tests.running_cloud import FakeHost
from tests.stories.compute.conftest import Workbench


@pytest.fixture
def two_hosts(bench: Workbench, admin: Connection) -> Iterator[FakeHost]:
    """A second host beside the first, disabled afterwards."""
    second = FakeHost(bench.cloud.host.url, name="second")
    second.register()
    service = next(item for item in admin.compute.services() if item.host == "second")
    admin.compute.enable_service(service)
    yield second
    for server in bench.connection.compute.servers():
        bench.connection.compute.delete_server(server)
    second.settle()
    admin.compute.disable_service(service)


def hosts_of(admin: Connection, name: str) -> list[str]:
    return sorted(
        server.compute_host or "none"
        for server in admin.compute.servers(all_projects=True, name=f"^{name}")
    )


def test_anti_affinity_keeps_members_apart_or_fails(
    bench: Workbench, two_hosts: FakeHost, admin: Connection, demo: Connection
) -> None:
    group = demo.compute.create_server_group(name="apart", policy="anti-affinity")
    for number in range(3):
        bench.server(f"apart-{number}", scheduler_hints={"group": group.id})
    assert hosts_of(admin, "apart") == ["host1", "none", "second"]
    failed = next(iter(demo.compute.servers(status="ERROR")))
    assert "2 hosts are ruled out by anti-affinity" in failed.fault["message"]
    assert len(demo.compute.get_server_group(group.id).member_ids) == 3


def test_affinity_keeps_members_together(
    bench: Workbench, two_hosts: FakeHost, admin: Connection, demo: Connection
) -> None:
    group = demo.compute.create_server_group(name="together", policy="affinity")
    bench.server("together", min_count=3, scheduler_hints={"group": group.id})
    assert len(set(hosts_of(admin, "together"))) == 1


def test_soft_anti_affinity_spreads_as_far_as_it_goes(
    bench: Workbench, two_hosts: FakeHost, admin: Connection, demo: Connection
) -> None:
    group = demo.compute.create_server_group(name="spread", policy="soft-anti-affinity")
    bench.server("spread", min_count=4, scheduler_hints={"group": group.id})
    assert hosts_of(admin, "spread") == ["host1", "host1", "second", "second"]


def test_groups_are_a_tenants_own(demo: Connection, other: Connection) -> None:
    group = demo.compute.create_server_group(
        name="mine", policy="anti-affinity", rules={"max_server_per_host": 2}
    )
    assert [item.id for item in demo.compute.server_groups()] == [group.id]
    assert list(other.compute.server_groups()) == []
    with pytest.raises(exceptions.NotFoundException):
        other.compute.get_server_group(group.id)
    with pytest.raises(exceptions.BadRequestException, match="nonsense"):
        demo.compute.create_server_group(name="bad", policy="nonsense")
    demo.compute.delete_server_group(group)
    assert list(demo.compute.server_groups()) == []
