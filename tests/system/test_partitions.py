"""Hosts are cut off at random, both sides alive: no server ever runs twice, and none is lost. Then one is lost with its
disk, just as it has acknowledged a push.

KUMOI_PARTITIONS says how many there are, KUMOI_PARTITIONS_SEED which; both are printed.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest
from keystoneauth1.exceptions import ClientException
from openstack.exceptions import SDKException
from tests.system import partitions
from tests.system.live import LiveCloud, eventually, live_cloud
from tests.system.partitions import Partition, Watcher
from tests.system.tenant import Tenant, tenant

from kumoi import addresses, members
from kumoi.base import process, trees
from kumoi.base.errors import KumoiError
from kumoi.config import CloudSettings, HostSettings, read
from kumoi.drill import pushes
from kumoi.hosts.cluster import databases, leases
from kumoi.hosts.units import keeper, running

HOW_MANY = int(os.environ.get("KUMOI_PARTITIONS", "2"))
SEED = int(os.environ.get("KUMOI_PARTITIONS_SEED", "0")) or time.time_ns() % 1_000_000
SERVERS = 6
SETTLED_S = 120.0
VERIFIED_S = 300.0
PUSHES = 3

pytestmark = [pytest.mark.system, pytest.mark.timeout(1_000 + 90 * HOW_MANY)]


class Field:
    """A cloud of four hosts, one of them without a control plane, a tenant with servers that are healed, and who looks at them."""

    def __init__(self, first: LiveCloud, user: Tenant) -> None:
        directories = [first.here.state, *(Path(f"{first.here.state}-{n}") for n in (2, 3, 4))]
        self.user = user
        self.cloud = read(CloudSettings, first.here.state).settings
        self.hosts = [read(HostSettings, each).settings for each in directories]
        self.watcher = Watcher([host.name for host in self.hosts])
        self.stopped_s: list[float] = []
        self.elsewhere_s: list[float] = []
        self.at_stake = 0
        self._book = leases.open_book(self.cloud, self.hosts[0])
        self.servers: list[str] = []

    def fill(self) -> None:
        wanted = {"metadata": {"ha:policy": "rebuild"}}
        begun = [self.user.begin_server(f"s{number}", **wanted) for number in range(SERVERS)]
        self.servers = [self.user.settled(each).id for each in begun]

    def settle(self) -> None:
        """Each host has its lease, and each server runs where it is said to, and nowhere else."""
        eventually(self._is_settled, within_s=SETTLED_S, what="all is well")

    def clear(self) -> None:
        for key in self.servers:
            self.user.cloud.compute.delete_server(key)
        eventually(
            lambda: not any(self.watcher.hosts_of(key) for key in self.servers),
            within_s=SETTLED_S,
            what="no server runs",
        )

    def follower(self) -> HostSettings:
        """A control host that leads no store, and is not the first."""
        leader = databases.look(self.cloud, self.hosts[0]).leader
        return next(host for host in self.hosts[1:3] if host.name != leader)

    def push(self, host: HostSettings, folder: Path) -> tuple[str, str]:
        """To the pipeline of that host; the commit, and the run that the push was told of. Where no other host takes one in
        time, whoever pushes is told that it is on one disk, and pushes another.
        """
        (folder / "kumoi.yaml").write_text(pushes.FILE)
        auth = self.user.cloud.config.get_auth_args()
        at = addresses.url(addresses.own(self.cloud, host), self.cloud.pipeline_port)
        login = f"https://{auth['username']}:{auth['password']}@"
        where = f"{at.replace('https://', login)}/git/{auth['project_name']}/app.git"
        env = {
            "HOME": str(folder),
            "GIT_SSL_CAINFO": str(self.hosts[0].pki_dir / "ca.crt"),
            "GIT_TERMINAL_PROMPT": "0",
        }

        def git(*words: str) -> process.Completed:
            who = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
            return process.run(["git", *who, *words], cwd=folder, env=env, timeout_s=90)

        git("init", "--quiet", "--initial-branch=main", ".")
        git("add", "kumoi.yaml")
        for _ in range(PUSHES):
            git("commit", "--quiet", "--allow-empty", "-m", "a change")
            said = git("push", where, "main").err
            if "alone: no other control host took it" not in said:
                break
        commit = git("rev-parse", "HEAD").out.strip()
        found = re.search(r"remote: run ([0-9a-f]+) (?:started|waits)", said)
        assert found, said
        return commit, found[1]

    def lose(self, host: HostSettings) -> None:
        """Every process, the pipeline first, and what its control plane had on its disk."""
        ours = running.found(host.state_dir)
        for unit in sorted(ours, key=lambda unit: unit.name != "pipeline"):
            if unit.name in ("pipeline", "repositories", members.COPIES):
                os.kill(unit.pid, signal.SIGKILL)
        keeper.stop(self.cloud, host, at_once=True)
        for directory in (
            *(members.etcd_dir(host), members.postgres_dir(host), host.image_dir),
            *(host.state / "git", host.state / "ovn"),
        ):
            trees.remove(directory)

    def run_of(self, host: HostSettings, run_id: str) -> dict[str, Any]:
        """As the pipeline of that host says; nothing while it does not answer."""
        at = addresses.url(addresses.own(self.cloud, host), self.cloud.pipeline_port)
        with contextlib.suppress(ClientException, OSError):
            answer = self.user.cloud.session.request(f"{at}/pipeline/v1/runs/{run_id}", "GET")
            found: dict[str, Any] = answer.json()["run"]
            return found
        return {}

    def play(self, number: int, dice: Random) -> str:
        """One partition of a host that has servers. What it was and did."""
        busy = {host for key in self.servers for host in self.watcher.hosts_of(key)}
        host = dice.choice([each for each in self.hosts if each.name in busy])
        wanted = partitions.chosen(
            dice, has_control_link=partitions.has_control_link(self.cloud, host)
        )
        there = [key for key in self.servers if host.name in self.watcher.hosts_of(key)]
        self.at_stake += len(there)
        began_s = time.monotonic()
        with partitions.partitioned(self.cloud, host, wanted):
            time.sleep(wanted.seconds)
        self.settle()
        return self._tell(number, host.name, wanted, there, began_s)

    def _is_settled(self) -> bool:
        with contextlib.suppress(KumoiError, SDKException, ClientException, OSError):
            assert self._book is not None
            held = self._book.look().held
            said = {each.id: each for each in self.user.cloud.compute.servers()}
            return all(host.name in held for host in self.hosts) and all(
                self._is_where_said(said[key]) for key in self.servers
            )
        return False

    def _is_where_said(self, server: Any) -> bool:
        return server.status == "ACTIVE" and len(self.watcher.hosts_of(server.id)) == 1

    def _tell(
        self, number: int, host: str, wanted: Partition, there: list[str], began_s: float
    ) -> str:
        stopped = [self.watcher.stopped_after_s(key, host, began_s) for key in there]
        moved = [self.watcher.elsewhere_after_s(key, host, began_s) for key in there]
        self.stopped_s += [each for each in stopped if each is not None]
        self.elsewhere_s += [each for each in moved if each is not None]
        return (
            f"{number}: {host} without {wanted.cut} for {wanted.seconds} s, frozen {', '.join(wanted.frozen) or 'nothing'}:"
            f" of {len(there)} stopped {_seconds(stopped)}, elsewhere {_seconds(moved)},"
            f" well after {time.monotonic() - began_s:.1f} s, load {os.getloadavg()[0]:.0f}\n"
        )


def _seconds(found: list[float | None]) -> str:
    return " ".join(f"{each:.1f}" for each in found if each is not None) or "none"


@pytest.fixture(scope="module")
def field(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Field]:
    home = tmp_path_factory.mktemp("home")
    with live_cloud("kpart", home, ["--hosts", "4"]) as first:
        first.kumoi("cluster", "create", "--control-hosts", "3", timeout_s=500)
        again = LiveCloud(read(CloudSettings, first.here.state).settings, first.here, home)
        with tenant(again, "part", tmp_path_factory.mktemp("user")) as user:
            user.wire("192.168.79.0/24")
            made = Field(again, user)
            with made.watcher.looking():
                made.fill()
                made.settle()
                yield made


def test_no_server_runs_twice_and_none_is_lost(
    field: Field, record_property: Callable[[str, object], None]
) -> None:
    dice = Random(SEED)
    sys.stdout.write(f"KUMOI_PARTITIONS_SEED={SEED}\n")
    for number in range(HOW_MANY):
        sys.stdout.write(field.play(number, dice))
        sys.stdout.flush()
        assert not field.watcher.twice, (SEED, field.watcher.twice)
    figures = {
        "partitions": HOW_MANY,
        "servers_at_stake": field.at_stake,
        "looks": field.watcher.looks,
        "widest_s": round(field.watcher.widest_s, 2),
        "stopped_s": _range(field.stopped_s),
        "elsewhere_s": _range(field.elsewhere_s),
    }
    for name, figure in figures.items():
        record_property(name, figure)
    sys.stdout.write(f"{figures}\n")
    assert field.at_stake
    assert field.watcher.looks > 5 * HOW_MANY


def _range(found: list[float]) -> str:
    if not found:
        return "none"
    return (
        f"{len(found)}: {min(found):.1f} to {max(found):.1f}, median {statistics.median(found):.1f}"
    )


def test_a_push_that_was_acknowledged_outlives_its_host_and_that_hosts_disk(
    field: Field, tmp_path: Path
) -> None:
    """The last one: afterwards one control host of three is lost. Its servers would be another matter, so it has none."""
    field.clear()
    lost = field.follower()
    (other,) = (host for host in field.hosts[1:3] if host != lost)
    with field.user.live.connect(admin=True) as admin:
        service = next(each for each in admin.compute.services() if each.host == lost.name)
        admin.compute.disable_service(service)
    commit, run_id = field.push(lost, tmp_path)
    field.lose(lost)

    def ended() -> dict[str, Any]:
        found = field.run_of(other, run_id)
        return found if found.get("ended_at") else {}

    found = eventually(ended, within_s=VERIFIED_S, what="the run ends")
    assert (found["status"], found["commit"]) == ("verified", commit), found
