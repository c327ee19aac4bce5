"""Reconcilers that see to it that every environment ends.

`expire` begins to delete those whose time to live is over, and begins again where a deletion
failed. Where nobody may delete any more, as in a project that is gone, it gives up a day after the time
to live is over, and says so. `sweep` lists a deleted environment's objects once more after SWEEP_AFTER_S: a step whose
worker hung may have made one late.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy.engine import Connection

from kumoi.base import log
from kumoi.base.clock import Clock
from kumoi.base.errors import KumoiError
from kumoi.engine import flow as flows
from kumoi.engine.db import Database
from kumoi.pipeline import deletion
from kumoi.pipeline.build import list_existing
from kumoi.pipeline.cloud import Cloud
from kumoi.pipeline.resources import prefix
from kumoi.pipeline.store import delegation, environment
from kumoi.pipeline.store.delegation import Delegation

RETRY_AFTER_S = 60  # Longer by as much after each failure, until
RETRY_MOST_S = 3_600
ORPHANED_AFTER_S = 86_400  # Somebody may push again, or be given the role back.
SWEEP_AFTER_S = 60
SWEEP_EVERY_S = 15.0
ORPHANED = (
    "the cloud takes no credential for it any more, as when its project is gone. What it may have left "
    "there is named {}: an administrator of the cloud can delete it"
)


@dataclass(slots=True)
class Expiry:
    database: Database
    clock: Clock
    open_cloud: Callable[[str], Cloud]  # By the environment's id.
    end_delegation: Callable[[Delegation], None]  # What acted for an environment that is no more.
    is_orphaned: Callable[[str], bool]  # Whether the cloud lets nobody act for it.
    retire: Callable[[], None]  # What acts for no environment any more.
    swept_s: float = 0.0

    def expire(self) -> None:
        now = self.database.now()
        stuck: list[environment.Environment] = []
        with self.database.read() as connection:
            expired = environment.list_expired(connection, now)
            for each in environment.list_deleting(connection):
                ended_at = flows.ended_at(connection, deletion.flow_id(each.id, each.deletions))
                again_s = min(RETRY_AFTER_S * each.deletions, RETRY_MOST_S)
                if ended_at is not None and ended_at <= now - timedelta(seconds=again_s):
                    stuck.append(each)
        stuck = [each for each in stuck if not self._give_up(each)]
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
            self._give_up(found)
            return
        now = self.database.now()
        with self.database.write() as connection:
            if not left:
                acted = self._swept(connection, found, now)
            else:
                deletion.begin(connection, found, "the sweeper found something left")
        if left:
            log.warning("environment.leftovers_found", environment=found.id, left=left)
        elif acted is not None:
            self.end_delegation(acted)

    def _give_up(self, found: environment.Environment) -> bool:
        """End an environment for which nobody may act any more, when it has long been due; whether it
        was.
        """
        now = self.database.now()
        if now < found.expires_at + timedelta(seconds=ORPHANED_AFTER_S):
            return False
        try:
            if not self.is_orphaned(found.id):
                return False
        except KumoiError as error:  # The cloud does not answer: it is asked again.
            log.failure("environment.not_given_up", error, environment=found.id)
            return False
        with self.database.write() as connection:
            if found.status != environment.EnvironmentStatus.DELETED:
                environment.set_reason(connection, found.id, ORPHANED.format(prefix(found.id)))
                deletion.end(connection, found.id, now)
            acted = self._swept(connection, found, now)
        if acted is not None:
            self.end_delegation(acted)
        log.warning("environment.given_up", environment=found.id)
        return True

    def _swept(
        self, connection: Connection, found: environment.Environment, now: datetime
    ) -> Delegation | None:
        """Nothing is left of it: nobody acts for it any more. Who did."""
        environment.set_swept(connection, found.id, now)
        acted = delegation.get(connection, found.id)
        delegation.forget(connection, found.id)
        return acted
