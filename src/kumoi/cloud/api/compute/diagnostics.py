"""Diagnostics of a server: what it has. What it uses no host tells, so that is null."""

from __future__ import annotations

from typing import Any

from kumoi.base.errors import Conflict
from kumoi.cloud.api.request import Request
from kumoi.cloud.domain.compute import networking, server, status
from kumoi.cloud.store.compute.server import Server
from kumoi.cloud.store.network.port import Port
from kumoi.engine.http.request import Reply

V_ONE_FORM = (2, 48)
KIB = 1_024
DRIVER = (
    "libvirt"  # Of the words that the schema has, the one for containers and machines on Linux.
)
COUNTERS = ("octets", "errors", "drop", "packets", "rate")
OF_NIC = {f"{way}_{name}": None for way in ("rx", "tx") for name in COUNTERS}
OF_DISK = dict.fromkeys(
    ("read_bytes", "read_requests", "write_bytes", "write_requests", "errors_count")
)


def show(request: Request) -> Reply:
    """Raises Conflict for a server that does not run."""
    with request.read() as connection:
        row = server.get(connection, request.caller, request.path["id"])
        if status.of(row).power_state != status.RUNNING:
            raise Conflict(f"Instance {row.id} does not run, so there is nothing to diagnose.")
        ports = networking.ports_of(connection, row)
    if request.microversion < V_ONE_FORM:
        return Reply(200, {"memory": row.ram_mib * KIB})
    return Reply(200, _render(row, ports))


def _render(row: Server, ports: list[Port]) -> dict[str, Any]:
    cpu = {"id": None, "time": None, "utilisation": None}
    return {
        "state": "running",
        "driver": DRIVER,
        "hypervisor": row.driver,
        "hypervisor_os": "linux",
        "uptime": None,
        "config_drive": row.config_drive,
        "num_cpus": row.vcpus,
        "num_nics": len(ports),
        "num_disks": 1,
        "cpu_details": [{**cpu, "id": place} for place in range(row.vcpus)],
        "nic_details": [{"mac_address": port.mac_address, **OF_NIC} for port in ports],
        "disk_details": [OF_DISK],
        "memory_details": {"maximum": row.ram_mib, "used": None},
    }
