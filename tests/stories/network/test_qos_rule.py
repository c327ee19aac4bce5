"""Rules of policies of quality of service, and what kinds of them there are."""

from __future__ import annotations

from typing import Any

import pytest
from openstack.connection import Connection

from tests.stories.network.conftest import Raw


@pytest.fixture
def policy(admin: Connection) -> Any:
    return admin.network.create_qos_policy(name="p", is_shared=True)


def test_a_policy_has_a_limit_for_each_direction(
    admin: Connection, demo: Connection, raw_admin: Raw, policy: Any
) -> None:
    network = admin.network
    out = network.create_qos_bandwidth_limit_rule(policy, max_kbps=1_000)
    assert (out.max_kbps, out.max_burst_kbps, out.direction) == (1_000, 0, "egress")
    inward = network.create_qos_bandwidth_limit_rule(policy, max_kbps=5, direction="ingress")
    path = f"qos/policies/{policy.id}/bandwidth_limit_rules"
    twice = {"bandwidth_limit_rule": {"max_kbps": 7}}
    assert raw_admin.fault("POST", path, twice)[:2] == (409, "QoSRulesConflict")
    turned = {"bandwidth_limit_rule": {"direction": "egress"}}
    assert raw_admin.fault("PUT", f"{path}/{inward.id}", turned)[:2] == (409, "QoSRulesConflict")
    changed = network.update_qos_bandwidth_limit_rule(out, policy, max_kbps=2_000)
    assert (changed.max_kbps, changed.max_burst_kbps) == (2_000, 0)
    assert demo.network.get_qos_bandwidth_limit_rule(out.id, policy).max_kbps == 2_000
    listed = demo.network.qos_bandwidth_limit_rules(policy, direction="ingress")
    assert [rule.id for rule in listed] == [inward.id]
    network.delete_qos_bandwidth_limit_rule(out, policy, ignore_missing=False)
    assert raw_admin.fault("GET", f"{path}/{out.id}")[:2] == (404, "QosRuleNotFound")
    before, after = policy.revision_number, network.get_qos_policy(policy.id).revision_number
    assert after == before + 4


def test_a_policy_has_one_mark(
    admin: Connection, demo: Connection, raw_admin: Raw, policy: Any
) -> None:
    path = f"qos/policies/{policy.id}/dscp_marking_rules"
    for mark in (1, 2, 58, -8):
        body = {"dscp_marking_rule": {"dscp_mark": mark}}
        assert raw_admin.fault("POST", path, body)[0] == 400
    rule = admin.network.create_qos_dscp_marking_rule(policy, dscp_mark=26)
    body = {"dscp_marking_rule": {"dscp_mark": 8}}
    assert raw_admin.fault("POST", path, body)[:2] == (409, "QoSRulesConflict")
    assert admin.network.update_qos_dscp_marking_rule(rule, policy, dscp_mark=8).dscp_mark == 8
    assert [each.dscp_mark for each in demo.network.qos_dscp_marking_rules(policy)] == [8]
    assert demo.network.get_qos_dscp_marking_rule(rule.id, policy).dscp_mark == 8
    other = f"qos/policies/{policy.id}/bandwidth_limit_rules/{rule.id}"
    assert raw_admin.fault("GET", other)[0] == 404
    admin.network.delete_qos_dscp_marking_rule(rule, policy, ignore_missing=False)
    assert list(demo.network.qos_dscp_marking_rules(policy)) == []


def test_only_administrators_change_rules(demo: Connection, raw: Raw, policy: Any) -> None:
    path = f"qos/policies/{policy.id}"
    for body, word in (({"max_kbps": 1}, "bandwidth_limit"), ({"dscp_mark": 8}, "dscp_marking")):
        found = raw.fault("POST", f"{path}/{word}_rules", {f"{word}_rule": body})
        assert found[0] == 403
    assert list(demo.network.qos_bandwidth_limit_rules(policy)) == []


def test_a_policy_that_one_may_not_see_has_no_rules_to_change(
    admin: Connection, raw: Raw, raw_admin: Raw
) -> None:
    hidden = admin.network.create_qos_policy(name="hidden")
    rule = admin.network.create_qos_bandwidth_limit_rule(hidden, max_kbps=1_000)
    path = f"qos/policies/{hidden.id}/bandwidth_limit_rules/{rule.id}"
    assert raw.fault("PUT", path, {"bandwidth_limit_rule": {"max_kbps": 2}})[0] == 404
    assert raw.fault("DELETE", path)[0] == 404
    policy = f"qos/policies/{hidden.id}"
    assert raw.fault("PUT", policy, {"policy": {"name": "mine"}})[0] == 404
    assert raw.fault("DELETE", policy)[0] == 404
    assert admin.network.get_qos_bandwidth_limit_rule(rule.id, hidden).max_kbps == 1_000


def test_the_kinds_of_rules_are_told(demo: Connection, admin: Connection, raw: Raw) -> None:
    kinds = [each.type for each in demo.network.qos_rule_types()]
    assert kinds == ["bandwidth_limit", "dscp_marking"]
    (driver,) = admin.network.get_qos_rule_type("dscp_marking").drivers
    (parameter,) = driver["supported_parameters"]
    assert 26 in parameter["parameter_values"]
    assert raw.fault("GET", "qos/rule-types/minimum_bandwidth")[0] == 404
