from __future__ import annotations

import asyncio
import threading
from pathlib import Path

from sqlalchemy.engine import Connection

from kumoi.base.errors import Transient
from kumoi.engine import feed, lease
from kumoi.engine.db import Database
from kumoi.engine.loop import Loop, Poke, run

BOUND_S = 10.0


def drive(database: Database, *loops: Loop, until: threading.Event) -> None:
    """Run the loops until the event is set."""

    async def driven() -> None:
        tasks = [asyncio.create_task(run(loop, database)) for loop in loops]
        try:
            assert await asyncio.to_thread(until.wait, BOUND_S)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    asyncio.run(driven())


def test_a_round_runs_at_once_and_again_when_somebody_writes(database: Database) -> None:
    rounds: list[int] = []
    done = threading.Event()

    def round_() -> None:
        rounds.append(1)
        if len(rounds) == 1:
            with database.write() as connection:
                feed.touch(connection, "server", "a")
        if len(rounds) == 2:
            done.set()

    drive(database, Loop("planner", round_, interval_s=60), until=done)


def test_a_round_that_fails_is_tried_again(database: Database) -> None:
    rounds: list[int] = []
    done = threading.Event()

    def round_() -> None:
        rounds.append(1)
        if len(rounds) < 3:
            raise Transient("not yet", retry_after_s=0.01)
        done.set()

    drive(database, Loop("planner", round_, interval_s=60), until=done)
    assert len(rounds) == 3


def test_of_two_processes_one_runs_the_loop(
    store_url: str, database: Database, tmp_path: Path
) -> None:
    twin = Database(store_url, wake_dir=tmp_path / "wake")
    running: set[str] = set()
    done = threading.Event()

    def round_of(name: str) -> Loop:
        def round_() -> None:
            running.add(name)
            if rounds_left.pop() == 0:
                done.set()

        return Loop("planner", round_, interval_s=0.01)

    rounds_left = list(range(20))

    async def driven() -> None:
        tasks = [
            asyncio.create_task(run(round_of(name), which))
            for name, which in (("one", database), ("two", twin))
        ]
        try:
            assert await asyncio.to_thread(done.wait, BOUND_S)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    asyncio.run(driven())
    assert len(running) == 1
    twin.close()


def test_who_waits_for_its_turn_writes_nothing(database: Database) -> None:
    with database.write(wakes=False) as connection:
        assert lease.claim(connection, "planner", token="somebody", ttl_s=3_600)
    writes: list[Connection] = []
    database.before_commit = writes.append
    rounds: list[int] = []
    done = threading.Event()

    def other() -> None:
        rounds.append(len(writes))
        if len(rounds) == 20:
            done.set()

    def planner() -> None:
        rounds.append(-1)

    drive(database, Loop("planner", planner, 0.01), Loop("other", other, 0.01), until=done)
    assert set(rounds) == {1}  # One for its own lease, and none of the other's.


def test_a_poke_from_another_thread_brings_the_next_round(database: Database) -> None:
    poke, done = Poke(), threading.Event()
    rounds: list[int] = []

    def round_() -> None:
        rounds.append(1)
        if len(rounds) == 1:
            threading.Thread(target=poke).start()
        else:
            done.set()

    drive(database, Loop("planner", round_, 60, poke), until=done)
