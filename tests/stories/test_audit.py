"""Who changed what is on record, whatever came of it, and no API shows it."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from openstack.connection import Connection
from openstack.exceptions import ForbiddenException

from kumoi.engine import audit
from tests.running_cloud import RunningCloud


def events(cloud: RunningCloud, **among: str) -> list[dict[str, Any]]:
    with cloud.database.read() as connection:
        return list(audit.events(audit.find(connection, among)))


def test_a_change_names_who_where_from_what_and_by_which_request(
    cloud: RunningCloud, demo: Connection
) -> None:
    made = demo.network.post("/networks", json={"network": {"name": "n"}})
    key = made.json()["network"]["id"]
    (event,) = events(cloud, target_id=key)
    assert event["outcome"] == "success"
    assert event["action"] == "create"
    assert event["target"] == {"typeURI": "network/networks", "id": key}
    assert event["initiator"]["id"] == demo.current_user_id
    assert event["initiator"]["project_id"] == demo.current_project_id
    assert event["initiator"]["host"] == {"address": "127.0.0.1"}
    token = demo.session.auth.get_access(demo.session)
    assert event["initiator"]["credential"] == {"token": token.audit_id}
    assert event["request_id"] == made.headers["X-Openstack-Request-Id"]
    assert event["requestPath"] == "/network/v2.0/networks"
    demo.network.delete_network(key)
    assert [item["action"] for item in events(cloud, target_id=key)] == ["create", "delete"]


def test_what_is_denied_is_on_record(cloud: RunningCloud, demo: Connection) -> None:
    with pytest.raises(ForbiddenException):
        demo.network.create_network(name="n", is_router_external=True)
    with pytest.raises(ForbiddenException):
        demo.compute.create_flavor(name="f", ram=1, vcpus=1, disk=1)
    network, flavor = events(cloud, initiator_id=str(demo.current_user_id))
    assert (network["outcome"], network["reason"]["reasonCode"]) == ("failure", 403)
    assert flavor["reason"] == {
        "reasonCode": 403,
        "policyId": "os_compute_api:os-flavor-manage:create",
    }


def test_an_action_is_named_and_reading_is_not_on_record(
    cloud: RunningCloud, demo: Connection, http: httpx.Client
) -> None:
    headers = {"X-Auth-Token": demo.authorize()}
    path = "/compute/v2.1/servers/none/action"
    http.post(path, json={"reboot": {"type": "SOFT"}}, headers=headers)
    list(demo.network.networks())
    (event,) = events(cloud, initiator_id=str(demo.current_user_id))
    assert (event["action"], event["target"]["id"]) == ("update/reboot", "none")


def test_a_failed_login_is_on_record_and_one_that_succeeds_changes_nothing(
    cloud: RunningCloud, demo: Connection, http: httpx.Client
) -> None:
    before = len(events(cloud, target_type="identity/auth/tokens"))
    demo.authorize()
    assert len(events(cloud, target_type="identity/auth/tokens")) == before
    user = {"name": "nobody", "domain": {"id": "default"}, "password": "wrong"}
    identity = {"methods": ["password"], "password": {"user": user}}
    refused = http.post("/identity/v3/auth/tokens", json={"auth": {"identity": identity}})
    assert refused.status_code == 401
    found = events(cloud, request_id=refused.headers["X-Openstack-Request-Id"])
    assert [item["reason"]["reasonCode"] for item in found] == [401]
