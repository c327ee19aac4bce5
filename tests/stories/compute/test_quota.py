"""Quotas hold, however many ask at once; and what was used is counted."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
from openstack import exceptions
from openstack.connection import Connection
from tests.stories.compute.conftest import Workbench
from tests.stories.unified_limits import limited

from kumoi.base.ids import new_hex_id
from kumoi.cloud.api.compute import rendering
from kumoi.cloud.store.compute import server_list
from kumoi.cloud.store.compute.server import Server

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


def test_the_default_is_that_of_every_project_without_a_quota_of_its_own(
    admin: Connection, tenant: Connection
) -> None:
    before = admin.compute.get_quota_class_set("default").cores
    admin.compute.update_quota_class_set("default", cores=before + 1)
    try:
        assert admin.compute.get_quota_class_set("default").cores == before + 1
        assert tenant.compute.get_quota_set(tenant.current_project_id).cores == before + 1
    finally:
        admin.compute.update_quota_class_set("default", cores=before)
    body = {"quota_class_set": {"unicorns": 1}}
    assert admin.compute.put("/os-quota-class-sets/default", json=body).status_code == 400
    for answer in (
        tenant.compute.get("/os-quota-class-sets/default"),
        tenant.compute.put("/os-quota-class-sets/default", json={"quota_class_set": {"cores": 9}}),
    ):
        assert answer.status_code == 403


def test_the_defaults_have_other_names_in_other_versions(admin: Connection) -> None:
    def names(version: str) -> set[str]:
        answer = admin.compute.get("/os-quota-class-sets/default", microversion=version)
        return set(answer.json()["quota_class_set"])

    assert names("2.1") - names("2.50") == {
        "fixed_ips",
        "floating_ips",
        "security_groups",
        "security_group_rules",
    }
    assert names("2.49") == names("2.1")
    assert names("2.50") - names("2.49") == {"server_groups", "server_group_members"}
    assert names("2.56") - names("2.57") == {
        "injected_files",
        "injected_file_content_bytes",
        "injected_file_path_bytes",
    }
    old = {"quota_class_set": {"floating_ips": 5}}
    path = "/os-quota-class-sets/default"
    assert admin.compute.put(path, json=old, microversion="2.50").status_code == 400


def test_usage_counts_servers_that_are_there_and_those_that_are_gone(
    bench: Workbench, admin: Connection, demo: Connection
) -> None:
    bench.server("kept")
    gone = bench.active("gone")
    demo.compute.delete_server(gone)
    bench.cloud.host.settle()
    project_id = demo.current_project_id
    usage = demo.compute.get_usage(project_id)
    used = {item["name"]: (item["state"], item["vcpus"]) for item in usage.server_usages}
    assert used == {"kept": ("active", 1), "gone": ("terminated", 1)}
    assert usage.total_hours > 0
    assert usage.total_memory_mb_usage == pytest.approx(512 * usage.total_hours)
    listed = {item.project_id: item.total_hours for item in admin.compute.usages()}
    assert listed[project_id] >= usage.total_hours


@pytest.mark.parametrize("of", ["all", "one"])
def test_usage_comes_in_pages_that_end(
    bench: Workbench, admin: Connection, demo: Connection, of: str
) -> None:
    made = {bench.active(name).id for name in ("a", "b", "c")}
    path, word = "/os-simple-tenant-usage?detailed=1", "tenant_usages"
    if of == "one":
        path, word = f"/os-simple-tenant-usage/{demo.current_project_id}?", "tenant_usage"
    seen: list[str] = []
    marker = ""
    for _ in range(100):
        asked = f"{path}&limit=2{marker}"
        page = admin.compute.get(asked, microversion="2.40").json()
        usages = page[word] if of == "all" else [page[word]] if page[word] else []
        ids = [server["instance_id"] for usage in usages for server in usage["server_usages"]]
        if not ids:
            break
        assert len(ids) <= 2
        assert (f"{word}_links" in page) == (len(ids) == 2)
        seen += ids
        marker = f"&marker={ids[-1]}"
    else:
        pytest.fail("there was no last page")
    assert made <= set(seen)
    assert len(seen) == len(set(seen))
    assert admin.compute.get(f"{path}&marker=x", microversion="2.40").status_code == 400
    assert admin.compute.get(f"{path}&marker=x", microversion="2.39").status_code == 200


@pytest.mark.parametrize("microversion", ["2.1", "2.40"])
def test_usage_reads_no_more_servers_than_a_page_has(
    bench: Workbench, demo: Connection, monkeypatch: pytest.MonkeyPatch, microversion: str
) -> None:
    """A project that had made and deleted 100,000 had them all in memory, each time that it asked."""
    for name in ("a", "b", "c"):
        bench.active(name)
    monkeypatch.setattr(rendering, "PAGE_MAX", 2)
    read: list[int] = []
    fetch = server_list._fetch

    def counted(*asked: Any) -> list[Server]:
        found = fetch(*asked)
        read.append(len(found))
        return found

    monkeypatch.setattr(server_list, "_fetch", counted)
    path = f"/os-simple-tenant-usage/{demo.current_project_id}"
    shown = demo.compute.get(path, microversion=microversion).json()["tenant_usage"]
    assert len(shown["server_usages"]) == 2
    assert read == [2]


def test_usage_is_of_the_time_asked_for(bench: Workbench, demo: Connection) -> None:
    bench.active()
    path = f"/os-simple-tenant-usage/{demo.current_project_id}"
    before = demo.compute.get(f"{path}?start=2020-01-01T00:00:00&end=2020-02-01T00:00:00")
    assert before.json()["tenant_usage"]["server_usages"] == []
    for query in ("start=2020-02-01T00:00:00&end=2020-01-01T00:00:00", "start=yesterday"):
        assert demo.compute.get(f"{path}?{query}").status_code == 400


def test_a_tenant_sees_its_own_usage_only(tenant: Connection, neighbour: Connection) -> None:
    path = "/os-simple-tenant-usage"
    assert tenant.compute.get(path).status_code == 403
    assert tenant.compute.get(f"{path}/{neighbour.current_project_id}").status_code == 403
    assert tenant.compute.get(f"{path}/{tenant.current_project_id}").status_code == 200


def test_only_an_administrator_changes_quotas(demo: Connection, other: Connection) -> None:
    with pytest.raises(exceptions.ForbiddenException):
        demo.compute.update_quota_set(demo.current_project_id, instances=1000)
    with pytest.raises(exceptions.ForbiddenException):
        demo.compute.get_quota_set(other.current_project_id)


def test_a_project_that_used_nothing_has_used_zero_hours(
    demo: Connection, http: httpx.Client
) -> None:
    path = f"/compute/v2.1/os-simple-tenant-usage/{demo.current_project_id}"
    answer = http.get(path, headers={"X-Auth-Token": demo.auth_token})
    shown = answer.json()["tenant_usage"]
    assert (shown["total_hours"], shown["server_usages"]) == (0, [])


def test_a_quota_may_be_forced_by_a_number(admin: Connection, http: httpx.Client) -> None:
    path = f"/compute/v2.1/os-quota-sets/{admin.current_project_id}"
    headers = {"X-Auth-Token": admin.auth_token}
    for force, status in ((1, 200), (-1, 400), (2**70, 400)):
        body = {"quota_set": {"cores": 100, "force": force}}
        assert http.put(path, json=body, headers=headers).status_code == status


def test_a_projects_servers_have_so_many_gigabytes_of_disk_together(
    bench: Workbench, bench_of_other: Workbench, admin: Connection, demo: Connection
) -> None:
    """By the name that Nova has for it in unified limits; its own quotas have none."""
    larger = admin.compute.create_flavor(name=f"disk-{new_hex_id()[:6]}", ram=512, vcpus=1, disk=8)
    with limited(admin, demo, service="nova", resource="class:DISK_GB", most=12):
        made = bench.active()
        with pytest.raises(exceptions.ForbiddenException) as refused:
            bench.server(min_count=2)
        assert "Quota exceeded for class:DISK_GB: Requested 10, but already used 5 of 12" in str(
            refused.value
        )
        bench.active("second")
        bench_of_other.server(min_count=3)
        with pytest.raises(exceptions.ForbiddenException, match="class:DISK_GB: Requested 3"):
            demo.compute.resize_server(made, larger)
    demo.compute.resize_server(made, larger)
