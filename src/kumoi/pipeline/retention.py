"""The reconciler that forgets: logs of runs that ended long ago, the oldest logs of a project that has more
than it may, and in the end the runs with their reports.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

from sqlalchemy.engine import Connection

from kumoi.base import log
from kumoi.base.clock import Clock
from kumoi.config import CloudSettings
from kumoi.engine.db import Database
from kumoi.pipeline.limits import MIB
from kumoi.pipeline.store import retention

EVERY_S = 60.0


class Retention:
    def __init__(self, database: Database, clock: Clock, settings: CloudSettings) -> None:
        self._database = database
        self._clock = clock
        self._settings = settings
        self._due_at_s = 0.0

    def round(self) -> None:
        """At most once in EVERY_S, however often the store's hints wake the loop."""
        if self._clock.monotonic() < self._due_at_s:
            return
        now, settings = self._clock.now(), self._settings
        logs_before = now - timedelta(days=settings.run_log_days)
        runs_before = now - timedelta(days=settings.run_days)
        with self._database.read() as connection:
            old_logs = retention.list_with_log(connection, logs_before)
            old_logs += self._surplus(connection)
            old_runs = retention.list_expired(connection, runs_before)
            old_runs += retention.list_surplus(connection, settings.project_runs_kept)
        self._forget(old_logs, retention.forget_log)
        self._forget(list(dict.fromkeys(old_runs)), retention.forget_run)
        self._due_at_s = self._clock.monotonic() + EVERY_S
        if old_logs or old_runs:
            log.event("runs.forgotten", logs=len(old_logs), runs=len(old_runs))

    def _surplus(self, connection: Connection) -> list[str]:
        """The oldest logs of each project that has more than it may."""
        found: list[str] = []
        over = retention.projects_over(connection, self._settings.project_logs_mib * MIB)
        for project_id, surplus in over.items():
            left = surplus
            for run_id, size in retention.list_oldest_logs(connection, project_id):
                if left <= 0:
                    break
                found.append(run_id)
                left -= size
        return found

    def _forget(self, ids: list[str], forget: Callable[[Connection, str], None]) -> None:
        """Each in a transaction of its own: others wait for none of them for long."""
        for each in ids:
            with self._database.write(wakes=False) as connection:
                forget(connection, each)
