"""Who acts for an environment, and when nobody does any more."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from kumoi.base.clock import SetClock
from kumoi.base.errors import Permanent, StoreFull
from kumoi.base.secret import Secret
from kumoi.engine.db import Database
from kumoi.pipeline import new_run
from kumoi.pipeline.credentials import Credentials
from kumoi.pipeline.serve import Delegated
from kumoi.pipeline.store import delegation, environment, repository, run
from kumoi.pipeline.store.delegation import Delegation
from kumoi.pipeline.store.environment import Environment, EnvironmentStatus
from kumoi.pipeline.store.repository import Repository

NOW = SetClock().now()
REPOSITORY = "r1"


class Cloud:
    """Which credentials are there, and whose was used last."""

    def __init__(self) -> None:
        self.valid: set[str] = set()
        self.ended: list[str] = []
        self.used = ""

    def is_valid(self, given: Delegation) -> bool:
        return given.credential_id in self.valid

    def end(self, given: Delegation) -> None:
        self.ended.append(given.credential_id)

    def of(self, given: Delegation) -> None:
        self.used = given.credential_id


class Pushes:
    def __init__(self, database: Database) -> None:
        self.database, self.cloud = database, Cloud()
        both: Any = self.cloud
        self.unreadable = False
        credentials = Credentials(database, both)
        self.delegated = Delegated(database, both, credentials, both, self.begin_runs)
        with database.write() as connection:
            repository.ensure(connection, Repository(REPOSITORY, "p1", "demo", "hello", NOW))

    def begin_runs(self, found: Repository) -> None:
        assert found.id == REPOSITORY
        if self.unreadable:
            raise StoreFull("write the store")

    def leave(self, credential: str) -> None:
        """A push whose runs have not begun, long ago."""
        made = Delegation(credential, Secret("s"), is_own=True)
        with self.database.write() as connection:
            delegation.set_of_repository(connection, REPOSITORY, made, NOW)

    def begin(self, environment_id: str) -> None:
        """Without a credential for it."""
        found = Repository(REPOSITORY, "p1", "demo", "hello", NOW)
        began = new_run.make(found, repository.Branch("main", "c0ffee", 1), NOW, "")
        lives = Environment(
            id=environment_id,
            run_id=began.id,
            repository_id=REPOSITORY,
            project_id="p1",
            branch="main",
            wanted={},
            status=EnvironmentStatus.LIVE,
            url="",
            reason="",
            deletions=0,
            created_at=NOW,
            expires_at=NOW,
        )
        with self.database.write() as connection:
            run.add(connection, began)
            environment.add(connection, lives)

    def end(self, environment_id: str) -> None:
        """Nothing of it is left."""
        with self.database.write() as connection:
            acted = delegation.get(connection, environment_id)
            delegation.forget(connection, environment_id)
        if acted is not None:
            self.delegated.end(acted)

    def push(self, credential: str, *environments: str, is_own: bool = True, late: int = 0) -> None:
        at = NOW + timedelta(seconds=late)
        self.cloud.valid.add(credential)
        made = Delegation(credential, Secret("s"), is_own)
        with self.database.write() as connection:
            delegation.set_of_repository(connection, REPOSITORY, made, at)
            for each in environments:
                delegation.take(connection, REPOSITORY, each, at)
            delegation.forget_of_repository(connection, REPOSITORY)


@pytest.fixture
def pushes(database: Database) -> Pushes:
    return Pushes(database)


def test_each_environment_has_its_own_pushers(pushes: Pushes) -> None:
    pushes.push("anns", "e1")
    pushes.push("bobs", "e2")
    pushes.delegated.open("e1")
    assert pushes.cloud.used == "anns"
    pushes.delegated.open("e2")
    assert pushes.cloud.used == "bobs"


def test_a_credential_goes_with_the_last_environment_of_its_push(pushes: Pushes) -> None:
    pushes.push("anns", "e1", "e2")
    pushes.end("e1")
    assert pushes.cloud.ended == []
    pushes.end("e2")
    pushes.end("e2")
    assert pushes.cloud.ended == ["anns"]


def test_a_credential_that_the_pusher_made_stays_the_pushers(pushes: Pushes) -> None:
    pushes.push("anns", "e1", is_own=False)
    pushes.end("e1")
    assert pushes.cloud.ended == []


def test_a_credential_waits_for_the_runs_that_its_push_could_not_begin_and_ends_without_any(
    pushes: Pushes,
) -> None:
    pushes.leave("anns")
    pushes.unreadable = True
    pushes.delegated.retire()
    assert pushes.cloud.ended == []
    pushes.unreadable = False
    pushes.delegated.retire()
    assert pushes.cloud.ended == ["anns"]


def test_what_a_pusher_built_who_lost_the_role_is_ended_by_whoever_pushed_later(
    pushes: Pushes,
) -> None:
    pushes.push("anns", "e1")
    pushes.push("bobs", "e2", late=1)
    pushes.cloud.valid.remove("anns")
    pushes.delegated.open_to_end("e1")
    assert pushes.cloud.used == "bobs"
    pushes.delegated.open("e1")
    assert pushes.cloud.used == "anns", "a run goes on as its pusher, or not at all"


def test_what_began_without_a_push_of_anybodys_is_ended_by_whoever_pushed(pushes: Pushes) -> None:
    pushes.push("anns", "e1")
    pushes.begin("e2")
    pushes.delegated.open_to_end("e2")
    assert pushes.cloud.used == "anns"
    assert not pushes.delegated.is_orphaned("e2")
    with pytest.raises(Permanent, match="nobody has let the pipeline work"):
        pushes.delegated.open("e2")
    pushes.cloud.valid.clear()
    with pytest.raises(Permanent, match="nobody has let the pipeline work"):
        pushes.delegated.open_to_end("e2")


def test_an_environment_is_orphaned_when_the_cloud_refuses_all_who_pushed(pushes: Pushes) -> None:
    pushes.push("anns", "e1")
    pushes.push("bobs", "e2", late=1)
    assert not pushes.delegated.is_orphaned("e1")
    pushes.cloud.valid.remove("anns")
    assert not pushes.delegated.is_orphaned("e1"), "bob can still delete it"
    pushes.cloud.valid.remove("bobs")
    assert pushes.delegated.is_orphaned("e1")
