"""The log of a task that no host runs here."""

from __future__ import annotations

from typing import Any

from openstack.connection import Connection

PATH = "/os-instance_usage_audit_log"


def test_the_log_says_that_no_host_has_counted(admin: Connection, tenant: Connection) -> None:
    hosts = [host.name for host in admin.compute.hypervisors()]
    log: dict[str, Any] = admin.compute.get(PATH).json()["instance_usage_audit_logs"]
    assert (log["hosts_not_run"], log["num_hosts_done"], log["log"]) == (hosts, 0, {})
    assert log["overall_status"] == f"0 of {len(hosts)} hosts done. 0 errors."
    assert tenant.compute.get(PATH).status_code == 403


def test_the_log_is_of_the_last_whole_month_before_a_time(admin: Connection) -> None:
    for before in ("2026-01-31 23:59:59", "2026-01-01 00:00:00.000001"):
        log = admin.compute.get(f"{PATH}/{before}").json()["instance_usage_audit_log"]
        period = (log["period_beginning"], log["period_ending"])
        assert period == ("2025-12-01 00:00:00", "2026-01-01 00:00:00")
    for before in ("yesterday", "2026-13-01 00:00:00", "0001-01-01 00:00:00"):
        assert admin.compute.get(f"{PATH}/{before}").status_code == 400
