"""A host is drained: its servers go to the other one with their disks, and come back, whatever of ours is killed or frozen."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from tests.system.live import LiveCloud, eventually, live_cloud, pings, ssh_banner
from tests.system.tenant import Tenant, tenant

from kumoi.config import HostSettings, read
from kumoi.engine import sqlite

pytestmark = [pytest.mark.system, pytest.mark.timeout(600)]

BOUND_S = 60.0
COUNT_EVERY_S = 0.1
PINGS = 6_000
MARKS = "sudo sh -c 'head -c 20000000 /dev/urandom > /big; ln /big /hard; mknod /pipe p; sync; md5sum /big'"
SEEN = "sudo sh -c 'md5sum /big; stat -c %h /hard; stat -c %F /pipe'"


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


@dataclass
class Moved:
    """A server between two hosts, looked at in the store and from outside."""

    clouds: dict[str, LiveCloud]
    first: LiveCloud
    server: Any
    counts: list[int] = field(default_factory=list)

    def step(self) -> str:
        file = Path(self.first.here.state_dir) / "cloud/cloud.db"
        with contextlib.closing(sqlite.driver().connect(f"file:{file}?mode=ro", uri=True)) as store:
            query = "SELECT moving FROM server WHERE id = ?"
            return str(store.execute(query, [self.server.id]).fetchone()[0])

    def begin(self) -> tuple[str, str]:
        """From where to where."""
        source, _ = where(self.first, self.server)
        (target,) = self.clouds.keys() - {source}
        body = {"os-migrateLive": {"host": target, "block_migration": "auto"}}
        path = f"/servers/{self.server.id}/action"
        with self.first.connect(admin=True) as admin:
            eventually(
                lambda: admin.compute.post(path, json=body, microversion="2.80").ok,
                within_s=BOUND_S,
                what="its move begins",
            )
        return source, target

    def at(self, step: str) -> None:
        """Or later, where the step was too short to be seen."""
        order = [
            "copying", "emptying", "stopping", "finishing", "starting", "settling", "leaving", "",
        ]  # fmt: skip
        eventually(
            lambda: order.index(self.step()) >= order.index(step), within_s=BOUND_S, what=step
        )

    def ended(self, status: str = "ACTIVE") -> str:
        """Where it is, once nothing of the move is left anywhere."""
        eventually(
            lambda: self.step() == "" and where(self.first, self.server)[1] == status,
            within_s=BOUND_S,
            what="the move has ended",
        )
        now, _ = where(self.first, self.server)
        with contextlib.suppress(TimeoutError):
            eventually(lambda: self.left(now) == [], within_s=15, what="nothing is left")
        assert self.left(now) == []
        return now

    def left(self, now: str) -> list[str]:
        found = []
        for name, cloud in self.clouds.items():
            for kind in ("arrivals", "servers"):
                place = cloud.here.agent_dir / "lxc" / kind / self.server.id
                if place.exists() and (kind, name) != ("servers", now):
                    found.append(str(place))
        return found

    def running(self) -> int:
        """On how many hosts a process is in its control group."""
        found = 0
        for name in self.clouds:
            groups = Path("/sys/fs/cgroup").glob(f"*/{name}.servers/{self.server.id}/cgroup.events")
            for group in (
                *groups,
                Path(f"/sys/fs/cgroup/{name}.servers/{self.server.id}/cgroup.events"),
            ):
                with contextlib.suppress(OSError):
                    found += "populated 1" in group.read_text()
        return found


@contextlib.contextmanager
def counted(moved: Moved) -> Iterator[None]:
    """Looked at all the time; never on two hosts."""
    over = threading.Event()

    def count() -> None:
        while not over.wait(COUNT_EVERY_S):
            moved.counts.append(moved.running())

    counting = threading.Thread(target=count)
    counting.start()
    try:
        yield
    finally:
        over.set()
        counting.join()
    assert max(moved.counts) == 1
    assert min(moved.counts) == 0  # It was seen to stop: so both hosts are looked at.


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
