"""The credential of a push, where it cannot be kept."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from kumoi.base.clock import SetClock
from kumoi.base.errors import StoreFull
from kumoi.base.secret import Secret
from kumoi.engine.db import Database
from kumoi.pipeline.api import git
from kumoi.pipeline.identity import GitLogin, ProjectCaller
from kumoi.pipeline.store import delegation, repository
from kumoi.pipeline.store.delegation import Delegation
from kumoi.pipeline.store.repository import Repository

FOUND = Repository("r1", "p1", "demo", "hello", SetClock().now())
CALLER = ProjectCaller("u1", "p1", frozenset({"member"}), "demo")


class MadeCredentials:
    def __init__(self, *, is_own: bool) -> None:
        self.made = Delegation("c1", Secret("s"), is_own)
        self.ended: list[str] = []

    def of_push(self, *_: object) -> Delegation:
        return self.made

    def end(self, given: Delegation) -> None:
        self.ended.append(given.credential_id)

    def end_unless_used(self, given: Delegation) -> None:
        self.end(given)


@contextlib.contextmanager
def full() -> Iterator[None]:
    raise StoreFull("write the store")
    yield


@pytest.mark.parametrize("is_own", [True, False])
def test_a_credential_that_the_store_has_no_room_for_is_ended_unless_it_is_the_pushers(
    *, is_own: bool
) -> None:
    credentials = MadeCredentials(is_own=is_own)
    services = SimpleNamespace(
        credentials=credentials, database=SimpleNamespace(write=full), clock=SetClock()
    )
    login = GitLogin("demo", Secret("s"))
    request: Any = SimpleNamespace(services=services, claims=login, caller=CALLER)
    with pytest.raises(StoreFull), git._delegated(request, FOUND):
        raise AssertionError("it was not kept")
    assert credentials.ended == (["c1"] if is_own else [])


def test_what_an_earlier_push_left_ends_when_the_next_one_takes_its_place(
    database: Database,
) -> None:
    credentials = MadeCredentials(is_own=True)
    with database.write() as connection:
        repository.ensure(connection, FOUND)
        before = Delegation("c0", Secret("s"), is_own=True)
        delegation.set_of_repository(connection, FOUND.id, before, SetClock().now())
    services = SimpleNamespace(
        credentials=credentials,
        database=database,
        clock=SetClock(),
        repositories=SimpleNamespace(list_heads=lambda *_: {}),
    )
    login = GitLogin("demo", Secret("s"))
    request: Any = SimpleNamespace(services=services, claims=login, caller=CALLER)
    with git._delegated(request, FOUND):
        assert credentials.ended == ["c0"]
    assert credentials.ended == ["c0", "c1"]
