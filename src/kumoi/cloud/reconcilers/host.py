"""Hosts that have fallen silent count as down: a reconciler, for nobody says that it is silent."""

from __future__ import annotations

from datetime import timedelta

from kumoi.base.clock import Clock
from kumoi.cloud.domain.host import host as domain
from kumoi.cloud.store.host import host as store
from kumoi.engine.db import Database


class HostReconciler:
    """Run by the worker."""

    def __init__(self, database: Database, clock: Clock, *, silent_s: int) -> None:
        self._database = database
        self._clock = clock
        self._silent = timedelta(seconds=silent_s)

    def round(self) -> None:
        """Looks first, and writes only when there is something to write."""
        before = self._clock.now() - self._silent
        with self._database.read() as connection:
            silent = store.fell_silent(connection, before=before)
        if silent:
            with self._database.write() as connection:
                domain.mark_silent(connection, before=before, now=self._clock.now())
