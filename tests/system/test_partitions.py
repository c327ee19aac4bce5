"""Hosts are cut off at random, both sides alive: no server ever runs twice, and none is lost.

KUMOI_PARTITIONS says how many there are, KUMOI_PARTITIONS_SEED which; both are printed.
"""

from __future__ import annotations

import contextlib
import os
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

from kumoi.base.errors import KumoiError
from kumoi.config import CloudSettings, HostSettings, read
from kumoi.hosts.cluster import leases

HOW_MANY = int(os.environ.get("KUMOI_PARTITIONS", "2"))
SEED = int(os.environ.get("KUMOI_PARTITIONS_SEED", "0")) or time.time_ns() % 1_000_000
SERVERS = 6
SETTLED_S = 120.0
ELSEWHERE_S = 30.0

pytestmark = [pytest.mark.system, pytest.mark.timeout(500 + 90 * HOW_MANY)]


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
    words = ["--hosts", "4", "--without", "pipeline"]
    with live_cloud("kpart", home, words) as first:
        first.kumoi("cluster", "create", "--control-hosts", "3", timeout_s=300)
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
