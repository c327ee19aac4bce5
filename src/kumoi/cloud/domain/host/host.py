"""Hosts: a host registers itself with its first hello, and counts as up while it is heard of.

How much of it servers may claim its operator decides (hostapi.hello.Allocation): no more memory than
there is, unless its `ram_allocation_ratio` says so.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
from sqlalchemy.engine import Connection

import kumoi
from kumoi.base import log
from kumoi.base.errors import NotFound
from kumoi.base.ids import new_id
from kumoi.base.release import numbers
from kumoi.cloud.domain.host import cluster_version
from kumoi.cloud.hostapi.hello import HostHello
from kumoi.cloud.hostapi.hello import refusal as refusal_of
from kumoi.cloud.store.host import host as store
from kumoi.cloud.store.host.host import DOWN, UP, Host
from kumoi.cloud.store.network.standard import TOPIC as NETWORK_TOPIC
from kumoi.engine import feed

ZONE = "nova"  # The availability zone of hosts that no aggregate puts into another.
CLAIMABLE_MAX = 2**31 - 1  # As much as a column holds.
HEARD_ALL = timedelta(seconds=15)  # A host says hello every 10 s.


def is_news(connection: Connection, host_id: str, hello: HostHello) -> bool:
    """Whether the hello says more than that the host is alive."""
    row = store.get(connection, host_id)
    if row is None or row.state != UP:
        return True
    return any(getattr(row, name) != value for name, value in _facts(hello).items())


def beat(connection: Connection, host_id: str, now: datetime) -> None:
    """Note that the host is alive."""
    store.update(connection, host_id, seen_at=now)


def register(connection: Connection, host_id: str, hello: HostHello, now: datetime) -> Host:
    """Insert or update the host, which is up."""
    row = store.get(connection, host_id)
    facts = _facts(hello)
    if row is None:
        row = _new(connection, host_id, now)
        store.insert(connection, row)
        feed.touch(connection, NETWORK_TOPIC, host_id)  # It may lead outside.
        log.event("host.registered", host=host_id, vcpus=hello.vcpus, ram_mib=hello.ram_mib)
    elif row.state != UP:
        feed.touch(connection, NETWORK_TOPIC, host_id)
        log.event("host.returned", host=host_id)
    free = {
        name: most - claimed
        for (name, most), claimed in zip(
            _claimable(hello).items(),
            (row.vcpus_claimed, row.ram_claimed_mib, row.disk_claimed_gib),
            strict=True,
        )
    }
    since = row.updated_at if row.state == UP else now  # Not of its facts: see leading_outside.
    store.update(connection, host_id, state=UP, seen_at=now, updated_at=since, **facts, **free)
    return get(connection, host_id)


def refusal(connection: Connection, hello: HostHello) -> str:
    """Why the host may not act; empty when it may."""
    return _refusal(connection, protocol=hello.protocol, release=hello.release)


def refused(connection: Connection, host_id: str) -> str:
    """The same, by the latest hello of a host."""
    row = store.get(connection, host_id)
    if row is None:
        return ""
    return _refusal(connection, protocol=row.protocol, release=row.version)


def _refusal(connection: Connection, *, protocol: int, release: str) -> str:
    """The store is asked about an older host alone."""
    own = kumoi.__version__
    is_older = numbers(release) < numbers(own)
    return refusal_of(
        protocol=protocol,
        release=release,
        own_release=own,
        finalized=cluster_version.release(connection) if is_older else "",
    )


def note_refused(connection: Connection, host_id: str, hello: HostHello) -> None:
    """Keep the release of a host that may not act."""
    store.update(connection, host_id, version=hello.release, protocol=hello.protocol)
    log.warning("host.refused", host=host_id, release=hello.release, protocol=hello.protocol)


def change(connection: Connection, key: str, values: Mapping[str, Any], now: datetime) -> Host:
    """Set what an administrator decides about a host: enabled, disabled_reason, forced_down."""
    store.update(connection, key, **values, updated_at=now)
    feed.touch(connection, NETWORK_TOPIC, key)
    return get(connection, key)


def mark_silent(connection: Connection, *, before: datetime, now: datetime) -> list[str]:
    """Mark hosts that were last heard of before that time as down; gives their ids."""
    silent = store.fell_silent(connection, before=before)
    for host_id in silent:
        store.update(connection, host_id, state=DOWN, updated_at=now)
        feed.touch(connection, NETWORK_TOPIC, host_id)
        log.warning("host.fell_silent", host=host_id)
    return silent


def leading_outside(hosts: Sequence[Host], now: datetime) -> list[Host]:
    """Those that may be a router's gateway: of those with a way outside all but the lost ones, and but those out of service while there are
    others. Of two hosts, OVN leaves the way outside at the one that is lost: the other, with no tunnel to
    anybody, takes itself for cut off.

    After an outage of the control plane itself hosts come back one after the other: none is lost
    before another has been up for HEARD_ALL, in which each would have said hello.
    """
    steady = [row for row in hosts if _is_well(row) and now - row.updated_at >= HEARD_ALL]
    known = [row for row in hosts if row.leads_outside and (_is_well(row) or not steady)]
    in_service = [row for row in known if row.enabled]
    return in_service if any(_is_well(row) for row in in_service) else known


def _is_well(row: Host) -> bool:
    return row.state == UP and not row.forced_down


def get(connection: Connection, key: str) -> Host:
    """Raises NotFound."""
    row = store.get(connection, key)
    if row is None:
        raise NotFound("host", key)
    return row


def every(connection: Connection) -> list[Host]:
    return store.every(connection)


def _facts(hello: HostHello) -> dict[str, Any]:
    """The columns that a hello sets."""
    return {
        "version": hello.release,
        "protocol": hello.protocol,
        "hostname": hello.hostname,
        "address": hello.address,
        "drivers": list(hello.drivers),
        "offers": msgspec.to_builtins(hello.offers),
        "allocation": msgspec.to_builtins(hello.allocation),
        "vcpus": hello.vcpus,
        "ram_mib": hello.ram_mib,
        "disk_gib": hello.disk_gib,
        "ready_images": list(hello.ready_images),
        "leads_outside": hello.leads_outside,
        "booted_at": None
        if hello.booted_at is None
        else datetime.fromtimestamp(hello.booted_at, UTC),
    }


def _claimable(hello: HostHello) -> dict[str, int]:
    """How much servers may claim, by the columns of what is free."""
    allowed = hello.allocation
    ram_mib = max(0, hello.ram_mib - allowed.ram_reserved_mib)
    disk_gib = max(0, hello.disk_gib - allowed.disk_reserved_gib)
    most = {
        "vcpus_free": hello.vcpus * allowed.cpu_ratio,
        "ram_free_mib": ram_mib * allowed.ram_ratio,
        "disk_free_gib": disk_gib * allowed.disk_ratio,
    }
    return {name: min(int(value), CLAIMABLE_MAX) for name, value in most.items()}


def _new(connection: Connection, host_id: str, now: datetime) -> Host:
    """A row without capacity; the hello fills that in."""
    return Host(
        id=host_id,
        uuid=new_id(),
        number=store.next_number(connection),
        state=UP,
        enabled=True,
        disabled_reason="",
        forced_down=False,
        version="",
        hostname=host_id,
        drivers=[],
        vcpus=0,
        ram_mib=0,
        disk_gib=0,
        vcpus_claimed=0,
        ram_claimed_mib=0,
        disk_claimed_gib=0,
        servers_claimed=0,
        vcpus_free=0,
        ram_free_mib=0,
        disk_free_gib=0,
        ready_images=[],
        created_at=now,
        updated_at=now,
        seen_at=now,
    )
