"""The end of environments, whatever happened: reconcilers without input.

`expire` begins to delete those whose time is over, and begins again where a deletion failed.
`sweep` looks once more, some time after an environment was deleted, whether really nothing of it is
there: a step whose worker hung may have made something late.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy.engine import Connection

from kumoi.base import log
from kumoi.base.clock import Clock
from kumoi.base.errors import KumoiError
from kumoi.engine import flow as flows
from kumoi.engine.db import Database
from kumoi.pipeline import deletion
from kumoi.pipeline.cloud import Cloud
from kumoi.pipeline.store import environment
from kumoi.pipeline.teardown import leftovers

RETRY_AFTER_S = 60
SWEEP_AFTER_S = 60
SWEEP_EVERY_S = 15.0


@dataclass(slots=True)
class Expiry:
    database: Database
    clock: Clock
    open_cloud: Callable[[str], Cloud]  # Of an environment.
    swept_s: float = 0.0

    def expire(self) -> None:
        now = self.database.now()
        with self.database.read() as connection:
            over = environment.list_expired(connection, now)
            stuck = [
                each
                for each in environment.list_deleting(connection)
                if self._failed_before(connection, each)
            ]
        if not over and not stuck:
            return
        with self.database.write() as connection:
            for each in over:
                deletion.request(connection, each, "its time to live is over")
            for each in stuck:
                deletion.begin(connection, each, each.reason)

    def sweep(self) -> None:
        """Not at every hint of the store: nothing here is urgent."""
        if self.clock.monotonic() < self.swept_s + SWEEP_EVERY_S:
            return
        self.swept_s = self.clock.monotonic()
        before = self.database.now() - timedelta(seconds=SWEEP_AFTER_S)
        with self.database.read() as connection:
            unswept = environment.list_unswept(connection, before)
        for each in unswept:
            self._sweep(each)

    def _sweep(self, found: environment.Environment) -> None:
        try:
            left = leftovers(self.open_cloud(found.id), found.id)
        except KumoiError as error:
            # One project's broken credential must not keep the others from being swept.
            log.warning("environment.sweep_failed", environment=found.id, reason=error.message)
            return
        now = self.database.now()
        with self.database.write() as connection:
            if not left:
                environment.set_swept(connection, found.id, now)
                return
            deletion.begin(connection, found, "the sweeper found something left")
        log.warning("environment.leftovers_found", environment=found.id, left=left)

    def _failed_before(self, connection: Connection, found: environment.Environment) -> bool:
        last = flows.ended_at(connection, deletion.flow_id(found.id, found.deletions))
        return last is not None and last <= self.database.now() - timedelta(seconds=RETRY_AFTER_S)
