"""The rules of the flow engine, on both databases."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import msgspec
import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from kumoi.base import log
from kumoi.base.clock import Clock, SetClock
from kumoi.base.errors import Permanent, Transient
from kumoi.base.ids import new_id
from kumoi.base.process import run
from kumoi.engine import flow as flows
from kumoi.engine import schema
from kumoi.engine.db import Database, now
from kumoi.engine.flow import Done, FlowChange, FlowKind, FlowStatus, Next, Outcome, Wait, step
from kumoi.engine.flow_turn import UNDO_DEADLINE_S
from kumoi.engine.flow_worker import IDLE_MAX_S, LEASE_TTL_S, Flows


class Trip(msgspec.Struct):
    seats: int = 0


class Script:
    """What each step does, set by the test, and which were called. `broken` is raised in place of
    making the steps object.
    """

    def __init__(self) -> None:
        self.called: list[str] = []
        self.changes: list[FlowChange] = []
        self.does: dict[str, Callable[[Trip], Any]] = {}
        self.broken: Exception | None = None

    def kind(self, **changed: Any) -> FlowKind[Trip]:
        return FlowKind(
            "trip",
            **{"state": Trip, "steps": Steps, "first": "book", **changed},
            on_change=self.on_change,
        )

    def on_change(self, _connection: Connection, change: FlowChange) -> None:
        self.changes.append(change)

    def worker(self, database: Database, clock: Clock, **changed: Any) -> Flows:
        return Flows(database, clock, {self.kind(**changed): self.make})

    def make(self, trip: Trip) -> Steps:
        if self.broken is not None:
            raise self.broken
        return Steps(trip, self)


class Steps:
    def __init__(self, trip: Trip, script: Script) -> None:
        self.trip = trip
        self.script = script

    def _do(self, name: str, otherwise: Outcome) -> Outcome:
        self.script.called.append(name)
        does = self.script.does.get(name)
        return does(self.trip) if does else otherwise

    @step(undo="unbook", deadline_s=60)
    def book(self) -> Outcome:
        self.trip.seats += 1
        return self._do("book", Next("pay"))

    @step(undo="refund", deadline_s=60)
    def pay(self) -> Outcome:
        return self._do("pay", Next("travel"))

    @step(undo=None, deadline_s=60)
    def travel(self) -> Outcome:
        return self._do("travel", Done())

    def unbook(self) -> Outcome:
        return self._do("unbook", Done())

    def refund(self) -> Outcome:
        return self._do("refund", Done())


class World:
    def __init__(self, database: Database) -> None:
        self.database = database
        self.clock = SetClock()
        database.set_clock(self.clock)
        self.script = Script()
        schema.metadata.create_all(database.engine)
        self.flows = self.script.worker(database, self.clock)

    def start(self, id: str = "f1") -> bool:
        with self.database.write() as connection:
            return flows.start(connection, self.script.kind(), id, Trip(), subject="s1")

    def run(self) -> None:
        while self.flows.advance():
            pass

    def row(self, id: str = "f1") -> sa.Row[Any]:
        with self.database.read() as connection:
            return connection.execute(sa.select(schema.flow).where(schema.flow.c.id == id)).one()

    def cancel(self, id: str = "f1") -> bool:
        with self.database.write() as connection:
            return flows.cancel(connection, id, "not wanted")


@pytest.fixture
def world(database: Database) -> World:
    return World(database)


def fails(error: Exception) -> Callable[[Trip], Outcome]:
    def act(_trip: Trip) -> Outcome:
        raise error

    return act


def test_steps_run_in_order_and_their_state_is_kept(world: World) -> None:
    assert world.start()
    world.run()
    assert world.script.called == ["book", "pay", "travel"]
    assert world.row().status == FlowStatus.DONE
    assert world.row().state == {"seats": 1}
    assert world.row().due_at is None


def test_a_flow_of_the_same_id_starts_once(world: World) -> None:
    assert world.start()
    assert not world.start()


def test_the_noun_follows_every_move(world: World) -> None:
    world.start()
    world.run()
    assert [(m.status, m.step) for m in world.script.changes] == [
        (FlowStatus.RUNNING, "pay"),
        (FlowStatus.RUNNING, "travel"),
        (FlowStatus.DONE, "travel"),
    ]


def test_a_permanent_failure_undoes_what_was_reached_last_first(world: World) -> None:
    world.script.does["pay"] = fails(Permanent("no money"))
    world.start()
    world.run()
    assert world.script.called == ["book", "pay", "refund", "unbook"]
    assert (world.row().status, world.row().failure) == (FlowStatus.FAILED, "no money")


def test_a_transient_failure_is_tried_again_after_its_time(world: World) -> None:
    world.script.does["pay"] = fails(Transient("bank is closed", retry_after_s=7))
    world.start()
    world.run()
    assert world.script.called == ["book", "pay"]
    assert world.row().waits_for == "bank is closed"
    del world.script.does["pay"]
    world.clock.advance(6)
    world.run()
    assert world.row().status == FlowStatus.RUNNING
    world.clock.advance(3)
    world.run()
    assert world.row().status == FlowStatus.DONE


def test_a_bug_is_tried_again_and_ends_at_the_deadline(world: World) -> None:
    world.script.does["pay"] = fails(ZeroDivisionError("oops"))
    world.start()
    for _ in range(40):
        world.run()
        world.clock.advance(10)
    assert world.row().status == FlowStatus.FAILED
    assert world.row().failure == "pay did not end in time: oops"
    assert world.script.called[-2:] == ["refund", "unbook"]


def test_anything_but_an_outcome_is_refused(world: World) -> None:
    world.script.does["book"] = lambda _trip: None
    world.start()
    world.run()
    assert world.row().status == FlowStatus.RUNNING
    assert "returned NoneType" in world.row().waits_for


def test_a_step_that_does_not_exist_is_refused(world: World) -> None:
    world.script.does["book"] = lambda _trip: Next("fly")
    world.start()
    world.run()
    assert world.row().step == "book"
    assert "no step fly" in world.row().waits_for


def test_a_wait_ends_at_the_steps_deadline(world: World) -> None:
    world.script.does["travel"] = lambda _trip: Wait("the train", again_s=10)
    world.start()
    for _ in range(8):
        world.run()
        world.clock.advance(10)
    assert world.row().status == FlowStatus.FAILED
    assert world.row().failure == "travel did not end in time: the train"


def test_a_waiting_flow_that_is_woken_looks_at_once(world: World) -> None:
    world.script.does["pay"] = lambda _trip: Wait("the bank", again_s=50)
    world.start()
    world.run()
    del world.script.does["pay"]
    world.run()
    assert world.row().status == FlowStatus.RUNNING
    with world.database.write() as connection:
        flows.wake(connection, "f1")
    world.run()
    assert world.row().status == FlowStatus.DONE


def test_a_wake_up_during_the_step_is_not_lost(world: World) -> None:
    def wakes(_trip: Trip) -> Outcome:
        world.script.does.clear()
        with world.database.write() as connection:
            flows.wake(connection, "f1")
        return Wait("the bank", again_s=50)

    world.script.does["pay"] = wakes
    world.start()
    world.run()
    assert world.row().status == FlowStatus.DONE


def test_a_cancelled_flow_undoes_what_it_did(world: World) -> None:
    world.script.does["travel"] = lambda _trip: Wait("the train", again_s=50)
    world.start()
    world.run()
    assert world.cancel()
    world.run()
    assert world.script.called == ["book", "pay", "travel", "refund", "unbook"]
    assert (world.row().status, world.row().failure) == (FlowStatus.CANCELLED, "not wanted")
    assert not world.cancel()


def test_an_undo_that_fails_does_not_keep_the_others_from_running(world: World) -> None:
    world.script.does["pay"] = fails(Permanent("no money"))
    world.script.does["refund"] = fails(Permanent("no till"))
    world.start()
    world.run()
    assert world.script.called[-1] == "unbook"
    assert world.row().failure == "no money; refund: no till"


def test_an_undo_may_wait(world: World) -> None:
    world.script.does["pay"] = fails(Permanent("no money"))
    world.script.does["refund"] = lambda _trip: Wait("the till", again_s=5)
    world.start()
    world.run()
    assert world.row().status == FlowStatus.UNDOING
    del world.script.does["refund"]
    world.clock.advance(6)
    world.run()
    assert world.row().status == FlowStatus.FAILED


def test_an_undo_is_not_a_place_to_go_on_from(world: World) -> None:
    world.script.does["pay"] = fails(Permanent("no money"))
    world.script.does["refund"] = lambda _trip: Next("travel")
    world.start()
    world.run()
    assert "returned Next" in world.row().waits_for


def test_a_step_that_names_no_undo_of_its_own_is_refused(database: Database) -> None:
    class Wrong:
        @step(undo="nothing", deadline_s=10)
        def only(self) -> Outcome:
            return Done()

    schema.metadata.create_all(database.engine)
    kind = FlowKind("wrong", Trip, Wrong, "only")
    clock = SetClock()
    with database.write() as connection:
        flows.start(connection, kind, "w", Trip(), subject="")
    Flows(database, clock, {kind: lambda _trip: Wrong()}).advance()
    with database.read() as connection:
        statuses = connection.execute(sa.select(schema.flow.c.id, schema.flow.c.status)).all()
        assert statuses == [("w", FlowStatus.RUNNING)]


def test_a_flow_held_by_one_worker_is_not_run_by_another(world: World) -> None:
    other = world.script.worker(world.database, world.clock)

    def while_held(_trip: Trip) -> Outcome:
        assert not other.advance()
        return Next("pay")

    world.script.does["book"] = while_held
    world.start()
    world.run()
    assert world.row().status == FlowStatus.DONE


def test_a_worker_whose_clock_is_wrong_steals_nothing(world: World) -> None:
    fast = SetClock(at=world.clock.now() + timedelta(hours=1))
    other = world.script.worker(world.database, fast)

    def while_held(_trip: Trip) -> Outcome:
        assert not other.advance()
        return Wait("a seat", again_s=5)

    world.script.does["book"] = while_held
    world.start()
    world.run()
    assert world.row().due_at == world.clock.now() + timedelta(seconds=5)
    assert not other.advance()


def test_a_result_that_comes_after_the_lease_was_lost_is_dropped(world: World) -> None:
    other = world.script.worker(world.database, world.clock)

    def sleeps(_trip: Trip) -> Outcome:
        world.script.does.clear()
        world.clock.advance(LEASE_TTL_S + 1)
        while other.advance():
            pass
        return Wait("too late", again_s=1)

    world.script.does["book"] = sleeps
    world.start()
    world.run()
    assert world.row().status == FlowStatus.DONE
    assert world.script.called == ["book", "book", "pay", "travel"]


class Killed(BaseException):
    """Stands for kill -9: nothing of ours catches it."""


def test_a_worker_killed_in_a_step_leaves_it_to_the_next(world: World) -> None:
    def killed(_trip: Trip) -> Outcome:
        raise Killed

    world.script.does["pay"] = killed
    world.start()
    with pytest.raises(Killed):
        world.run()
    world.script.does.clear()
    world.run()
    assert world.script.called == ["book", "pay"]
    world.clock.advance(LEASE_TTL_S)
    world.run()
    assert world.row().status == FlowStatus.DONE


def test_what_a_killed_worker_of_this_machine_held_goes_on_at_once(database: Database) -> None:
    world = World(database)
    code = "from kumoi.engine import holder; print(holder.new_token())"
    ended = run([sys.executable, "-c", code]).out.strip()
    clock = Clock()
    with database.write() as connection:
        flows.start(connection, world.script.kind(), "f1", Trip(), subject="")
        expires_at = now(connection) + timedelta(hours=1)
        connection.execute(
            sa.update(schema.flow).values(lease_token=ended, lease_expires_at=expires_at)
        )

    async def story() -> None:
        worker = asyncio.create_task(world.script.worker(database, clock).run(workers=1))
        async with asyncio.timeout(10):
            while True:
                if world.row().status == FlowStatus.DONE:
                    break
                await asyncio.sleep(0.02)
        worker.cancel()
        await asyncio.gather(worker, return_exceptions=True)

    asyncio.run(story())


def test_workers_share_flows_in_threads_and_keep_their_leases(database: Database) -> None:
    schema.metadata.create_all(database.engine)
    script = Script()
    clock = Clock()
    ids = [new_id() for _ in range(20)]
    with database.write() as connection:
        for each in ids:
            flows.start(connection, script.kind(), each, Trip(), subject="")

    async def story() -> None:
        workers = [
            asyncio.create_task(script.worker(database, clock).run(workers=3)) for _ in range(2)
        ]
        async with asyncio.timeout(30):
            while True:
                with database.read() as connection:
                    statuses = sa.select(schema.flow.c.status).where(schema.flow.c.id.in_(ids))
                    states = set(connection.execute(statuses).scalars())
                if states == {FlowStatus.DONE}:
                    break
                await asyncio.sleep(0.02)
        for worker in workers:
            worker.cancel()
        await asyncio.gather(*workers, return_exceptions=True)

    asyncio.run(story())
    assert sorted(script.called) == ["book"] * 20 + ["pay"] * 20 + ["travel"] * 20


def test_a_long_steps_lease_is_renewed(world: World) -> None:
    other = world.script.worker(world.database, world.clock)

    def long(_trip: Trip) -> Outcome:
        for _ in range(4):
            world.clock.advance(LEASE_TTL_S / 2)
            world.flows._renew()
        assert world.row().lease_expires_at > world.clock.now() + timedelta(seconds=1)
        assert not other.advance()
        return Next("pay")

    world.script.does["book"] = long
    world.start()
    world.run()
    assert world.row().status == FlowStatus.DONE


def test_a_flow_is_left_to_processes_that_know_its_kind_step_and_state(world: World) -> None:
    class WithoutPay:
        book = Steps.book
        unbook = Steps.unbook

    strangers = [
        Flows(world.database, world.clock, {}),
        world.script.worker(world.database, world.clock, oldest=2, version=3),
        world.script.worker(world.database, world.clock, steps=WithoutPay),
    ]
    world.start()
    assert world.flows.advance()
    assert world.row().step == "pay"
    assert not any(stranger.advance() for stranger in strangers)
    assert world.row().lease_token == ""
    world.run()
    assert world.row().status == FlowStatus.DONE


def test_a_step_goes_to_no_step_of_another_release(world: World) -> None:
    world.script.does["book"] = lambda _trip: Next("unbook")
    world.start()
    world.run()
    assert world.row().step == "book"
    assert "no step unbook" in world.row().waits_for


def test_a_newer_state_is_not_taken_back_by_an_older_release(world: World) -> None:
    newer = world.script.worker(world.database, world.clock, version=2)
    world.start()
    assert newer.advance()
    assert world.row().state_version == 2
    assert not world.flows.advance()
    assert newer.advance()


def test_an_unknown_flow_is_told_once_and_nobody_spins_for_it(world: World) -> None:
    world.start()
    stranger = Flows(world.database, world.clock, {})
    with log.captured() as logged:
        for _ in range(3):
            assert not stranger.advance()
    assert [line["event"] for line in logged].count("flow.not_known_here") == 1
    assert stranger._idle_s() == IDLE_MAX_S


@pytest.mark.parametrize("broken", ["state", "steps"])
def test_a_flow_whose_steps_cannot_be_made_fails_at_its_deadline(world: World, broken: str) -> None:
    world.start()
    spoil(world, broken)
    for _ in range(int((60 + UNDO_DEADLINE_S) / 10) + 2):
        world.run()
        world.clock.advance(10)
    assert world.row().status == FlowStatus.FAILED
    assert world.row().failure.startswith("book did not end in time: ")
    assert world.script.called == []
    last = world.script.changes[-1]
    assert (last.subject, last.status) == ("s1", FlowStatus.FAILED)


@pytest.mark.parametrize("broken", ["state", "steps"])
def test_a_flow_whose_steps_cannot_be_made_can_be_cancelled(world: World, broken: str) -> None:
    world.start()
    spoil(world, broken)
    world.run()
    state = world.row().state
    assert world.cancel()
    world.run()
    assert (world.row().status, world.row().failure) == (FlowStatus.UNDOING, "not wanted")
    for _ in range(int(UNDO_DEADLINE_S / 10) + 2):
        world.run()
        world.clock.advance(10)
    assert world.row().status == FlowStatus.CANCELLED
    assert world.row().state == state


def test_a_flow_goes_on_when_its_steps_can_be_made_again(world: World) -> None:
    world.script.broken = ZeroDivisionError("not yet")
    world.start()
    world.run()
    assert world.row().waits_for == "not yet"
    world.script.broken = None
    world.clock.advance(10)
    world.run()
    assert world.row().status == FlowStatus.DONE


def spoil(world: World, what: str) -> None:
    if what == "steps":
        world.script.broken = ZeroDivisionError("oops")
        return
    with world.database.write() as connection:
        connection.execute(sa.update(schema.flow).values(state={"seats": "many"}))
