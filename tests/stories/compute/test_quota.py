"""Quotas hold, however many ask at once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from openstack import exceptions
from openstack.connection import Connection
from tests.stories.compute.conftest import Workbench

AT_ONCE = 50


def test_a_quota_holds_under_fifty_parallel_requests(
    bench: Workbench, admin: Connection, demo: Connection
) -> None:
    admin.compute.update_quota_set(demo.current_project_id, instances=7)
    demo.compute.get_endpoint()

    def attempt(number: int) -> bool:
        try:
            bench.server(f"rush-{number}")
        except exceptions.ForbiddenException:
            return False
        return True

    with ThreadPoolExecutor(AT_ONCE) as threads:
        made = sum(threads.map(attempt, range(AT_ONCE)))
    assert made == 7
    assert len(list(demo.compute.servers())) == 7


def test_the_refusal_says_what_is_short(
    bench: Workbench, admin: Connection, demo: Connection
) -> None:
    admin.compute.update_quota_set(demo.current_project_id, cores=1, ram=1024)
    with pytest.raises(exceptions.ForbiddenException) as refused:
        bench.server(min_count=2)
    assert "Quota exceeded for cores: Requested 2, but already used 0 of 1 cores" in str(
        refused.value
    )
    bench.server(min_count=1, max_count=3)
    assert len(list(demo.compute.servers())) == 1


def test_limits_and_quota_details_count_what_is_there(
    bench: Workbench, admin: Connection, demo: Connection
) -> None:
    bench.server(min_count=2)
    limits = demo.compute.get_limits().absolute
    assert (limits.instances_used, limits.total_cores_used, limits.total_ram_used) == (2, 2, 1024)
    detail = demo.compute.get_quota_set(demo.current_project_id, usage=True)
    assert detail.usage["instances"] == 2
    with pytest.raises(exceptions.BadRequestException, match="already used"):
        admin.compute.update_quota_set(demo.current_project_id, instances=1)
    admin.compute.revert_quota_set(demo.current_project_id)
    defaults = demo.compute.get_quota_set_defaults(demo.current_project_id)
    assert demo.compute.get_quota_set(demo.current_project_id).instances == defaults.instances


def test_only_an_administrator_changes_quotas(demo: Connection, other: Connection) -> None:
    with pytest.raises(exceptions.ForbiddenException):
        demo.compute.update_quota_set(demo.current_project_id, instances=1000)
    with pytest.raises(exceptions.ForbiddenException):
        demo.compute.get_quota_set(other.current_project_id)
