"""A host that has sent nothing for `silent_s` counts as down: a reconciler, for no request says so.

The silence is measured by the database's clock, which also gave the time at which the host was last
heard.
"""

from __future__ import annotations

from datetime import timedelta

from kumoi.cloud.domain.host import host as domain
from kumoi.cloud.store.host import host as store
from kumoi.engine.db import Database, now


class HostReconciler:
    """Run by the worker."""

    def __init__(self, database: Database, *, silent_s: int) -> None:
        self._database = database
        self._silent = timedelta(seconds=silent_s)

    def round(self) -> None:
        """Looks first, and writes only when there is something to write."""
        with self._database.read() as connection:
            silent = store.fell_silent(connection, before=now(connection) - self._silent)
        if silent:
            with self._database.write() as connection:
                at = now(connection)
                domain.mark_silent(connection, before=at - self._silent, now=at)
