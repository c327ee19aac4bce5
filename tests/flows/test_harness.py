"""Every step of every flow fails, is repeated, and loses its worker; then: is anything left?

A good run is told from push to verified and on to its deletion, once for each call that it makes of
the cloud and each statement that it makes of the store, with a failure or a kill at that place.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import sqlalchemy as sa
from tests.flows.world import HELLO, Killed, World

from kumoi.base.errors import Permanent, Transient
from kumoi.engine import flow as flows
from kumoi.engine.schema import flow
from kumoi.pipeline import deletion
from kumoi.pipeline import run as pipeline_run
from kumoi.pipeline.store import environment as environments
from kumoi.pipeline.store.run import Run, RunStatus

PLACES_MAX = 2_000
CHANGES = ("create", "change", "delete")
STEPS = list(pipeline_run.STAGES)
BALANCED = (
    HELLO.replace(", ports: [80]", "").replace("{on: web}}", "{on: front}}")
    + "load_balancers:\n  front: {listeners: [{on: web}], floating_ip: true}\n"
)
OBJECTS = 12  # What a good environment is made of; see test_run.py.


class At:
    """Raises at the n-th call, once; where `only_changes`, of those that change the cloud."""

    def __init__(
        self, place: int, error: Callable[[], BaseException], *, only_changes: bool = False
    ) -> None:
        self.left = place
        self.error = error
        self.only_changes = only_changes
        self.raised = False

    def __call__(self, *args: Any) -> None:
        if self.only_changes and not args[0].startswith(CHANGES):
            return
        self.left -= 1
        if self.left == 0:
            self.raised = True
            raise self.error()


def drive(world: World, act: Callable[[], None]) -> None:
    """Go on after every kill, as a supervisor would have it."""
    while True:
        try:
            act()
        except Killed:
            world.survive()
        else:
            return


def tell_whole_story(world: World, place: int, text: str = HELLO) -> Run:
    """Push to verified."""
    new = world.push(text, branch=f"try-{place}")
    drive(world, lambda: world.verify(new))
    return new


def delete(world: World, new: Run) -> None:
    def ask() -> None:
        with world.database.write() as connection:
            found = environments.get_of_run(connection, new.id)
            assert found is not None
            deletion.request(connection, found, "asked for")

    drive(world, ask)
    drive(world, world.settle)


def is_clean(world: World, new: Run) -> bool:
    assert world.cloud.made == {}
    assert world.environment(new).status == environments.EnvironmentStatus.DELETED
    with world.database.read() as connection:
        going = connection.execute(sa.select(flow.c.id).where(flow.c.due_at.is_not(None))).all()
    assert going == []
    return True


@pytest.mark.timeout(300)
@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("text", [HELLO, BALANCED], ids=["hello", "balanced"])
def test_a_worker_killed_at_any_call_of_the_cloud_loses_and_doubles_nothing(
    small_world: World, moment: str, text: str
) -> None:
    world = small_world
    objects = 0
    for place in range(PLACES_MAX):
        # The first story has no kill: so much is made. Reads are the same in both.
        at = At(place, Killed, only_changes=text == BALANCED)
        setattr(world.cloud, moment, at)
        world.cloud.created = 0
        new = tell_whole_story(world, place, text)
        assert world.run(new).status == RunStatus.VERIFIED
        objects = objects or world.cloud.created
        assert len(world.cloud.made) == world.cloud.created == objects
        delete(world, new)
        assert is_clean(world, new)
        if place and not at.raised:
            assert objects >= OBJECTS
            return
    raise AssertionError("the story has no end")


@pytest.mark.timeout(300)
def test_a_cloud_that_fails_for_a_moment_at_any_call_costs_only_time(small_world: World) -> None:
    world = small_world
    for place in range(1, PLACES_MAX):
        at = At(place, lambda: Transient("busy"))
        world.cloud.before = at
        new = tell_whole_story(world, place)
        assert world.run(new).status == RunStatus.VERIFIED
        delete(world, new)
        assert is_clean(world, new)
        if not at.raised:
            return
    raise AssertionError("the story has no end")


@pytest.mark.timeout(300)
@pytest.mark.parametrize("text", [HELLO, BALANCED], ids=["hello", "balanced"])
def test_a_build_that_is_refused_at_any_call_leaves_nothing(small_world: World, text: str) -> None:
    world = small_world
    for place in range(1, PLACES_MAX):
        at = At(place, lambda: Permanent("quota exceeded"))
        world.cloud.before = at
        new = world.push(text, branch=f"try-{place}")
        world.settle(until_s=5)
        if world.run(new).status == RunStatus.RUNNING:
            assert not at.raised
            return
        assert world.run(new).reason == "quota exceeded"
        world.settle()
        assert is_clean(world, new)
    raise AssertionError("the story has no end")


@pytest.mark.timeout(300)
@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_worker_killed_while_a_build_is_taken_back_leaves_nothing(
    small_world: World, moment: str
) -> None:
    """The second server cannot be built, when the balancer and its address are there."""
    world = small_world
    for place in range(1, PLACES_MAX):
        world.cloud.broken_server = "web-2"
        at = At(place, Killed, only_changes=True)
        setattr(world.cloud, moment, at)
        new = world.push(BALANCED, branch=f"try-{place}")
        drive(world, world.settle)
        assert world.run(new).reason.startswith("server web-2 could not be built")
        assert is_clean(world, new)
        if not at.raised:
            return
    raise AssertionError("the story has no end")


@contextmanager
def every_statement(world: World, at: At) -> Iterator[None]:
    """Its kill falls between two statements, or before a commit."""
    engine = world.database.engine
    sa.event.listen(engine, "before_cursor_execute", at)
    sa.event.listen(engine, "commit", at)
    try:
        yield
    finally:
        sa.event.remove(engine, "before_cursor_execute", at)
        sa.event.remove(engine, "commit", at)


@pytest.mark.timeout(600)
def test_a_worker_killed_between_any_two_statements_loses_and_doubles_nothing(
    small_world: World,
) -> None:
    world = small_world
    for place in range(1, PLACES_MAX):
        at = At(place, Killed)
        new = world.push(branch=f"try-{place}")
        world.cloud.created = 0

        def act(new: Run = new) -> None:
            while world.turn():
                pass
            world.clock.advance(1)

        with every_statement(world, at):
            for _ in range(8):
                drive(world, act)
        world.verify(new)
        assert world.run(new).status == RunStatus.VERIFIED
        assert len(world.cloud.made) == world.cloud.created == OBJECTS
        delete(world, new)
        assert is_clean(world, new)
        if not at.raised:
            return
    raise AssertionError("the story has no end")


def test_every_step_may_run_twice(small_world: World) -> None:
    """After each step the flow is put back to its beginning, with what it knew then."""
    world = small_world
    new = world.push()
    for _ in range(20):
        before = row(world, new)
        if not world.turn():
            world.clock.advance(1)
            if before.step == "configure":
                break
            continue
        after = row(world, new)
        put_back(world, before)
        made = world.cloud.created
        world.turn()
        assert world.cloud.created == made
        again = row(world, new)
        assert again.status == after.status
        assert STEPS.index(again.step) >= STEPS.index(after.step)  # A wait may have ended.
    world.verify(new)
    assert world.run(new).status == RunStatus.VERIFIED
    assert len(world.cloud.made) == OBJECTS


def test_every_undo_may_run_twice(small_world: World) -> None:
    world = small_world
    world.cloud.broken_server = "web-1"
    new = world.push()
    undone: list[str] = []
    for _ in range(40):
        before = row(world, new)
        if not world.turn():
            world.clock.advance(1)
            continue
        if before.status == flows.FlowStatus.UNDOING:
            undone.append(before.step)
            put_back(world, before)
            world.turn()
    world.settle()
    assert undone
    assert world.run(new).reason.startswith("server web-1 could not be built")
    assert is_clean(world, new)


def row(world: World, of: Run) -> sa.Row[Any]:
    with world.database.read() as connection:
        return connection.execute(sa.select(flow).where(flow.c.id == of.id)).one()


def put_back(world: World, before: sa.Row[Any]) -> None:
    with world.database.write() as connection:
        values = dict(before._mapping)
        connection.execute(sa.update(flow).where(flow.c.id == before.id).values(**values))
