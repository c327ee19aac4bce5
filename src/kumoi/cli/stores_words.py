"""What `status` tells of a cluster's stores while nobody can write to them: what is lost by it, and what goes on."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from kumoi import members
from kumoi.config import CloudSettings, HostSettings
from kumoi.hosts.cluster import leases, succession

GOES_ON = (
    "Servers, their networks and floating IPs go on, and the APIs show what was there. Nothing can be created, changed "
    "or deleted, no host that is lost is healed, and no pushed commit is run"
)


@dataclass(frozen=True, slots=True)
class ShownStores:
    """By their hosts' names: `leader` of PostgreSQL is "" when none takes writes, `etcd` are the members that know who
    leads it. `words` are what an operator must know; none where all is well. `lacks` is what they lack to bear the loss of
    a host.
    """

    leader: str
    etcd: tuple[str, ...]
    words: tuple[str, ...]
    lacks: tuple[str, ...] = ()


def look(cloud: CloudSettings, host: HostSettings) -> ShownStores:
    if not members.have_stores(cloud) or cloud.control_host(host.name) is None:
        return ShownStores("", (), ())
    try:
        client = leases.open_etcd(cloud, host)
    except OSError as error:  # Root's alone, or of a host that has not come up yet.
        return ShownStores("", (), (f"The stores cannot be asked: {error}",))
    with contextlib.closing(client), ThreadPoolExecutor(2) as threads:
        asked = threads.submit(client.answering)
        found = succession.look(cloud, host)
        said = {member.partition(":")[0]: leads for member, leads in asked.result().items()}
    answering = [each.name for each in cloud.control_hosts if each.address in said]
    led = tuple(each.name for each in cloud.control_hosts if said.get(each.address))
    said_of_all = words(cloud, found.leader, led, answering)
    return ShownStores(found.leader, led, said_of_all, found.missing if found.leader else ())


def words(
    cloud: CloudSettings, leader: str, led: Sequence[str], answering: Sequence[str]
) -> tuple[str, ...]:
    """Of etcd's members, `led` know a leader. One that is away is among the processes that do not answer, while others
    are enough.
    """
    hosts = [each.name for each in cloud.control_hosts]
    away = [name for name in hosts if name not in answering]
    most = len(hosts) // 2 + 1
    found = []
    if len(led) < most and len(answering) < most:
        found.append(
            f"etcd has no majority: {_and(away)} of {len(hosts)} do not answer. Start it again on {most - len(answering)} of "
            "them at least (sudo ./kumoi up there; sudo ./kumoi logs etcd says why it is away)"
        )
    elif len(led) < most:
        found.append(
            "etcd has no leader, though most of its members answer: they do not reach each other, or choose one just now"
        )
    if not leader:
        why = (
            "until etcd has a majority"
            if len(led) < most
            else "yet: another is chosen within half a minute"
        )
        found.append(f"PostgreSQL takes no changes {why}. {GOES_ON}")
    return tuple(found)


def lacking(stores: ShownStores) -> tuple[str, ...]:
    """What an operator must know of stores that take changes now, and would not if a host were lost."""
    if not stores.lacks:
        return ()
    return (f"The stores do not bear the loss of a host now, they lack: {'; '.join(stores.lacks)}",)


def _and(names: list[str]) -> str:
    *others, last = names
    return f"{', '.join(others)} and {last}" if others else last
