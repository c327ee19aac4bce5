"""Rules of security groups as compute has them, in the versions that do."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from openstack.connection import Connection

from kumoi.base.ids import new_hex_id

LAST, GONE = "2.35", "2.36"


def get(who: Connection, path: str, version: str = LAST) -> Any:
    answer = who.compute.get(path, microversion=version)
    assert answer.status_code == 200, answer.text
    return answer.json()


@pytest.fixture
def group(tenant: Connection) -> Iterator[str]:
    made = tenant.network.create_security_group(name=f"g-{new_hex_id()[:6]}")
    yield made.id
    tenant.network.delete_security_group(made)


def ruled(who: Connection, **values: Any) -> Any:
    body = {"security_group_rule": values}
    return who.compute.post("/os-security-group-rules", json=body, microversion=LAST)


def test_a_rule_of_a_security_group_is_made_shown_and_deleted(
    tenant: Connection, neighbour: Connection, group: str
) -> None:
    web = {"ip_protocol": "tcp", "from_port": 80, "to_port": "81", "cidr": "10.0.0.0/8"}
    answer = ruled(tenant, parent_group_id=group, **web)
    made = answer.json()["security_group_rule"]
    assert (made["parent_group_id"], made["ip_protocol"]) == (group, "tcp")
    assert (made["from_port"], made["to_port"]) == (80, 81)
    assert (made["ip_range"], made["group"]) == ({"cidr": "10.0.0.0/8"}, {})
    shown = get(tenant, f"/os-security-groups/{group}")["security_group"]
    assert shown["rules"] == [made]
    assert ruled(tenant, parent_group_id=group, **web).status_code == 400
    path = f"/os-security-group-rules/{made['id']}"
    assert neighbour.compute.delete(path, microversion=LAST).status_code == 404
    assert tenant.compute.delete(path, microversion=GONE).status_code == 404
    assert tenant.compute.delete(path, microversion=LAST).status_code == 202
    assert tenant.compute.delete(path, microversion=LAST).status_code == 404
    assert tenant.compute.delete("/os-security-group-rules/7", microversion=LAST).status_code == 400


@pytest.mark.parametrize(
    ("asked", "stored"),
    [
        ({"ip_protocol": "ICMP", "from_port": -1, "to_port": -1}, ("icmp", None, None)),
        ({"ip_protocol": "icmp", "from_port": 8, "to_port": 0}, ("icmp", 8, 0)),
        ({"ip_protocol": "udp", "from_port": 53, "to_port": 53, "cidr": "::/0"}, ("udp", 53, 53)),
    ],
)
def test_a_rule_for_a_prefix_is_what_the_network_has(
    tenant: Connection, group: str, asked: dict[str, Any], stored: tuple[Any, ...]
) -> None:
    made = ruled(tenant, parent_group_id=group, **asked).json()["security_group_rule"]
    rule = tenant.network.get_security_group_rule(made["id"])
    assert (rule.protocol, rule.port_range_min, rule.port_range_max) == stored
    assert rule.remote_ip_prefix == asked.get("cidr", "0.0.0.0/0")


def test_a_rule_for_a_group_that_names_no_ports_is_for_all(tenant: Connection, group: str) -> None:
    for protocol, ports in (("tcp", (1, 65_535)), ("icmp", (-1, -1)), (None, (-1, -1))):
        made = ruled(tenant, parent_group_id=group, group_id=group, ip_protocol=protocol)
        shown = made.json()["security_group_rule"]
        assert (shown["ip_protocol"], shown["from_port"], shown["to_port"]) == (protocol, *ports)
        assert shown["group"]["tenant_id"] == tenant.current_project_id


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"ip_protocol": None}, 400),
        ({"from_port": None}, 400),
        ({"ip_protocol": "gre"}, 400),
        ({"from_port": 90}, 400),
        ({"from_port": "x"}, 400),
        ({"to_port": 65_536}, 400),
        ({"cidr": "10.0.0/8"}, 400),
        ({"parent_group_id": "7"}, 400),
        ({"parent_group_id": "11111111-2222-4333-8444-555555555555"}, 404),
        ({"group_id": "11111111-2222-4333-8444-555555555555"}, 404),
    ],
)
def test_a_rule_that_makes_no_sense_is_refused(
    tenant: Connection, group: str, change: dict[str, Any], status: int
) -> None:
    good = {"parent_group_id": group, "ip_protocol": "tcp", "from_port": 80, "to_port": 81}
    answer = ruled(tenant, **good | change)
    assert answer.status_code == status, answer.text
    assert get(tenant, f"/os-security-groups/{group}")["security_group"]["rules"] == []
