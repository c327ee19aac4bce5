"""The reconciler that removes webhooks for which nobody may act any more, as when their project is gone.

Nobody is left who could remove them, and each costs the git host a question every five minutes. A webhook
whose credential the cloud refuses is kept for a day: somebody may be given the role back.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

from kumoi.base import log
from kumoi.base.clock import Clock
from kumoi.base.errors import KumoiError
from kumoi.engine.db import Database
from kumoi.pipeline.expire import ORPHANED_AFTER_S
from kumoi.pipeline.store import webhook
from kumoi.pipeline.store.delegation import Delegation
from kumoi.pipeline.store.webhook import Webhook

EVERY_S = 3_600.0


class WebhookExpiry:
    def __init__(
        self, database: Database, clock: Clock, is_valid: Callable[[Delegation], bool]
    ) -> None:
        """`is_valid` asks the cloud whether it takes a credential. Raises KumoiError where it cannot say."""
        self._database = database
        self._clock = clock
        self._is_valid = is_valid
        self._due_at_s = 0.0

    def round(self) -> None:
        """At most once in EVERY_S, however often the store's hints wake the loop."""
        if self._clock.monotonic() < self._due_at_s:
            return
        self._due_at_s = self._clock.monotonic() + EVERY_S
        with self._database.read() as connection:
            found = webhook.list_all(connection)
        for each in found:
            try:
                self._look(each)
            except KumoiError as error:  # One keeps no other waiting.
                log.failure("webhook.not_looked_at", error, webhook=each.id)

    def _look(self, found: Webhook) -> None:
        is_valid, now = self._is_valid(found.acting), self._clock.now()
        since = found.orphaned_at
        if is_valid != (since is None):
            with self._database.write() as connection:
                webhook.set_orphaned(connection, found.id, None if is_valid else now)
        elif since is not None and now >= since + timedelta(seconds=ORPHANED_AFTER_S):
            with self._database.write() as connection:
                webhook.remove(connection, found.id)
            log.warning("webhook.given_up", webhook=found.id, repository=found.repository_id)
