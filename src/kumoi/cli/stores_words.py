"""What `status` tells of a cluster's stores while nobody can write to them: what is lost by it, and what goes on."""

from __future__ import annotations

import contextlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from kumoi import members
from kumoi.config import CloudSettings, HostSettings
from kumoi.hosts.cluster import databases, leases

GOES_ON = (
    "Servers, their networks and floating IPs go on, and the APIs show what was there. Nothing can be created, changed "
    "or deleted, no host that is lost is healed, and no pushed commit is run"
)


@dataclass(frozen=True, slots=True)
class ShownStores:
    """By their hosts' names: `leader` of PostgreSQL is "" when none takes writes, `etcd` are the members that know who
    leads it. `words` are what an operator must know; none where all is well.
    """

    leader: str
    etcd: tuple[str, ...]
    words: tuple[str, ...]


def look(cloud: CloudSettings, host: HostSettings) -> ShownStores:
    if not members.have_stores(cloud) or cloud.control_host(host.name) is None:
        return ShownStores("", (), ())
    try:
        client = leases.open_etcd(cloud, host)
    except OSError as error:  # Root's alone, or of a host that has not come up yet.
        return ShownStores("", (), (f"The stores cannot be asked: {error}",))
    with contextlib.closing(client), ThreadPoolExecutor(2) as threads:
        asked = threads.submit(client.with_leader)
        found = databases.look(cloud, host)
        answering = {each.partition(":")[0] for each in asked.result()}
    etcd = tuple(each.name for each in cloud.control_hosts if each.address in answering)
    return ShownStores(found.leader, etcd, words(cloud, found.leader, etcd))


def words(cloud: CloudSettings, leader: str, etcd: tuple[str, ...]) -> tuple[str, ...]:
    """A member of etcd that is away is among the processes that do not answer, while others are enough."""
    hosts = [each.name for each in cloud.control_hosts]
    away = [name for name in hosts if name not in etcd]
    most = len(hosts) // 2 + 1
    found = []
    if len(etcd) < most:
        found.append(
            f"etcd has no majority: {_and(away)} of {len(hosts)} do not answer, or have lost the others. Start it again on "
            f"{most - len(etcd)} of them at least (sudo ./kumoi up there; sudo ./kumoi logs etcd says why it is away)"
        )
    if not leader:
        why = (
            "until etcd has a majority" if found else "yet: another is chosen within half a minute"
        )
        found.append(f"PostgreSQL takes no changes {why}. {GOES_ON}")
    return tuple(found)


def _and(names: list[str]) -> str:
    *others, last = names
    return f"{', '.join(others)} and {last}" if others else last
