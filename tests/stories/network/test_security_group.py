"""Security groups and their rules."""

from __future__ import annotations

from typing import Any

import pytest
from openstack.connection import Connection

from tests.stories.network.conftest import Raw


@pytest.fixture
def group(demo: Connection) -> Any:
    return demo.network.create_security_group(name="web", description="for web servers")


def rules_of(demo: Connection, group: Any) -> set[tuple[str, str, bool]]:
    return {
        (rule.direction, rule.ether_type, rule.remote_group_id == group.id)
        for rule in demo.network.security_group_rules(security_group_id=group.id)
    }


OUT = {("egress", "IPv4", False), ("egress", "IPv6", False)}


def test_a_project_has_a_default_group_from_its_first_look(demo: Connection) -> None:
    (default,) = demo.network.security_groups()
    assert default.name == "default"
    assert rules_of(demo, default) == OUT | {("ingress", "IPv4", True), ("ingress", "IPv6", True)}


def test_a_new_group_lets_everything_out_and_nothing_in(demo: Connection, group: Any) -> None:
    assert rules_of(demo, group) == OUT
    assert group.stateful


def test_the_default_group_is_the_only_one_of_its_name(
    demo: Connection, group: Any, raw: Raw
) -> None:
    default = demo.network.find_security_group("default")
    found = raw.fault("POST", "security-groups", {"security_group": {"name": "default"}})
    assert found[:2] == (409, "SecurityGroupDefaultAlreadyExists")
    rename = {"security_group": {"name": "default"}}
    found = raw.fault("PUT", f"security-groups/{group.id}", rename)
    assert found[:2] == (409, "SecurityGroupDefaultAlreadyExists")
    found = raw.fault("DELETE", f"security-groups/{default.id}")
    assert found[:2] == (409, "SecurityGroupCannotRemoveDefault")


def test_a_group_changes_its_name_and_keeps_its_rules(demo: Connection, group: Any) -> None:
    changed = demo.network.update_security_group(group.id, name="shop", description="moved")
    assert (changed.name, changed.description) == ("shop", "moved")
    assert demo.network.get_security_group(group.id).name == "shop"
    assert rules_of(demo, group) == OUT


def test_a_group_that_a_port_has_stays(demo: Connection, group: Any, raw: Raw) -> None:
    network = demo.network.create_network(name="private")
    port = demo.network.create_port(network_id=network.id, security_groups=[group.id])
    found = raw.fault("DELETE", f"security-groups/{group.id}")
    assert found[:2] == (409, "SecurityGroupInUse")
    found = raw.fault("PUT", f"security-groups/{group.id}", {"security_group": {"stateful": False}})
    assert found[:2] == (409, "SecurityGroupInUse")
    demo.network.update_port(port.id, security_groups=[])
    demo.network.delete_security_group(group, ignore_missing=False)
    assert not list(demo.network.security_group_rules(security_group_id=group.id))


def test_a_rule_keeps_what_was_said(demo: Connection, group: Any) -> None:
    rule = demo.network.create_security_group_rule(
        security_group_id=group.id,
        direction="ingress",
        protocol="tcp",
        port_range_min=80,
        port_range_max=90,
        remote_ip_prefix="10.0.0.5/24",
    )
    assert (rule.ether_type, rule.protocol) == ("IPv4", "tcp")
    assert (rule.remote_ip_prefix, rule.normalized_cidr) == ("10.0.0.5/24", "10.0.0.0/24")
    assert demo.network.get_security_group_rule(rule.id) == rule
    demo.network.delete_security_group_rule(rule, ignore_missing=False)
    assert rules_of(demo, group) == OUT


@pytest.mark.parametrize(
    "same",
    [
        {"protocol": "tcp"},
        {"protocol": "6"},
        {"protocol": 6},
        {"protocol": "TCP", "description": "again"},
    ],
)
def test_a_rule_that_means_the_same_exists_already(
    demo: Connection, group: Any, raw: Raw, same: dict[str, Any]
) -> None:
    first = demo.network.create_security_group_rule(
        security_group_id=group.id,
        direction="ingress",
        protocol="tcp",
        port_range_min=22,
        port_range_max=22,
    )
    body = {
        "security_group_id": group.id,
        "direction": "ingress",
        "port_range_min": 22,
        "port_range_max": 22,
        **same,
    }
    found = raw.fault("POST", "security-group-rules", {"security_group_rule": body})
    assert found[:2] == (409, "SecurityGroupRuleExists")
    assert first.id in found[2]


