"""Quotas of the load balancer service."""

from __future__ import annotations

from typing import Any

import pytest
from openstack import exceptions
from openstack.connection import Connection

from tests.stories.load_balancer.conftest import Raw


def test_what_a_project_may_have_is_limited(
    demo: Connection, admin: Connection, subnet: Any, raw: Raw, raw_admin: Raw
) -> None:
    project = demo.current_project_id
    assert demo.load_balancer.get_quota(project).load_balancers == 20
    changed = admin.load_balancer.update_quota(
        project, load_balancers=1, listeners=1, pools=1, members=1
    )
    assert changed.listeners == 1
    made = demo.load_balancer.create_load_balancer(vip_subnet_id=subnet.id)
    with pytest.raises(exceptions.ForbiddenException, match="Quota has been met"):
        demo.load_balancer.create_load_balancer(vip_subnet_id=subnet.id)
    pool = demo.load_balancer.create_pool(
        loadbalancer_id=made.id, protocol="TCP", lb_algorithm="ROUND_ROBIN"
    )
    demo.load_balancer.create_member(pool, address="10.0.0.11", protocol_port=80)
    both = [{"address": f"10.0.0.{host}", "protocol_port": 80} for host in (11, 12)]
    assert raw.fault("PUT", f"lbaas/pools/{pool.id}/members", {"members": both})[0] == 403
    listed = raw_admin("GET", "lbaas/quotas").json()["quotas"]
    assert project in {one["project_id"] for one in listed}
    put = raw_admin("PUT", f"lbaas/quotas/{project}", {"quota": {"load_balancer": None}})
    assert put.json()["quota"]["loadbalancer"] == 20
    admin.load_balancer.delete_quota(project)
    assert demo.load_balancer.get_quota(project).listeners == -1


def test_a_project_has_so_many_balancers_unless_an_operator_says_otherwise(
    demo: Connection, admin: Connection, subnet: Any
) -> None:
    """Each has a process on two hosts: as many as one liked took the hosts' memory."""

    def make() -> None:
        demo.load_balancer.create_load_balancer(vip_subnet_id=subnet.id)

    for _ in range(20):
        make()
    with pytest.raises(exceptions.ForbiddenException, match="Quota has been met"):
        make()
    admin.load_balancer.update_quota(demo.current_project_id, load_balancers=-1)
    make()


def test_the_defaults_are_told(demo: Connection, raw: Raw) -> None:
    assert demo.load_balancer.get_quota_default().pools == -1
    own = raw("GET", f"lbaas/quotas/{demo.current_project_id}/default").json()
    assert own["quota"]["healthmonitor"] == own["quota"]["health_monitor"] == -1
    assert raw.fault("GET", "lbaas/quotas/another")[0] == 403
