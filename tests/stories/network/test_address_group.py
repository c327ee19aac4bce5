"""Address groups."""

from __future__ import annotations

from typing import Any

import pytest
from openstack.connection import Connection

from tests.stories.network.conftest import Raw


@pytest.fixture
def group(demo: Connection) -> Any:
    return demo.network.create_address_group(
        name="offices", addresses=["10.1.0.7/24", "fd00::1/64", "10.1.0.0/24"]
    )


def test_addresses_are_networks_and_each_is_there_once(demo: Connection, group: Any) -> None:
    assert group.addresses == ["10.1.0.0/24", "fd00::/64"]
    changed = demo.network.update_address_group(group, description="all of them")
    assert (changed.name, changed.addresses) == ("offices", ["10.1.0.0/24", "fd00::/64"])
    assert [each.id for each in demo.network.address_groups(name="offices")] == [group.id]


def test_addresses_are_added_and_removed_alone(demo: Connection, group: Any, raw: Raw) -> None:
    path = f"address-groups/{group.id}"
    demo.network.add_addresses_to_address_group(group, ["10.2.0.9"])
    demo.network.remove_addresses_from_address_group(group, ["fd00::/64"])
    assert demo.network.get_address_group(group.id).addresses == ["10.1.0.0/24", "10.2.0.9/32"]
    for verb, address, expected in (
        ("add", "10.1.0.0/24", (400, "AddressesAlreadyExist")),
        ("remove", "10.9.0.0/24", (404, "AddressesNotFound")),
        ("add", "none", (400, "HTTPBadRequest")),
    ):
        found = raw.fault("PUT", f"{path}/{verb}_addresses", {"addresses": [address]})
        assert found[:2] == expected
    for wrong in ("10.1.0.7", "none"):
        body = {"address_group": {"addresses": [wrong]}}
        assert raw.fault("POST", "address-groups", body)[0] == 400


def test_it_stays_while_a_rule_names_it(demo: Connection, group: Any, raw: Raw) -> None:
    security = demo.network.create_security_group(name="web")
    wish = {
        "security_group_id": security.id,
        "direction": "ingress",
        "remote_address_group_id": group.id,
    }
    rule = demo.network.create_security_group_rule(**wish)
    assert (rule.remote_address_group_id, rule.remote_ip_prefix) == (group.id, None)
    found = raw.fault("POST", "security-group-rules", {"security_group_rule": wish})
    assert found[:2] == (409, "SecurityGroupRuleExists")
    both = {"security_group_rule": wish | {"remote_ip_prefix": "10.0.0.0/8"}}
    assert raw.fault("POST", "security-group-rules", both)[0] == 400
    found = raw.fault("DELETE", f"address-groups/{group.id}")
    assert found[:2] == (409, "AddressGroupInUse")
    demo.network.delete_security_group(security)
    demo.network.delete_address_group(group, ignore_missing=False)


def test_another_tenants_group_does_not_exist(group: Any, raw: Raw, other: Connection) -> None:
    path, change = f"/address-groups/{group.id}", {"address_group": {"name": "mine"}}
    for method, body in (("GET", None), ("PUT", change), ("DELETE", None)):
        assert other.network.request(path, method, json=body).status_code == 404
    adding = other.network.put(f"{path}/add_addresses", json={"addresses": ["10.0.0.0/8"]})
    assert adding.status_code == 404
    assert list(other.network.address_groups()) == []
    security = other.network.create_security_group(name="web")
    rule = {"security_group_id": security.id, "direction": "ingress"}
    wish = {"security_group_rule": rule | {"remote_address_group_id": group.id}}
    assert other.network.post("/security-group-rules", json=wish).status_code == 404


def test_it_has_a_bound(demo: Connection, group: Any, raw: Raw) -> None:
    many = [f"10.9.0.{number}" for number in range(200)]
    path = f"address-groups/{group.id}/add_addresses"
    assert raw.fault("PUT", path, {"addresses": many})[0] == 400
    assert demo.network.get_address_group(group.id).addresses == group.addresses
