"""What must not stay as it is although nobody says anything: a reconciler.

A server that is built for longer than BUILD_S is in ERROR; one wanted absent that never reached a
host is gone; rows of servers long deleted are forgotten.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy.engine import Connection

from kumoi.base import log
from kumoi.cloud.domain.compute import action, server_delete
from kumoi.cloud.hostapi.messages import InstanceState
from kumoi.cloud.store.compute import action as action_store
from kumoi.cloud.store.compute import server as store
from kumoi.cloud.store.compute.server import Server
from kumoi.engine.db import Database, now

BUILD_S = 1_800
KEPT_S = 7 * 86_400


class ServerReconciler:
    """Run by the worker."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def round(self) -> None:
        """Looks first, and writes only when there is something to write."""
        with self._database.read() as connection:
            if not self._has_work(connection, now(connection)):
                return
        with self._database.write() as connection:
            at = now(connection)
            for row in store.stuck(connection, before=at - timedelta(seconds=BUILD_S)):
                _give_up(connection, row, at)
            for row in store.unfinished_deletions(connection):
                if row.host_id is None:
                    server_delete.finish(connection, row, at)
            gone = store.purge(connection, before=at - timedelta(seconds=KEPT_S))
            if gone:
                action_store.forget(connection, gone)

    def _has_work(self, connection: Connection, at: datetime) -> bool:
        return bool(
            store.stuck(connection, before=at - timedelta(seconds=BUILD_S))
            or any(row.host_id is None for row in store.unfinished_deletions(connection))
            or store.has_purgeable(connection, before=at - timedelta(seconds=KEPT_S))
        )


def _give_up(connection: Connection, row: Server, at: datetime) -> None:
    """The host keeps trying; should it succeed, its report says so and the server is ACTIVE."""
    fault = f"Build of instance {row.id} took longer than {BUILD_S} s on host {row.host_id}."
    store.update(
        connection, row, now=at, state=InstanceState.FAILED.value, fault=fault, fault_at=at
    )
    action.end(connection, row.id, at, fault=fault)
    log.warning("server.build_timed_out", server=row.id, host=row.host_id)
