"""Lists of servers: filters, order, pages."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from openstack import exceptions
from openstack.connection import Connection
from tests.stories.compute.conftest import Workbench


def test_filters_choose_by_name_status_image_flavor_address_and_tag(
    bench: Workbench, demo: Connection
) -> None:
    web = bench.active("web-1", tags=["front"])
    bench.active("db-1")
    found = demo.compute.servers
    assert [server.name for server in found(name="^web")] == ["web-1"]
    assert [server.name for server in found(name="b-1")] == ["db-1", "web-1"]
    assert [server.name for server in found(status="ACTIVE", sort_key="name", sort_dir="asc")] == [
        "db-1",
        "web-1",
    ]
    assert list(found(status="ERROR")) == []
    assert len(list(found(image=bench.image_id))) == 2
    assert len(list(found(flavor=bench.flavor_id))) == 2
    assert list(found(flavor="no-such-flavor")) == []
    address = web.addresses["private"][0]["addr"]
    assert [server.name for server in found(ip=f"^{address}$")] == ["web-1"]
    assert [server.name for server in found(tags="front")] == ["web-1"]
    assert [server.name for server in found(not_tags="front")] == ["db-1"]


def test_pages_follow_their_markers_without_repeating(bench: Workbench, demo: Connection) -> None:
    bench.server("page", min_count=5, max_count=5)
    names = [
        server.name for server in demo.compute.servers(limit=2, sort_key="name", sort_dir="asc")
    ]
    assert names == [f"page-{number}" for number in range(1, 6)]
    newest_first = [server.name for server in demo.compute.servers(limit=2)]
    assert newest_first == names[::-1]


def test_changes_since_shows_what_was_deleted(bench: Workbench, demo: Connection) -> None:
    made = bench.active()
    since = made.created_at
    demo.compute.delete_server(made)
    bench.cloud.host.settle()
    shown = list(demo.compute.servers(changes_since=since))
    assert [(server.id, server.status) for server in shown] == [(made.id, "DELETED")]
    assert list(demo.compute.servers(changes_since="2090-01-01T00:00:00Z")) == []


def test_only_an_administrator_sees_all_projects(
    bench: Workbench, demo: Connection, admin: Connection
) -> None:
    made = bench.active()
    assert made.id in [server.id for server in admin.compute.servers(all_projects=True)]
    assert made.id not in [server.id for server in admin.compute.servers()]
    for query, sees_all in (("", True), ("=1", True), ("=no", False)):
        answer = admin.compute.get(f"/servers?all_tenants{query}").json()["servers"]
        assert (made.id in [server["id"] for server in answer]) is sees_all
    with pytest.raises(exceptions.ForbiddenException):
        list(demo.compute.servers(all_projects=True))


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("limit=-1", "limit"),
        ("limit=many", "limit"),
        ("marker=11111111-2222-4333-8444-555555555555", "marker"),
        ("changes-since=yesterday", "changes-since"),
        ("sort_key=colour", "colour"),
        ("name=(a", "name"),
        ("name=*", "name"),
        ("status=HAPPY", "HAPPY"),
        ("colour=red", "colour"),
    ],
)
def test_a_query_that_makes_no_sense_is_refused_by_name(
    bench: Workbench, http: httpx.Client, query: str, names: str
) -> None:
    answer = http.get(
        f"/compute/v2.1/servers?{query}",
        headers={
            "X-Auth-Token": bench.connection.auth_token,
            "OpenStack-API-Version": "compute 2.96",
        },
    )
    assert answer.status_code == 400, answer.text
    assert names in answer.json()["badRequest"]["message"]


def test_a_list_shows_each_change_at_once(
    bench: Workbench, demo: Connection, admin: Connection
) -> None:
    """Also what is not in a server's row: addresses, names of groups, states of hosts."""
    made = bench.active("before")

    def shown(whose: Connection = demo) -> Any:
        found = list(whose.compute.servers(details=True, all_projects=whose is admin))
        return next(server for server in found if server.id == made.id)

    def addresses() -> list[str]:
        return [address["addr"] for address in shown().addresses["private"]]

    assert (shown().name, shown(admin).host_status) == ("before", "UP")
    assert shown().compute_host is None  # What administrators see is kept apart.
    demo.compute.update_server(made, name="after")
    demo.compute.set_server_metadata(made, role="web")
    assert (shown().name, shown().metadata) == ("after", {"role": "web"})
    (fixed,) = addresses()
    extra = demo.network.create_network(name="second")
    demo.network.create_subnet(network_id=extra.id, ip_version=4, cidr="10.207.0.0/24")
    demo.compute.create_server_interface(made, net_id=extra.id)
    assert set(shown().addresses) == {"private", "second"}
    demo.network.update_network(extra, name="renamed")
    assert set(shown().addresses) == {"private", "renamed"}
    assert addresses() == [fixed]
    group = demo.network.create_security_group(name="plain")
    demo.compute.add_security_group_to_server(made, group)
    demo.network.update_security_group(group, name="fancy")
    assert {one["name"] for one in shown().security_groups} == {"default", "fancy"}
    host = bench.cloud.host.name
    service = next(iter(admin.compute.services(host=host)))
    admin.compute.disable_service(service)
    assert shown(admin).host_status == "MAINTENANCE"
    admin.compute.enable_service(service)
    assert shown(admin).host_status == "UP"