NOWHERE = "3fa85f64-5717-4562-b3fc-2c963f66afa6"
BAD: dict[str, tuple[dict[str, Any], int, str]] = {
    "no direction": ({"direction": None}, 400, "HTTPBadRequest"),
    "sideways": ({"direction": "sideways"}, 400, "HTTPBadRequest"),
    "IPv5": ({"ethertype": "IPv5"}, 400, "HTTPBadRequest"),
    "protocol name": ({"protocol": "carrier-pigeon"}, 400, "SecurityGroupRuleInvalidProtocol"),
    "protocol number": ({"protocol": 256}, 400, "SecurityGroupRuleInvalidProtocol"),
    "ports of nothing": (
        {"port_range_min": 1, "port_range_max": 2},
        400,
        "SecurityGroupProtocolRequiredWithPorts",
    ),
    "ports of gre": (
        {"protocol": "gre", "port_range_min": 1, "port_range_max": 2},
        400,
        "SecurityGroupInvalidProtocolForPort",
    ),
    "backwards": (
        {"protocol": "tcp", "port_range_min": 9, "port_range_max": 2},
        400,
        "SecurityGroupInvalidPortRange",
    ),
    "too large": (
        {"protocol": "udp", "port_range_min": 9, "port_range_max": 65536},
        400,
        "SecurityGroupInvalidPortValue",
    ),
    "icmp type": (
        {"protocol": "icmp", "port_range_min": 300},
        400,
        "SecurityGroupInvalidIcmpValue",
    ),
    "icmp code alone": (
        {"protocol": "icmp", "port_range_max": 3},
        400,
        "SecurityGroupMissingIcmpType",
    ),
    "icmpv6 on IPv4": (
        {"protocol": "icmpv6"},
        400,
        "SecurityGroupEthertypeConflictWithProtocol",
    ),
    "prefix": ({"remote_ip_prefix": "10.0.0.0/40"}, 400, "InvalidCIDR"),
    "prefix of IPv6": (
        {"remote_ip_prefix": "fd00::/64"},
        400,
        "SecurityGroupRuleParameterConflict",
    ),
    "two remotes": (
        {"remote_ip_prefix": "10.0.0.0/8", "remote_group_id": NOWHERE},
        400,
        "SecurityGroupMultipleRemoteEntites",
    ),
    "unknown remote": ({"remote_group_id": NOWHERE}, 404, "SecurityGroupNotFound"),
    "unknown group": ({"security_group_id": NOWHERE}, 404, "SecurityGroupNotFound"),
    "unknown attribute": ({"action": "drop"}, 400, "HTTPBadRequest"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_does_not_fit_is_refused_and_changes_nothing(
    demo: Connection, group: Any, raw: Raw, name: str
) -> None:
    wish, status, word = BAD[name]
    body = {"security_group_id": group.id, "direction": "ingress", **wish}
    found = raw.fault("POST", "security-group-rules", {"security_group_rule": body})
    assert found[:2] == (status, word)
    assert rules_of(demo, group) == OUT


def test_another_tenants_group_does_not_exist(group: Any, other: Connection, raw: Raw) -> None:
    theirs = Raw(raw.http, other.auth_token)
    assert theirs.fault("GET", f"security-groups/{group.id}")[:2] == (404, "SecurityGroupNotFound")
    body = {"security_group_id": group.id, "direction": "ingress"}
    found = theirs.fault("POST", "security-group-rules", {"security_group_rule": body})
    assert found[0] == 404
    for rule in group.security_group_rules:
        assert theirs.fault("DELETE", f"security-group-rules/{rule['id']}")[0] == 404
    network = other.network.create_network(name="theirs")
    port = {"port": {"network_id": network.id, "security_groups": [group.id]}}
    assert theirs.fault("POST", "ports", port)[0] == 404


def test_a_groups_revision_grows_with_its_rules(demo: Connection, group: Any) -> None:
    rule = demo.network.create_security_group_rule(
        security_group_id=group.id, direction="ingress", protocol="tcp"
    )
    second = demo.network.get_security_group(group.id).revision_number
    demo.network.delete_security_group_rule(rule)
    third = demo.network.get_security_group(group.id).revision_number
    assert group.revision_number < second < third


def test_stateful_and_stateless_groups_are_not_on_one_port(
    demo: Connection, group: Any, raw: Raw
) -> None:
    stateless = demo.network.create_security_group(name="stateless", stateful=False)
    network = demo.network.create_network(name="mixed")
    both = {"network_id": network.id, "security_groups": [group.id, stateless.id]}
    assert raw.fault("POST", "ports", {"port": both})[:2] == (409, "SecurityGroupConflict")
    port = demo.network.create_port(network_id=network.id, security_groups=[stateless.id])
    twice = {"port": {"security_groups": [stateless.id, stateless.id]}}
    assert raw.fault("PUT", f"ports/{port.id}", twice)[0] == 400
    unsecured = {"port": {"port_security_enabled": False}}
    found = raw.fault("PUT", f"ports/{port.id}", unsecured)
    assert found[:2] == (409, "PortSecurityPortHasSecurityGroup")


def test_a_group_needs_room_for_its_rules(demo: Connection, admin: Connection, raw: Raw) -> None:
    admin.network.update_quota(demo.current_project_id, security_group_rules=1)
    found = raw.fault("POST", "security-groups", {"security_group": {"name": "one"}})
    assert found[:2] == (409, "OverQuota")
    listed = list(admin.network.security_groups(project_id=demo.current_project_id))
    assert [each.name for each in listed] == ["default"]
