"""A host is drained: its servers go to the other one with their disks, and come back, whatever of ours is killed or frozen.

KUMOI_MOVE_KILLS says in how many moves something is, KUMOI_MOVE_KILLS_SEED which of all; both are printed.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest
from tests.system.live import LiveCloud, eventually, live_cloud, pings, ssh_banner
from tests.system.moved import BOUND_S, FAULTS, Moved, counted, hurt, where
from tests.system.tenant import Tenant, tenant

from kumoi.config import HostSettings, read

KILLS = int(os.environ.get("KUMOI_MOVE_KILLS", "2"))
SEED = int(os.environ.get("KUMOI_MOVE_KILLS_SEED", "0")) or time.time_ns() % 1_000_000
PINGS = 6_000
MARKS = "sudo sh -c 'head -c 20000000 /dev/urandom > /big; ln /big /hard; mknod /pipe p; sync; md5sum /big'"
SEEN = "sudo sh -c 'md5sum /big; stat -c %h /hard; stat -c %F /pipe'"

pytestmark = [pytest.mark.system, pytest.mark.timeout(600 + 60 * KILLS)]


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveCloud]:
    home = tmp_path_factory.mktemp("home")
    with live_cloud("kdrain", home, ["--hosts", "2"]) as made:
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


@pytest.fixture
def moved(first: LiveCloud, second: LiveCloud, user: Tenant) -> Iterator[Moved]:
    server = user.server("moved")
    yield Moved({first.here.name: first, second.here.name: second}, first, server)
    user.cloud.compute.delete_server(server)
    user.cloud.compute.wait_for_delete(server, interval=0.1, wait=30)


def test_a_host_that_is_frozen_on_the_way_leaves_no_server_migrating(moved: Moved) -> None:
    with counted(moved):
        _, target = moved.begin()
        moved.at("starting")
        pid = moved.clouds[target].pid("agent")
        os.kill(pid, signal.SIGSTOP)
        try:
            eventually(
                lambda: where(moved.first, moved.server)[1] != "MIGRATING",
                within_s=BOUND_S,
                what="it is something else than on its way",
            )
        finally:
            os.kill(pid, signal.SIGCONT)
        assert moved.ended() == target


@pytest.fixture
def balanced(user: Tenant, moved: Moved) -> Iterator[Moved]:
    """Its way has all steps: it is waited for until its connections have ended, and until it listens again."""
    (port,) = user.cloud.network.ports(device_id=moved.server.id)
    moved.port_id = port.id
    address = user.floating(moved.server)
    eventually(lambda: ssh_banner(address), within_s=BOUND_S, what="it listens")
    end = {"address": user.address(moved.server), "protocol_port": 22}
    pool = {"protocol": "TCP", "lb_algorithm": "ROUND_ROBIN", "members": [end]}
    listener = {"protocol": "TCP", "protocol_port": 2222, "default_pool": pool}
    balancing = user.cloud.load_balancer
    made = balancing.create_load_balancer(vip_subnet_id=user.subnet.id, listeners=[listener])
    yield moved
    balancing.delete_load_balancer(made.id, cascade=True)


def test_whoever_is_killed_or_frozen_at_a_step_the_server_is_on_one_host_in_the_end(
    balanced: Moved, record_property: Callable[[str, object], None]
) -> None:
    sys.stdout.write(f"KUMOI_MOVE_KILLS_SEED={SEED}\n")
    dice = Random(SEED)
    with counted(balanced):
        for turn in range(KILLS):
            if turn % len(FAULTS) == 0:
                dice.shuffle(FAULTS)
            sys.stdout.write(f"{turn}: {hurt(balanced, FAULTS[turn % len(FAULTS)])}\n")
            sys.stdout.flush()
    record_property("moves", KILLS)
    record_property("looks", len(balanced.counts))


def test_servers_come_back_in_another_order(
    first: LiveCloud, second: LiveCloud, user: Tenant
) -> None:
    """Each has other user ids than it had there before, some of them another's of then."""
    clouds = {first.here.name: first, second.here.name: second}
    first.kumoi("host", "drain", second.here.name, timeout_s=120)
    both = [Moved(clouds, first, user.server(name)) for name in ("one", "two")]
    first.kumoi("host", "undrain", second.here.name)
    for one in (*both, *reversed(both)):
        _, target = one.begin()
        assert one.ended() == target
    for one in both:
        user.cloud.compute.delete_server(one.server)


def test_an_interrupted_drain_goes_on_and_the_switch_is_nobodys_afterwards(
    first: LiveCloud, second: LiveCloud, user: Tenant, moved: Moved
) -> None:
    host = second.here.name
    if where(first, moved.server)[0] != host:
        moved.begin()
        moved.ended()
    address = user.floating(moved.server)
    words = [sys.executable, "-m", "kumoi.main", "host", "drain", host]
    words += ["--name", first.config.name, "--state-dir", str(first.here.state_dir)]
    with subprocess.Popen(words, env=first.env, stdout=subprocess.PIPE, text=True) as draining:
        eventually(lambda: moved.step() != "", within_s=BOUND_S, what="it moves")
        draining.send_signal(signal.SIGINT)
        out, _ = draining.communicate(timeout=30)
    assert draining.returncode == 130, out
    assert "interrupted" in out
    done = json.loads(first.kumoi("host", "drain", host, "--json", timeout_s=120).out)
    assert {each["outcome"] for each in done["servers"]} <= {"moved"}
    assert moved.ended() == first.here.name

    eventually(lambda: ssh_banner(address), within_s=BOUND_S, what="it answers")
    outside = user.cloud.network.get_router(user.router.id).external_gateway_info
    router = outside["external_fixed_ips"][0]["ip_address"]
    inside = first.init_pid(moved.server.id)
    with (
        pings(os.getpid(), address, PINGS) as to_server,
        pings(os.getpid(), router, PINGS) as to_router,
        pings(inside, first.config.public_address, PINGS) as to_outside,
    ):
        for unit in ("ovs-vswitchd", "ovn-controller", "ovs-db"):
            _killed(second, unit)
        for each in (to_server, to_router, to_outside):
            said = each.communicate(timeout=90)[0]
            assert f"{PINGS} received" in said, said
    first.kumoi("host", "undrain", host)


def _killed(cloud: LiveCloud, unit: str) -> None:
    before = cloud.pid(unit)
    os.kill(before, signal.SIGKILL)
    eventually(lambda: cloud.pid(unit) not in (0, before), within_s=BOUND_S, what=f"{unit} is back")
