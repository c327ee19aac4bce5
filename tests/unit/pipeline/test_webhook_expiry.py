"""A webhook goes when nobody may act for it any more."""

from __future__ import annotations

import pytest

from kumoi.base.clock import SetClock
from kumoi.base.errors import Transient
from kumoi.base.secret import Secret
from kumoi.engine.db import Database
from kumoi.pipeline.expire import ORPHANED_AFTER_S
from kumoi.pipeline.store import repository, webhook
from kumoi.pipeline.store.delegation import Delegation
from kumoi.pipeline.store.repository import Repository
from kumoi.pipeline.store.webhook import Delivery, Webhook
from kumoi.pipeline.webhook_expiry import EVERY_S, WebhookExpiry


class Hooks:
    """Two webhooks of two projects; `refused` are the credentials that the cloud takes no more."""

    def __init__(self, database: Database) -> None:
        self.database, self.clock = database, SetClock()
        self.refused: set[str] = set()
        self.silent: set[str] = set()
        self.expiry = WebhookExpiry(database, self.clock, self.is_valid)
        for name in ("a", "b"):
            self._add(name)

    def _add(self, name: str) -> None:
        now = self.clock.now()
        new = Webhook(
            id=name, repository_id=f"r{name}", project_id=f"p{name}", host="github", url="https://x/y",
            api_url="", secret=Secret("s"), token=Secret(""),
            acting=Delegation(f"c{name}", Secret("s"), is_own=True), user_name="u", created_at=now,
            refused={},
        )  # fmt: skip
        with self.database.write() as connection:
            repository.ensure(connection, Repository(f"r{name}", f"p{name}", "demo", "hello", now))
            webhook.add(connection, new)
            webhook.receive(connection, Delivery(name, "d1", "main", "c" * 40, now))

    def is_valid(self, given: Delegation) -> bool:
        if given.credential_id in self.silent:
            raise Transient("the identity service did not answer")
        return given.credential_id not in self.refused

    def left(self, *, after_s: float) -> list[str]:
        """As long as it takes, with a look each hour."""
        for _ in range(int(after_s // EVERY_S) + 1):
            self.expiry.round()
            self.clock.advance(EVERY_S)
        with self.database.read() as connection:
            return [each.id for each in webhook.list_all(connection)]


@pytest.fixture
def hooks(database: Database) -> Hooks:
    return Hooks(database)


def test_a_webhook_of_a_project_that_is_gone_goes_a_day_later_with_what_it_received(
    hooks: Hooks,
) -> None:
    hooks.refused.add("ca")
    assert hooks.left(after_s=ORPHANED_AFTER_S - EVERY_S) == ["a", "b"]
    assert hooks.left(after_s=EVERY_S) == ["b"]
    with hooks.database.read() as connection:
        assert webhook.deliveries(connection, "a") == []
        assert webhook.deliveries(connection, "b") != []


def test_one_whose_user_is_given_the_role_back_stays_and_waits_a_whole_day_again(
    hooks: Hooks,
) -> None:
    hooks.refused.add("ca")
    hooks.left(after_s=ORPHANED_AFTER_S / 2)
    hooks.refused.clear()
    hooks.left(after_s=0)
    hooks.refused.add("ca")
    assert hooks.left(after_s=ORPHANED_AFTER_S / 2) == ["a", "b"]


def test_a_cloud_that_does_not_answer_ends_none_and_keeps_no_other_waiting(hooks: Hooks) -> None:
    hooks.silent.add("ca")
    hooks.refused.add("cb")
    assert hooks.left(after_s=ORPHANED_AFTER_S * 2) == ["a"]
