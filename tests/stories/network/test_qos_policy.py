"""Policies of quality of service."""

from __future__ import annotations

from typing import Any

import pytest
from openstack import exceptions
from openstack.connection import Connection

from kumoi.cloud.drivers.network.interface import Direction, PortSpec, RateSpec
from kumoi.cloud.reconcilers.network import load
from tests.running_cloud import RunningCloud
from tests.stories.network.conftest import Raw


@pytest.fixture
def slow(admin: Connection) -> Any:
    """For all projects: 1,000 kbit/s out, marked."""
    policy = admin.network.create_qos_policy(name="slow", is_shared=True)
    admin.network.create_qos_bandwidth_limit_rule(policy, max_kbps=1_000, max_burst_kbps=200)
    admin.network.create_qos_dscp_marking_rule(policy, dscp_mark=26)
    return policy


def planned(cloud: RunningCloud, port: Any) -> PortSpec:
    """A port as the network is told of it."""
    with cloud.database.read() as connection:
        return next(each for each in load(connection).ports if each.id == port.id)


def test_administrators_make_policies_and_projects_use_the_shared_ones(
    admin: Connection, demo: Connection, raw: Raw, slow: Any
) -> None:
    own = admin.network.create_qos_policy(name="own", description="d")
    assert (own.is_shared, own.is_default, own.rules) == (False, False, [])
    assert raw.fault("POST", "qos/policies", {"policy": {"name": "x"}})[0] == 403
    assert raw.fault("POST", "qos/policies", {"policy": {"name": "x" * 256}})[0] == 400
    seen = [policy.id for policy in demo.network.qos_policies()]
    assert slow.id in seen
    assert own.id not in seen
    changed = admin.network.update_qos_policy(own, name="mine", description="e")
    assert (changed.name, changed.description) == ("mine", "e")
    assert raw.fault("GET", f"qos/policies/{own.id}")[:2] == (404, "QosPolicyNotFound")
    assert raw.fault("DELETE", f"qos/policies/{slow.id}")[0] == 403
    admin.network.delete_qos_policy(own, ignore_missing=False)
    shown = demo.network.get_qos_policy(slow.id).rules
    assert [rule["type"] for rule in sorted(shown, key=lambda rule: rule["type"])] == [
        "bandwidth_limit",
        "dscp_marking",
    ]


def test_a_port_has_its_own_policy_or_else_its_networks(
    cloud: RunningCloud, admin: Connection, demo: Connection, slow: Any
) -> None:
    fast = admin.network.create_qos_policy(name="fast", is_shared=True)
    admin.network.create_qos_bandwidth_limit_rule(fast, max_kbps=9_000, direction="ingress")
    network = demo.network.create_network(name="limited", qos_policy_id=slow.id)
    port = demo.network.create_port(network_id=network.id)
    assert (port.qos_policy_id, port.qos_network_policy_id) == (None, slow.id)
    spec = planned(cloud, port)
    assert spec.rates == (RateSpec(direction=Direction.EGRESS, kbps=1_000, burst_kbit=200),)
    assert spec.dscp == 26
    port = demo.network.update_port(port, qos_policy_id=fast.id)
    assert (port.qos_policy_id, port.qos_network_policy_id) == (fast.id, slow.id)
    spec = planned(cloud, port)
    assert spec.rates == (RateSpec(direction=Direction.INGRESS, kbps=9_000),)
    assert spec.dscp is None
    for policy, what in ((slow, "network"), (fast, "port")):
        with pytest.raises(exceptions.ConflictException, match=f"used by {what}"):
            admin.network.delete_qos_policy(policy, ignore_missing=False)
    demo.network.update_port(port, qos_policy_id=None)
    demo.network.update_network(network, qos_policy_id=None)
    assert planned(cloud, port).rates == ()
    admin.network.delete_qos_policy(fast, ignore_missing=False)


def test_what_an_administrator_has_given_its_owner_does_not_take_away(
    admin: Connection, demo: Connection, raw: Raw
) -> None:
    strict = admin.network.create_qos_policy(name="strict")
    network = demo.network.create_network(name="limited")
    body = {"network": {"qos_policy_id": strict.id}}
    assert raw.fault("PUT", f"networks/{network.id}", body)[:2] == (404, "QosPolicyNotFound")
    admin.network.update_network(network.id, qos_policy_id=strict.id)
    body = {"network": {"qos_policy_id": None}}
    assert raw.fault("PUT", f"networks/{network.id}", body)[0] == 403
    assert demo.network.update_network(network, name="kept").qos_policy_id == strict.id


def test_new_networks_have_the_default_policy_of_their_project(
    admin: Connection, demo: Connection, raw_admin: Raw
) -> None:
    project = demo.current_project_id
    policy = admin.network.create_qos_policy(name="d", is_default=True, project_id=project)
    assert demo.network.create_network(name="usual").qos_policy_id == policy.id
    body = {"policy": {"name": "e", "is_default": True, "project_id": project}}
    second = raw_admin.fault("POST", "qos/policies", body)
    assert second[:2] == (409, "QoSPolicyDefaultAlreadyExists")
    admin.network.update_qos_policy(policy, is_default=False)
    assert demo.network.create_network(name="other").qos_policy_id is None


def test_a_policy_is_tagged(demo: Connection, raw: Raw, raw_admin: Raw, slow: Any) -> None:
    path = f"policies/{slow.id}/tags"
    assert raw_admin("PUT", path, {"tags": ["a", "b"]}).json() == {"tags": ["a", "b"]}
    assert raw_admin("POST", path, {"tags": ["c"]}).status_code == 201
    assert raw_admin("PUT", f"{path}/d").status_code == 201
    assert raw_admin("GET", f"{path}/d").status_code == 204
    assert raw_admin("DELETE", f"{path}/a").status_code == 204
    assert raw("GET", path).json() == {"tags": ["b", "c", "d"]}
    assert raw.fault("PUT", path, {"tags": []})[0] == 403
    assert demo.network.get_qos_policy(slow.id).tags == ["b", "c", "d"]
    assert raw_admin("DELETE", path).status_code == 204
