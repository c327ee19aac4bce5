"""Reconcilers that see to it that every environment ends.

`expire` begins to delete those whose time to live is over, and begins again where a deletion
failed. `sweep` lists a deleted environment's objects once more after SWEEP_AFTER_S: a step whose
worker hung may have made one late.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

from kumoi.base import log
from kumoi.base.clock import Clock
from kumoi.base.errors import KumoiError
from kumoi.engine import flow as flows
from kumoi.engine.db import Database
from kumoi.pipeline import deletion
from kumoi.pipeline.build import list_existing
from kumoi.pipeline.cloud import Cloud
from kumoi.pipeline.store import environment

RETRY_AFTER_S = 60
SWEEP_AFTER_S = 60
SWEEP_EVERY_S = 15.0


@dataclass(slots=True)
class Expiry:
    database: Database
    clock: Clock
    open_cloud: Callable[[str], Cloud]  # By the environment's id.
    end_delegation: Callable[[str], None]  # Likewise.
    retire: Callable[[], None]  # What acts for no environment any more.
    swept_s: float = 0.0

    def expire(self) -> None:
        now = self.database.now()
        failed_before = now - timedelta(seconds=RETRY_AFTER_S)
        stuck: list[environment.Environment] = []
        with self.database.read() as connection:
            expired = environment.list_expired(connection, now)
            for each in environment.list_deleting(connection):
                ended_at = flows.ended_at(connection, deletion.flow_id(each.id, each.deletions))
                if ended_at is not None and ended_at <= failed_before:
                    stuck.append(each)
        if not expired and not stuck:
            return
        with self.database.write() as connection:
            for each in expired:
                deletion.request(connection, each, "its time to live is over")
            for each in stuck:
                deletion.begin(connection, each, each.reason)

    def sweep(self) -> None:
        """At most once in SWEEP_EVERY_S, however often the store's hints wake the loop."""
        if self.clock.monotonic() < self.swept_s + SWEEP_EVERY_S:
            return
        self.swept_s = self.clock.monotonic()
        before = self.database.now() - timedelta(seconds=SWEEP_AFTER_S)
        with self.database.read() as connection:
            unswept = environment.list_unswept(connection, before)
        for each in unswept:
            self._sweep(each)
        self.retire()

    def _sweep(self, found: environment.Environment) -> None:
        try:
            left = list_existing(self.open_cloud(found.id), found.id)
        except KumoiError as error:
            # One project's broken credential must not keep the others from being swept.
            log.warning("environment.sweep_failed", environment=found.id, reason=error.message)
            return
        now = self.database.now()
        with self.database.write() as connection:
            if not left:
                environment.set_swept(connection, found.id, now)
            else:
                deletion.begin(connection, found, "the sweeper found something left")
        if left:
            log.warning("environment.leftovers_found", environment=found.id, left=left)
        else:
            self.end_delegation(found.id)
