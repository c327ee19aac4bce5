"""Who sees to it that the control plane takes writes: the healer, and who may be it soon."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from kumoi.base.clock import SetClock
from kumoi.cloud.reconcilers.healing import NAME, PROVE_EVERY_S, WritableWatch
from kumoi.cloud.worker import prove
from kumoi.engine.db import Database
from kumoi.engine.loop_leases import TTL_S, LoopLeases
from kumoi.engine.schema import metadata
from kumoi.hosts.cluster import leases
from tests.lease_book import RememberedLeases


class Worker:
    def __init__(self, name: str, url: str, book: RememberedLeases, clock: SetClock) -> None:
        self.name = name
        self.database = Database(url, wake_dir=Path("/nonexistent"))
        metadata.create_all(self.database.engine)
        self.database.set_clock(clock)
        self.watch = WritableWatch(self.database, book, clock, who=name)
        self.loops = LoopLeases(self.database, seconds=clock.monotonic)

    def look(self) -> bool:
        """Whether it is the healer."""
        is_healer = self.loops.begin(NAME, f"{NAME} {self.name}")
        if is_healer:
            self.loops.end(NAME)
        prove(self.watch, self.loops)
        return is_healer


class World:
    def __init__(self, url: str) -> None:
        self.clock, self.book = SetClock(), RememberedLeases()
        self.first, self.second = (
            Worker(name, url, self.book, self.clock) for name in ("first", "second")
        )

    def go_on(self, *workers: Worker, seconds: float) -> None:
        for _ in range(int(seconds / PROVE_EVERY_S)):
            for worker in workers:
                worker.look()
            self.clock.advance(PROVE_EVERY_S)


@pytest.fixture
def world(store_url: str) -> Iterator[World]:
    made = World(store_url)
    yield made
    for worker in (made.first, made.second):
        worker.database.close()


def test_a_worker_that_is_not_the_healer_writes_nothing(world: World) -> None:
    world.go_on(world.first, world.second, seconds=60)
    assert set(world.book.proofs) == {"first"}
    assert world.first.watch.for_s >= leases.TTL_S
    assert world.second.watch.for_s == 0


def test_the_next_healer_began_to_count_before_the_lease_of_the_last_was_over(
    world: World,
) -> None:
    world.go_on(world.first, world.second, seconds=20)
    gone_s = world.clock.monotonic()
    while not world.second.look():
        world.clock.advance(1)
    assert world.clock.monotonic() - gone_s <= TTL_S + 1
    assert world.second.watch.for_s > 0
    assert (
        world.second.watch.for_s < leases.TTL_S
    )  # It has seen them be written to for less than that.
    world.go_on(world.second, seconds=leases.TTL_S)
    assert world.second.watch.for_s >= leases.TTL_S
