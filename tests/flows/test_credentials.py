"""The application credential of a push: whatever kills the pipeline at whichever moment, none stays.

A push, its environment and its end are told once for each call of the identity service and each
statement of the store, with a kill before it and, for calls, one after it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
import sqlalchemy as sa
from tests.flows.test_harness import every_statement
from tests.flows.world import HELLO, Killed, World

from kumoi.base.errors import Permanent, Transient
from kumoi.base.secret import Secret
from kumoi.engine.schema import flow
from kumoi.pipeline import credentials, deletion
from kumoi.pipeline import environment as environment_file
from kumoi.pipeline.api import git
from kumoi.pipeline.credentials import Credentials
from kumoi.pipeline.expire import SWEEP_AFTER_S, Expiry
from kumoi.pipeline.identity import GitLogin, ProjectCaller
from kumoi.pipeline.receive import Heads
from kumoi.pipeline.serve import UNTAKEN_S, Delegated
from kumoi.pipeline.store import delegation, environment
from kumoi.pipeline.store import own_credential as own_credentials
from kumoi.pipeline.store.delegation import Delegation
from kumoi.pipeline.store.own_credential import OwnCredential, own_credential
from kumoi.pipeline.store.tables import metadata

CALLER = ProjectCaller("u1", "p1", frozenset({"member"}), "demo")
LOGIN = GitLogin("demo", Secret("s"))
PLACES_MAX = 500
KEPT = "keep: true\n" + HELLO


@dataclass(eq=False)
class Kill:
    """At the n-th place, and at all that follow: the process is dead until `revive`."""

    left: int = 0
    is_dead: bool = False
    has_killed: bool = False

    def __call__(self, *_: Any) -> None:
        self.left -= 1
        if self.left == 0:
            self.is_dead = self.has_killed = True
        if self.is_dead:
            raise Killed

    def revive(self) -> None:
        self.is_dead, self.left = False, 0


@dataclass
class IdentityService:
    """Has credentials by their ids, and as Keystone does, one of a name for each user."""

    at: Callable[[], None]
    there: dict[str, OwnCredential] = field(default_factory=dict)
    made: int = 0

    def delegate(self, _login: GitLogin, _caller: ProjectCaller, new: OwnCredential) -> str:
        self.at()
        assert self._find(new) is None
        self.made += 1
        self.there[f"c{self.made}"] = new
        self.at()
        return f"c{self.made}"

    def end(self, given: Delegation) -> None:
        self.at()
        self.there.pop(given.credential_id, None)
        self.at()

    def end_named(self, found: OwnCredential) -> None:
        self.at()
        self.there.pop(self._find(found) or "", None)
        self.at()

    def is_valid(self, given: Delegation) -> bool:
        return given.credential_id in self.there

    def _find(self, named: OwnCredential) -> str | None:
        return next((key for key, each in self.there.items() if each == named), None)


class Told:
    """A repository, who pushes to it, and the loops of the process."""

    def __init__(self, world: World) -> None:
        self.world, self.kill = world, Kill()
        self.service = IdentityService(self.kill)
        identity: Any = self.service
        self.credentials = Credentials(world.database, identity)
        self.heads: dict[str, str] = {}
        repositories: Any = self
        self.receive = Heads(world.settings, repositories, world.database, world.clock)
        clouds: Any = SimpleNamespace(of=lambda _delegation: world.cloud)
        delegated = Delegated(world.database, identity, self.credentials, clouds, self.receive.look)
        self.expiry = Expiry(
            world.database,
            world.clock,
            delegated.open_to_end,
            delegated.end,
            delegated.is_orphaned,
            delegated.retire,
        )

    def list_heads(self, *_: str) -> dict[str, str]:
        return dict(self.heads)

    def read_file(self, *_: str) -> environment_file.ProjectFile:
        return environment_file.parse(KEPT)

    def push(self, commit: str) -> None:
        services = SimpleNamespace(
            credentials=self.credentials,
            database=self.world.database,
            clock=self.world.clock,
            repositories=self,
        )
        request: Any = SimpleNamespace(services=services, claims=LOGIN, caller=CALLER)
        with git._delegated(request, self.world.repository):
            self.heads["main"] = commit
            self.receive.look(self.world.repository)

    def end_runs(self) -> None:
        """So that the next push goes on with what is there."""
        with self.world.database.write() as connection:
            connection.execute(sa.delete(flow))

    def end_environments(self) -> None:
        """Each is deleted, and what it was made of is gone."""
        with self.world.database.write() as connection:
            for each in environment.list_there(connection, CALLER.project_id):
                deletion.end(connection, each.id, self.world.clock.now())
        self.sweep()

    def sweep(self) -> None:
        self.world.clock.advance(SWEEP_AFTER_S + 1)
        self.expiry.sweep()

    def story(self) -> None:
        """A kept environment is pushed to twice and ends."""
        self.push("1" * 40)
        self.end_runs()
        self.push("2" * 40)
        self.end_environments()

    def survive(self) -> None:
        """A new process, whose loops look in their time."""
        self.kill.revive()
        self.receive.look(self.world.repository)
        self.end_environments()
        self.world.clock.advance(max(credentials.UNUSED_S, UNTAKEN_S))
        self.sweep()
        self.end_environments()

    def clear(self) -> None:
        """For another story, that has as many statements."""
        self.heads.clear()
        self.kill.has_killed = False
        with self.world.database.write() as connection:
            for table in reversed(metadata.sorted_tables):
                if table.name != "repository":
                    connection.execute(sa.delete(table))

    def left(self) -> dict[str, int]:
        """In the store, that says of credentials."""
        tables = (
            own_credential,
            delegation.delegation,
            delegation.environment_delegation,
            delegation.retired_delegation,
        )
        with self.world.database.read() as connection:
            count = sa.select(sa.func.count())
            return {
                each.name: connection.execute(count.select_from(each)).scalar_one()
                for each in tables
            }


@pytest.mark.timeout(300)
def test_a_pipeline_killed_anywhere_leaves_no_credential_in_the_cloud_nor_in_its_store(
    world: World,
) -> None:
    told = Told(world)
    for place in range(1, PLACES_MAX):
        told.kill.left = place
        with every_statement(world, told.kill):  # type: ignore[arg-type] # It is called alike.
            try:
                told.story()
            except Killed:
                assert told.kill.has_killed
        told.survive()
        assert told.service.there == {}, f"place {place}"
        assert set(told.left().values()) == {0}, f"place {place}: {told.left()}"
        if not told.kill.has_killed:
            assert place > 20, "so many calls and statements has the story at least"
            return
        told.clear()
    raise AssertionError("the story has no end")


def test_what_is_in_use_or_being_made_is_not_swept(world: World) -> None:
    told = Told(world)
    told.push("1" * 40)
    world.clock.advance(credentials.UNUSED_S * 3)
    told.sweep()
    assert list(told.service.there) == ["c1"]
    late = OwnCredential("late", "u1", Secret("s"))
    with world.database.write() as connection:
        own_credentials.add(
            connection, late, world.clock.now() + timedelta(seconds=credentials.UNUSED_S)
        )
    told.service.there["c2"] = late
    told.sweep()
    assert list(told.service.there) == ["c1", "c2"]
    world.clock.advance(credentials.UNUSED_S)
    told.sweep()
    assert list(told.service.there) == ["c1"]


def test_one_that_cannot_be_ended_keeps_no_other_waiting_and_is_tried_again_later(
    world: World,
) -> None:
    told = Told(world)
    made = [told.credentials.of_push(LOGIN, CALLER, "hello").credential_id for _ in range(2)]
    first = told.service.there[made[0]]
    end_named = told.service.end_named
    tried: list[str] = []

    def refusing(found: OwnCredential) -> None:
        tried.append(found.name)
        if found == first:
            raise Permanent("not allowed")
        end_named(found)

    told.service.end_named = refusing  # type: ignore[method-assign]
    world.clock.advance(credentials.UNUSED_S)
    told.sweep()
    told.sweep()
    assert list(told.service.there) == [made[0]]
    assert tried.count(first.name) == 1
    world.clock.advance(credentials.AGAIN_S)
    told.sweep()
    assert tried.count(first.name) == 2


@pytest.mark.parametrize(("error", "kept"), [(Permanent, 0), (Transient, 1)])
def test_a_refused_credential_is_forgotten_and_one_that_may_be_there_is_not(
    world: World, error: type[Permanent | Transient], kept: int
) -> None:
    told = Told(world)

    def failing() -> None:
        raise error("no")

    told.service.at = failing
    with pytest.raises(error):
        told.push("1" * 40)
    assert told.left()["own_credential"] == kept


def test_one_that_was_made_too_late_to_be_waited_for_is_ended(world: World) -> None:
    told = Told(world)
    delegate = told.service.delegate

    def slow(_login: GitLogin, _caller: ProjectCaller, new: OwnCredential) -> str:
        made = delegate(_login, _caller, new)
        with world.database.write() as connection:
            connection.execute(sa.delete(own_credential))
        return made

    told.service.delegate = slow  # type: ignore[method-assign]
    with pytest.raises(Transient, match="took too long"):
        told.push("1" * 40)
    assert told.service.there == {}
