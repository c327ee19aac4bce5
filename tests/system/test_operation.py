"""What can be reached is what `kumoi exposure` says; and what a whole cloud's down and up keep."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.system.live import LiveCloud, eventually
from tests.system.tenant import Tenant, tenant

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]

PORTS = 10_000
SCAN = f"""
import socket, sys
found = []
for port in range(1, {PORTS} + 1):
    with socket.socket() as tried:
        tried.settimeout(2)
        if tried.connect_ex((sys.argv[1], port)) == 0:
            found.append(port)
print(*found)
"""
DOWN_S, PURGE_S = 5.0, 8.0  # On a quiet machine; the tests' bound is wider.
BUSY = 4


@pytest.fixture
def customer(live: LiveCloud, tmp_path: Path) -> Iterator[Tenant]:
    with tenant(live, "exposure", tmp_path) as made:
        made.wire("10.77.0.0/24")
        yield made


def test_a_tenant_finds_open_just_what_exposure_tells(live: LiveCloud, customer: Tenant) -> None:
    server = customer.server("scanner")
    floating = customer.floating(server)
    eventually(lambda: reaches_outside(customer, server), within_s=30, what="the gateway")
    exposure = json.loads(live.kumoi("exposure", "--json").out)
    scanned = customer.root(server, "python3", "-c", SCAN, live.config.public_address).out
    found = {int(word) for word in scanned.split()}
    assert found == {live.config.api_port, live.config.pipeline_port}
    opened = [endpoint for endpoint in exposure["endpoints"] if "tenants" in endpoint["reached_by"]]
    assert {item["port"] for item in opened} == found
    assert {endpoint["unit"] for endpoint in exposure["endpoints"]} == {"api", "pipeline"}
    (host_api,) = [
        endpoint
        for endpoint in exposure["endpoints"]
        if endpoint["port"] == live.config.host_api_port
    ]
    assert host_api["reached_by"].startswith("the underlay")

    (mine,) = [
        floating_ip
        for floating_ip in exposure["floating_ips"]
        if floating_ip["address"] == floating
    ]
    assert mine["server"] == "scanner"
    assert mine["opened"] == ["icmp from 0.0.0.0/0", "tcp 22 from 0.0.0.0/0"]
    assert "exposure" in {
        router_gateway["router"] for router_gateway in exposure["router_gateways"]
    }
    assert exposure["service_ports"] == {}
    assert exposure["tenant_networks"] >= 1


def reaches_outside(customer: Tenant, server: Any) -> bool:
    address = customer.live.config.public_address
    return customer.root(server, "ping", "-c1", "-W1", address, check=False).status == 0


def test_down_halts_servers_cleanly_and_up_brings_back_those_that_ran(
    live: LiveCloud, customer: Tenant
) -> None:
    ran, stopped = customer.server("ran"), customer.server("stopped")
    customer.cloud.compute.stop_server(stopped)
    customer.settled(stopped, "SHUTOFF")
    floating = customer.floating(ran)
    eventually(
        lambda: customer.ssh(floating, "true", check=False).status == 0, within_s=30, what="SSH"
    )
    farewell = (
        "[Service]\\nType=oneshot\\nRemainAfterExit=yes\\nExecStop=/usr/bin/touch /farewell\\n"
    )
    customer.root(
        ran, "sh", "-c",
        f"printf '{farewell}' > /etc/systemd/system/farewell.service"
        " && systemctl daemon-reload && systemctl start farewell",
    )  # fmt: skip
    down = live.kumoi("down")
    assert down.seconds < DOWN_S * BUSY
    assert live.here.state_dir not in Path("/proc/self/mountinfo").read_text()
    live.kumoi("up", timeout_s=180)
    eventually(
        lambda: customer.ssh(floating, "test -e /farewell", check=False).status == 0,
        within_s=60,
        what="the server that ran is back, and had time to say farewell",
    )
    statuses = {server.name: server.status for server in customer.cloud.compute.servers()}
    assert statuses == {"ran": "ACTIVE", "stopped": "SHUTOFF"}


def test_logs_are_shown_by_the_name_of_the_process(live: LiveCloud) -> None:
    assert '"role": "api"' in live.kumoi("logs", "api").out
    refused = live.kumoi("logs", "nothing", check=False)
    assert refused.status == 1
    assert refused.err.startswith("kumoi: there is no log of nothing: agent, api,")
