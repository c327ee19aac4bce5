"""A host is drained: its server goes to the other one with its disk, and comes back, whatever agent is killed."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.system.conftest import free_slot
from tests.system.live import LiveCloud, eventually, live_cloud, ssh_banner
from tests.system.tenant import Tenant, tenant

from kumoi.config import HostSettings, read

pytestmark = [pytest.mark.system, pytest.mark.timeout(600)]

BOUND_S = 60.0
MARKS = "sudo sh -c 'head -c 20000000 /dev/urandom > /big; ln /big /hard; mknod /pipe p; sync; md5sum /big'"
SEEN = "sudo sh -c 'md5sum /big; stat -c %h /hard; stat -c %F /pipe'"


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveCloud]:
    home = tmp_path_factory.mktemp("home")
    with (
        free_slot() as slot,
        live_cloud(f"kdrain{slot}", 230 + slot, home, ["--hosts", "2"]) as made,
    ):
        yield made


@pytest.fixture(scope="module")
def second(first: LiveCloud) -> LiveCloud:
    here = read(HostSettings, Path(f"{first.here.state_dir}-2")).settings
    return LiveCloud(first.config, here, first.config_home)


@pytest.fixture(scope="module")
def user(first: LiveCloud, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tenant]:
    with tenant(first, "drain", tmp_path_factory.mktemp("user")) as user:
        user.wire("192.168.78.0/24")
        yield user


def where(cloud: LiveCloud, server: Any) -> tuple[str, str]:
    with cloud.connect(admin=True) as admin:
        found = admin.compute.get_server(server.id)
        return found.compute_host, found.status


def running_on(server: Any, *clouds: LiveCloud) -> list[str]:
    """The hosts with a process in the server's control group: looked at from outside."""
    found = []
    for cloud in clouds:
        groups = Path("/sys/fs/cgroup").glob(f"**/{cloud.here.name}.servers/**/cgroup.procs")
        with contextlib.suppress(OSError):
            if any(server.id in str(group) and group.read_text().strip() for group in groups):
                found.append(cloud.here.name)
    return found


def test_a_server_leaves_a_drained_host_and_keeps_what_it_is(
    first: LiveCloud, second: LiveCloud, user: Tenant
) -> None:
    server = user.server("kept")
    address = user.floating(server)
    eventually(lambda: ssh_banner(address), within_s=BOUND_S, what="the server answers")
    written = user.ssh(address, MARKS).out.split()[0]
    source, _ = where(first, server)
    target = {first.here.name, second.here.name} - {source}
    assert running_on(server, first, second) == [source]

    done = first.kumoi("host", "drain", source, timeout_s=120)
    assert re.search(r"paused for \d+\.\d+ s", done.out), done.out
    assert where(first, server) == (target.pop(), "ACTIVE")
    eventually(lambda: ssh_banner(address), within_s=BOUND_S, what="it answers there")
    assert user.ssh(address, SEEN).out.split() == [written, "/big", "2", "fifo"]
    assert source not in running_on(server, first, second)
    listed = json.loads(first.kumoi("host", "list", "--json").out)
    assert {row["name"]: (row["status"], row["servers"]) for row in listed}[source] == (
        "disabled",
        0,
    )

    # And back, both agents killed on the way.
    first.kumoi("host", "undrain", source)
    now, _ = where(first, server)
    with first.connect(admin=True) as admin:
        body = {"os-migrateLive": {"host": source, "block_migration": "auto"}}
        path = f"/servers/{server.id}/action"
        eventually(
            lambda: admin.compute.post(path, json=body, microversion="2.80").ok,
            within_s=BOUND_S,
            what="the former host has removed it",
        )
    for cloud in (first, second):
        os.kill(cloud.pid("agent"), signal.SIGKILL)
    eventually(
        lambda: where(first, server) == (source, "ACTIVE"), within_s=BOUND_S, what="it is back"
    )
    eventually(lambda: ssh_banner(address), within_s=BOUND_S, what="it answers again")
    assert user.ssh(address, SEEN).out.split()[0] == written
    assert now not in running_on(server, first, second)
    assert len(running_on(server, first, second)) == 1
