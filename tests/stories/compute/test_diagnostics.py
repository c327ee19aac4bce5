"""Diagnostics of a server, which only administrators see."""

from __future__ import annotations

from typing import Any

from openstack.connection import Connection
from tests.stories.compute.conftest import Workbench


def diagnosed(who: Connection, server_id: str, version: str) -> Any:
    return who.compute.get(f"/servers/{server_id}/diagnostics", microversion=version)


def test_diagnostics_tell_what_a_server_has(
    bench: Workbench, admin: Connection, demo: Connection
) -> None:
    made = bench.active()
    (port,) = demo.network.ports(device_id=made.id)
    shown = diagnosed(admin, made.id, "2.48").json()
    assert (shown["state"], shown["num_cpus"], shown["num_nics"]) == ("running", 1, 1)
    assert [nic["mac_address"] for nic in shown["nic_details"]] == [port.mac_address]
    assert shown["memory_details"] == {"maximum": 512, "used": None}
    assert diagnosed(admin, made.id, "2.47").json() == {"memory": 512 * 1024}
    assert diagnosed(demo, made.id, "2.48").status_code == 403


def test_a_server_that_does_not_run_has_none(bench: Workbench, admin: Connection) -> None:
    stopped = bench.active("stopped")
    bench.connection.compute.stop_server(stopped)
    bench.cloud.host.settle()
    building = bench.server("building")
    for server in (building, stopped):
        for version in ("2.1", "2.48"):
            assert diagnosed(admin, server.id, version).status_code == 409
    assert diagnosed(admin, "11111111-2222-4333-8444-555555555555", "2.48").status_code == 404
