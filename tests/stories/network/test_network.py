"""Networks, as openstacksdk sees them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
import pytest
from openstack import exceptions
from openstack.connection import Connection


def test_a_network_is_made_shown_changed_and_deleted(demo: Connection) -> None:
    made = demo.network.create_network(name="private", description="for servers")
    assert (made.status, made.is_admin_state_up, made.mtu) == ("ACTIVE", True, 1442)
    assert demo.network.get_network(made.id).description == "for servers"
    revision = made.revision_number
    changed = demo.network.update_network(made.id, name="inner", is_admin_state_up=False)
    assert (changed.name, changed.is_admin_state_up) == ("inner", False)
    assert changed.revision_number > revision
    demo.network.delete_network(made)
    assert demo.network.find_network("inner") is None


def test_another_tenants_network_does_not_exist_for_others(
    demo: Connection, other: Connection
) -> None:
    made = demo.network.create_network(name="secret")
    assert made.id not in [network.id for network in other.network.networks()]
    attempts: tuple[Callable[[], Any], ...] = (
        lambda: other.network.get_network(made.id),
        lambda: other.network.update_network(made.id, name="mine"),
        lambda: other.network.delete_network(made.id, ignore_missing=False),
        lambda: other.network.create_port(network_id=made.id),
        lambda: other.network.create_subnet(network_id=made.id, ip_version=4, cidr="10.9.0.0/24"),
    )
    for attempt in attempts:
        with pytest.raises(exceptions.NotFoundException):
            attempt()


def test_only_an_administrator_shares_a_network_or_leads_it_outside(demo: Connection) -> None:
    for wish in (
        {"is_shared": True},
        {"is_router_external": True},
        {"is_default": True},
        {"provider_network_type": "flat"},
    ):
        with pytest.raises(exceptions.ForbiddenException) as refused:
            demo.network.create_network(name="wish", **wish)
        (asked,) = wish
        assert asked.removeprefix("is_").partition("_")[2] in refused.value.details
        assert "and" not in refused.value.details.split()


@pytest.mark.parametrize(
    ("wish", "field"),
    [
        ({"type": "vlan", "physical_network": "physnet1"}, "network_type"),
        ({"type": "flat", "physical_network": "nowhere"}, "physical_network"),
        ({"type": "flat"}, "physical_network"),
        ({"type": "geneve", "physical_network": "physnet1"}, "physical_network"),
        ({"type": "geneve", "segmentation_id": 7}, "segmentation_id"),
        ({"segmentation_id": 2**70}, "segmentation_id"),
    ],
)
def test_a_network_that_no_host_could_carry_is_refused(
    admin: Connection, wish: dict[str, Any], field: str
) -> None:
    attributes: dict[str, Any] = {}
    for name, value in wish.items():
        key = "provider_network_type" if name == "type" else f"provider_{name}"
        attributes[key] = value
    with pytest.raises(exceptions.BadRequestException) as refused:
        admin.network.create_network(name="carried", **attributes)
    assert f"provider:{field}" in refused.value.details
    assert list(admin.network.networks(name="carried")) == []


def test_a_shared_network_is_used_but_not_changed_by_others(
    admin: Connection, demo: Connection
) -> None:
    shared = admin.network.create_network(name="shared", is_shared=True)
    admin.network.create_subnet(network_id=shared.id, ip_version=4, cidr="10.8.0.0/24")
    port = demo.network.create_port(network_id=shared.id)
    assert port.fixed_ips[0]["ip_address"].startswith("10.8.0.")
    with pytest.raises(exceptions.ForbiddenException):
        demo.network.update_network(shared, name="mine")
    with pytest.raises(exceptions.ForbiddenException):
        demo.network.create_port(network_id=shared.id, fixed_ips=[{"ip_address": "10.8.0.99"}])
    demo.network.delete_port(port)
    admin.network.delete_network(shared)


def test_a_network_with_a_port_stays(demo: Connection) -> None:
    network = demo.network.create_network(name="busy")
    port = demo.network.create_port(network_id=network.id)
    with pytest.raises(exceptions.ConflictException) as caught:
        demo.network.delete_network(network, ignore_missing=False)
    assert port.id in str(caught.value)
    demo.network.delete_port(port)
    demo.network.delete_network(network, ignore_missing=False)


def test_a_network_takes_its_subnets_with_it(demo: Connection) -> None:
    network = demo.network.create_network(name="with-subnet")
    subnet = demo.network.create_subnet(network_id=network.id, ip_version=4, cidr="10.7.0.0/24")
    assert demo.network.get_network(network.id).subnet_ids == [subnet.id]
    demo.network.delete_network(network)
    with pytest.raises(exceptions.NotFoundException):
        demo.network.get_subnet(subnet.id)


def test_several_networks_are_made_together_or_not_at_all(
    demo: Connection, http: httpx.Client
) -> None:
    headers = {"X-Auth-Token": demo.auth_token}
    good = {"networks": [{"name": "first"}, {"name": "second"}]}
    answer = http.post("/network/v2.0/networks", json=good, headers=headers)
    assert answer.status_code == 201
    assert [network["name"] for network in answer.json()["networks"]] == ["first", "second"]
    bad = {"networks": [{"name": "third"}, {"name": "fourth", "shared": True}]}
    answer = http.post("/network/v2.0/networks", json=bad, headers=headers)
    assert answer.status_code == 403
    assert demo.network.find_network("third") is None


def test_lists_are_filtered_sorted_cut_and_paged(demo: Connection, http: httpx.Client) -> None:
    for name in ("c", "a", "d", "b", "e"):
        demo.network.create_network(name=name)
    assert [network.name for network in demo.network.networks(name="a")] == ["a"]
    headers = {"X-Auth-Token": demo.auth_token}
    mine = f"project_id={demo.current_project_id}"
    names: list[str] = []
    url = f"/network/v2.0/networks?{mine}&limit=2&sort_key=name&sort_dir=desc&fields=name&fields=id"
    for _ in range(4):
        page = http.get(url, headers=headers).json()
        names += [network["name"] for network in page["networks"]]
        assert all(set(network) == {"id", "name"} for network in page["networks"])
        following = [item for item in page.get("networks_links", []) if item["rel"] == "next"]
        if not following:
            break
        url = following[0]["href"]
    assert names == ["e", "d", "c", "b", "a"]
    assert [network.name for network in demo.network.networks(limit=2) if network.name in "abcde"]


def test_a_filter_that_does_not_exist_is_refused(demo: Connection, http: httpx.Client) -> None:
    answer = http.get("/network/v2.0/networks?nmae=x", headers={"X-Auth-Token": demo.auth_token})
    assert answer.status_code == 400
    assert "'nmae'" in answer.json()["NeutronError"]["message"]


def test_a_change_can_be_bound_to_one_revision(demo: Connection, http: httpx.Client) -> None:
    network = demo.network.create_network(name="revised")
    url, body = f"/network/v2.0/networks/{network.id}", {"network": {"name": "changed"}}
    headers = {"X-Auth-Token": demo.auth_token}
    for condition, status in ((99, 412), (network.revision_number, 200)):
        headers["If-Match"] = f"revision_number={condition}"
        assert http.put(url, json=body, headers=headers).status_code == status


def test_an_mtu_is_one_that_the_networks_subnets_can_use(
    demo: Connection, http: httpx.Client
) -> None:
    answer = demo.network.post("/networks", json={"network": {"mtu": 1443}})
    assert answer.status_code == 400
    low = demo.network.create_network(mtu=1_279)
    refused = {"network_id": low.id, "ip_version": 6, "cidr": "fd00::/64"}
    assert demo.network.post("/subnets", json={"subnet": refused}).status_code == 409
    demo.network.create_subnet(network_id=low.id, ip_version=4, cidr="10.0.0.0/24")
    answer = demo.network.put(f"/networks/{low.id}", json={"network": {"mtu": 67}})
    assert answer.status_code == 409
    assert demo.network.get_network(low.id).mtu == 1_279


def test_a_networks_revision_grows_with_its_subnets(demo: Connection) -> None:
    network = demo.network.create_network(name="counted")
    subnet = demo.network.create_subnet(network_id=network.id, ip_version=4, cidr="10.0.0.0/24")
    second = demo.network.get_network(network.id).revision_number
    demo.network.delete_subnet(subnet)
    third = demo.network.get_network(network.id).revision_number
    assert network.revision_number < second < third


def test_pages_say_where_the_next_and_the_previous_are(demo: Connection) -> None:
    names = ("a", "b", "c")
    for name in names:
        demo.network.create_network(name=name)
    path = f"/networks?project_id={demo.current_project_id}&sort_key=name&limit=2"
    seen: dict[str, list[str]] = {"next": [], "previous": []}
    for rel, found in seen.items():
        url = path if rel == "next" else f"{path}&page_reverse=True"
        for _ in range(3):
            page = demo.network.get(url).json()
            found += [network["name"] for network in page["networks"]]
            links = {link["rel"]: link["href"] for link in page["networks_links"]}
            if rel not in links:
                break
            url = links[rel]
    assert seen["next"] == ["a", "b", "c"]
    assert sorted(seen["previous"]) == ["a", "b", "c"]
    assert "networks_links" not in demo.network.get("/networks").json()
