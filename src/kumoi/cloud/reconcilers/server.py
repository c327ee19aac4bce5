"""Servers whose rows must change although no request and no report says so: a reconciler.

A server that has been building for longer than BUILD_S gets into ERROR; one to be deleted that never
had a host is deleted; rows of servers deleted longer than DELETED_KEPT_S ago are removed, and of a project's
the oldest beyond DELETED_KEPT_MAX. Of servers being shelved, and of those that move, it takes the step that is
due (domain/compute/shelve.py, move_lost.py).
"""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy.engine import Connection

from kumoi.base import log
from kumoi.cloud.domain.compute import action, move_lost, server_delete, shelve
from kumoi.cloud.hostapi.messages import InstanceState
from kumoi.cloud.store.compute import action as action_store
from kumoi.cloud.store.compute import migration as migration_store
from kumoi.cloud.store.compute import server as store
from kumoi.cloud.store.compute import snapshot as snapshot_store
from kumoi.cloud.store.compute.server import Server
from kumoi.engine.db import Database, now

BUILD_S = 1_800
DELETED_KEPT_S = 7 * 86_400
DELETED_KEPT_MAX = 10_000  # Of one project, which may make and delete them without end.


class ServerReconciler:
    """Run by the worker."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def round(self) -> None:
        """Looks first, and writes only when there is something to write."""
        build_limit = timedelta(seconds=BUILD_S)
        with self._database.read() as connection:
            at = now(connection)
            has_work = (
                bool(store.stuck(connection, before=at - build_limit))
                or any(row.host_id is None for row in store.unfinished_deletions(connection))
                or bool(_purgeable(connection, at))
                or bool(store.being_shelved(connection))
                or bool(store.being_moved(connection))
                or bool(_imaged(connection))
            )
        if not has_work:
            return
        with self._database.write() as connection:
            at = now(connection)
            for row in store.stuck(connection, before=at - build_limit):
                # Its host keeps trying: should it succeed, its report makes the server ACTIVE.
                fault = f"Build of instance {row.id} took longer than {BUILD_S} s on host {row.host_id}."
                failed = InstanceState.FAILED.value
                store.update(connection, row, now=at, state=failed, fault=fault, fault_at=at)
                action.end(connection, row.id, at, fault=fault)
                log.warning("server.build_timed_out", server=row.id, host=row.host_id)
            for row in store.unfinished_deletions(connection):
                if row.host_id is None:
                    server_delete.finish(connection, row, at)
            for row in store.being_shelved(connection):
                shelve.advance(connection, row, at)
            for row in store.being_moved(connection):
                move_lost.repair(connection, row, at)
            for row in _imaged(connection):
                store.update(connection, row, now=at, imaging=False)
            purged = _purgeable(connection, at)
            if purged:
                store.purge(connection, purged)
                action_store.forget(connection, purged)
                migration_store.forget(connection, purged)


def _purgeable(connection: Connection, at: datetime) -> list[str]:
    before = at - timedelta(seconds=DELETED_KEPT_S)
    return store.purgeable(connection, before=before, kept=DELETED_KEPT_MAX)


def _imaged(connection: Connection) -> list[Server]:
    """Those that still say so, after a role of an older release took their last image."""
    found = store.being_imaged(connection)
    return [row for row in found if not snapshot_store.is_any_of(connection, row.id)]
