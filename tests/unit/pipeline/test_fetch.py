"""What git hosts have is fetched for each project, whatever the hosts of others do."""

from __future__ import annotations

import pytest
from tests.unit.pipeline.test_project_turns import Ends
from tests.unit.pipeline.test_webhook_expiry import Hooks

from kumoi.base.errors import Transient
from kumoi.config import CloudSettings
from kumoi.engine.db import Database
from kumoi.engine.loop import BACKOFF
from kumoi.pipeline import fetch
from kumoi.pipeline.fetch import Fetches
from kumoi.pipeline.guarded_http import Guard
from kumoi.pipeline.push_copies import PushCopies
from kumoi.pipeline.pushes import Pushes
from kumoi.pipeline.receive import Heads
from kumoi.pipeline.store import webhook


class NoRepositories:
    """Nothing was pushed yet."""

    def ensure(self, _project_id: str, _name: str) -> None: ...

    def list_heads(self, _project_id: str, _name: str) -> dict[str, str]:
        return {}


def outcomes(database: Database) -> dict[str, str]:
    """Of the webhooks' deliveries that are done."""
    with database.read() as connection:
        found = [*webhook.deliveries(connection, "a"), *webhook.deliveries(connection, "b")]
    return {each.webhook_id: each.outcome for each in found if each.done_at is not None}


def test_a_git_host_that_does_not_answer_keeps_no_other_project_waiting(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    hooks = Hooks(database)
    heads = Heads(CloudSettings(), NoRepositories(), database, hooks.clock)  # type: ignore[arg-type]
    fetches = Fetches(
        NoRepositories(),  # type: ignore[arg-type]
        database,
        hooks.clock,
        heads,
        copies=PushCopies(database, NoRepositories(), "t1-host1"),  # type: ignore[arg-type]
        pushing=Pushes(),
        guard=Guard(),
    )
    ends = fetches.turns.poke = Ends()
    asked: list[str] = []

    def follow(_self: Fetches, hook: webhook.Webhook, *_: object) -> str:
        asked.append(hook.id)
        if hook.id == "a":
            raise Transient("x did not answer")
        return fetch.NO_NEWS

    monkeypatch.setattr(Fetches, "_follow", follow)
    fetches.round()
    ends.wait_for(2)
    assert sorted(asked) == ["a", "b"]
    assert outcomes(database) == {"b": fetch.NO_NEWS}
    fetches.round()
    assert len(asked) == 2  # Not again at once.
    hooks.clock.advance(BACKOFF.most_s)
    fetches.round()
    ends.wait_for(1)
    assert asked[2:] == ["a"]
    hooks.clock.advance(fetch.GIVE_UP_AFTER_S)
    fetches.round()
    ends.wait_for(1 + 1)  # It is time to look at the other's branches, too.
    assert outcomes(database) == {"a": "x did not answer", "b": fetch.NO_NEWS}
