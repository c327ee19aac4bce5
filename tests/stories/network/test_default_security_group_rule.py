"""The rules that new security groups are made with."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from openstack.connection import Connection

from tests.stories.network.conftest import Raw


@pytest.fixture
def ssh(admin: Connection) -> Iterator[Any]:
    """A rule that lets SSH into groups that are no default ones."""
    made = admin.network.create_default_security_group_rule(
        direction="ingress", protocol="tcp", port_range_min=22, port_range_max=22
    )
    yield made
    admin.network.delete_default_security_group_rule(made)


def traffic(group: Any) -> set[tuple[str, str, str | None, bool]]:
    return {
        (rule["direction"], rule["ethertype"], rule["protocol"], bool(rule["remote_group_id"]))
        for rule in group.security_group_rules
    }


OUT = {("egress", "IPv4", None, False), ("egress", "IPv6", None, False)}
AMONG_THEMSELVES = {("ingress", "IPv4", None, True), ("ingress", "IPv6", None, True)}


def test_groups_are_made_with_the_default_rules_of_their_kind(
    admin: Connection, tenant: Connection, ssh: Any
) -> None:
    group = tenant.network.create_security_group(name="web")
    assert traffic(group) == OUT | {("ingress", "IPv4", "tcp", False)}
    default = tenant.network.find_security_group("default")
    assert traffic(default) == OUT | AMONG_THEMSELVES
    remotes = {rule["remote_group_id"] for rule in default.security_group_rules}
    assert remotes == {None, default.id}
    admin.network.delete_default_security_group_rule(ssh, ignore_missing=False)
    assert traffic(tenant.network.create_security_group(name="later")) == OUT
    assert len(tenant.network.get_security_group(group.id).security_group_rules) == 3


def test_everybody_sees_them_and_administrators_change_them(
    admin: Connection, demo: Connection, raw: Raw, raw_admin: Raw, ssh: Any
) -> None:
    seen = [rule.id for rule in demo.network.default_security_group_rules(protocol="tcp")]
    assert seen == [ssh.id]
    shown = demo.network.get_default_security_group_rule(ssh.id)
    assert (shown.used_in_default_sg, shown.used_in_non_default_sg) == (False, True)
    path = "default-security-group-rules"
    body: dict[str, Any] = {"default_security_group_rule": {"direction": "egress"}}
    assert raw.fault("POST", path, body)[0] == 403
    assert raw.fault("DELETE", f"{path}/{ssh.id}")[0] == 403
    rule = {"direction": "ingress", "protocol": "tcp", "port_range_min": 22, "port_range_max": 22}
    for changes, status in (
        ({}, 409),
        ({"port_range_min": 23}, 400),
        ({"remote_group_id": demo.network.find_security_group("default").id}, 400),
        ({"remote_group_id": "PARENT", "remote_ip_prefix": "10.0.0.0/8"}, 400),
        ({"protocol": "unicorn"}, 400),
    ):
        found = raw_admin.fault("POST", path, {"default_security_group_rule": {**rule, **changes}})
        assert found[0] == status, changes
    found = raw_admin.fault("GET", f"{path}/none")
    assert found[:2] == (404, "DefaultSecurityGroupRuleNotFound")


def test_two_rules_alike_are_for_groups_of_different_kinds(admin: Connection) -> None:
    """And one for both kinds is like either."""
    path = "/default-security-group-rules"
    rule = {"direction": "ingress", "protocol": "udp", "port_range_min": 53, "port_range_max": 53}

    def made(*kinds: str) -> Any:
        uses = {f"used_in_{kind}_sg": kind in kinds for kind in ("default", "non_default")}
        return admin.network.post(path, json={"default_security_group_rule": {**rule, **uses}})

    def delete(answer: Any) -> None:
        key = answer.json()["default_security_group_rule"]["id"]
        admin.network.delete_default_security_group_rule(key, ignore_missing=False)

    first, second = made("default"), made("non_default")
    assert (first.status_code, second.status_code) == (201, 201)
    alike = (("default", "non_default"), ("default",), ("non_default",))
    assert {made(*kinds).status_code for kinds in alike} == {409}
    delete(first)
    delete(second)
    both = made("default", "non_default")
    assert {made(*kinds).status_code for kinds in alike} == {409}
    delete(both)
