"""Reconciler: gives each balancer that needs stations its places on hosts.

A host that is lost loses them to another, where there is one that has none of the balancer yet;
with no other host the station waits for its host to return. Runs in the worker under a lease.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from sqlalchemy.engine import Connection

from kumoi.base import log
from kumoi.base.ids import new_id
from kumoi.base.release import numbers
from kumoi.cloud.domain.load_balancer import stationing, tree
from kumoi.cloud.domain.load_balancer.tree import BalancerTree
from kumoi.cloud.scheduler import station as scheduler
from kumoi.cloud.store.host import host as host_store
from kumoi.cloud.store.load_balancer import load_balancer as store
from kumoi.cloud.store.load_balancer import station as station_store
from kumoi.cloud.store.load_balancer.station import Station
from kumoi.cloud.store.network import standard
from kumoi.engine import db, feed
from kumoi.engine.db import Database
from kumoi.engine.position import Position

FIRST_RELEASE = (0, 3)
"""The first whose hosts know this kind of thing."""


@dataclass(frozen=True, slots=True)
class _StationChange:
    """Of one balancer: the stations that go, and the hosts that get one."""

    balancer_id: str
    gone: tuple[Station, ...]
    hosts: tuple[str, ...]
    kept: tuple[Station, ...]


class StationReconciler:
    """One `round` at a time, from one thread."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._seen = Position()

    def round(self) -> None:
        """Looks first, and writes only when there is something to write."""
        with self._database.read() as connection:
            now = feed.position(connection)
            changed = feed.changes(connection, standard.TOPIC, since=self._seen.revision)
            is_due = bool(changed.keys) or not now.continues(self._seen)
            if not is_due or not _changes(connection):
                self._seen = now
                return
        with self._database.write() as connection:
            for change in _changes(connection):
                _make(connection, change)


def _changes(connection: Connection) -> list[_StationChange]:
    trees = tree.every(connection)
    if not any(one.stations or stationing.is_stationed(one) for one in trees):
        return []
    hosts = [row for row in host_store.every(connection) if row.is_up]
    able = {row.id for row in hosts if row.enabled and numbers(row.version) >= FIRST_RELEASE}
    up = {row.id for row in hosts}
    loads = Counter(row.host_id for one in trees for row in one.stations)
    changes = []
    for one in trees:
        change = _change(one, {host: loads[host] for host in able}, up)
        if change.gone or change.hosts:
            changes.append(change)
            loads.update(change.hosts)
    return changes


def _change(one: BalancerTree, loads: dict[str, int], up: set[str]) -> _StationChange:
    """Those on lost hosts go as soon as there is another host for any of them."""
    if not stationing.is_stationed(one):
        return _StationChange(one.balancer.id, tuple(one.stations), (), ())
    present = tuple(row for row in one.stations if row.host_id in up)
    lost = tuple(row for row in one.stations if row.host_id not in up)
    hosts = scheduler.missing(
        [row.host_id for row in present], loads, wanted=stationing.wanted_stations(one)
    )
    return _StationChange(one.balancer.id, lost if hosts else (), hosts, present)


def _make(connection: Connection, change: _StationChange) -> None:
    now = db.now(connection)
    for row in change.gone:
        station_store.delete(connection, row)
    taken = {row.slot for row in change.kept}
    for host in change.hosts:
        slot = next(slot for slot in range(stationing.STATIONS_MAX) if slot not in taken)
        taken.add(slot)
        station_store.insert(
            connection,
            Station(
                id=new_id(),
                load_balancer_id=change.balancer_id,
                host_id=host,
                slot=slot,
                observed_generation=0,
                fault="",
                created_at=now,
            ),
        )
        log.event("balancer.placed", balancer=change.balancer_id, host=host, slot=slot)
    # The network has another station, and the others may be another first one.
    store.advance(connection, change.balancer_id, now=now)
