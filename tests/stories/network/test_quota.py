"""Quotas hold, however many ask at once."""

from __future__ import annotations

import dataclasses
from concurrent.futures import ThreadPoolExecutor

import pytest
from openstack import exceptions
from openstack.connection import Connection

from kumoi.cloud.domain.network.quota import DEFAULTS
from kumoi.hosts.first_use import first_run
from tests.running_cloud import RunningCloud
from tests.stories.network.conftest import Raw

PARALLEL = 50


def test_a_quota_holds_under_fifty_parallel_requests(
    demo: Connection, admin: Connection, raw: Raw
) -> None:
    project_id = demo.current_project_id
    admin.network.update_quota(project_id, networks=7)
    with ThreadPoolExecutor(PARALLEL) as pool:
        answers = list(
            pool.map(
                lambda count: raw("POST", "networks", {"network": {"name": f"n{count}"}}),
                range(PARALLEL),
            )
        )
    made = [answer for answer in answers if answer.status_code == 201]
    refused = [answer for answer in answers if answer.status_code == 409]
    assert (len(made), len(refused)) == (7, PARALLEL - 7)
    assert {answer.json()["NeutronError"]["type"] for answer in refused} == {"OverQuota"}
    assert len(list(demo.network.networks(project_id=project_id))) == 7


def test_limits_are_shown_with_what_is_used_and_go_back_to_the_defaults(
    demo: Connection, admin: Connection
) -> None:
    project_id = demo.current_project_id
    demo.network.create_network(name="one")
    assert demo.network.get_quota(project_id).networks == 100
    admin.network.update_quota(project_id, networks=-1, ports=3)
    details = demo.network.get_quota(project_id, details=True)
    assert details.networks == {"limit": -1, "used": 1, "reserved": 0}
    assert details.ports == {"limit": 3, "used": 0, "reserved": 0}
    assert project_id in [quota.project_id for quota in admin.network.quotas()]
    admin.network.delete_quota(project_id)
    assert demo.network.get_quota(project_id).ports == 500
    assert demo.network.get_quota_default(project_id).ports == 500


def test_a_limit_below_what_is_used_is_refused_when_that_is_asked_for(
    demo: Connection, raw_admin: Raw
) -> None:
    demo.network.create_network(name="one")
    path = f"quotas/{demo.current_project_id}"
    wish = {"network": 0, "check_limit": True}
    found = raw_admin.fault("PUT", path, {"quota": wish})
    assert found[:2] == (400, "InvalidQuotaValue")
    assert raw_admin("PUT", path, {"quota": {**wish, "force": True}}).status_code == 200


def test_only_an_administrator_changes_a_quota(
    demo: Connection, other: Connection, raw: Raw
) -> None:
    with pytest.raises(exceptions.ForbiddenException):
        demo.network.update_quota(demo.current_project_id, networks=1_000)
    status, _, _ = raw.fault("GET", f"quotas/{other.current_project_id}")
    assert status == 403


@pytest.mark.parametrize("wish", [{"network": -2}, {"network": "many"}, {"clouds": 1}])
def test_a_limit_is_a_number_of_something_there_is(
    demo: Connection, raw_admin: Raw, wish: dict[str, object]
) -> None:
    path = f"quotas/{demo.current_project_id}"
    status, _, message = raw_admin.fault("PUT", path, {"quota": wish})
    assert status == 400
    assert next(iter(wish)) in message


def test_every_limit_may_be_changed(demo: Connection, admin: Connection) -> None:
    """What is accepted is a list beside the limits: one that it lacks could never be changed."""
    path = f"/quotas/{demo.current_project_id}"
    wanted = dict.fromkeys(DEFAULTS, 7)
    answer = admin.network.put(path, json={"quota": wanted})
    assert (answer.status_code, answer.json()["quota"]) == (200, wanted)
    admin.network.delete_quota(demo.current_project_id)


def test_the_first_tenant_has_room_for_all_its_environments_and_what_somebody_sets_stays(
    admin: Connection, cloud: RunningCloud
) -> None:
    project = admin.identity.find_project("demo")
    settings = dataclasses.replace(cloud.config, project_environments=20)
    first_run.ensure_flavors_and_network(admin, settings)
    has = admin.network.get_quota(project.id)
    assert (has.routers, has.security_groups, has.security_group_rules) == (30, 90, 500)
    assert has.networks == 100
    admin.network.update_quota(project.id, routers=7)
    first_run.ensure_flavors_and_network(admin, settings)
    has = admin.network.get_quota(project.id)
    assert (has.routers, has.security_groups) == (7, 90)
