from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from kumoi.base.clock import SetClock
from kumoi.engine import lease
from kumoi.engine.db import Database
from kumoi.engine.loop_leases import LOOK_EVERY_S, MISSED_S, RENEWED_S, TTL_S, LoopLeases
from kumoi.engine.schema import lease as table


@dataclass
class Process:
    """Its clock and the database's move together, and only when they are told to."""

    database: Database
    name: str
    clock: SetClock
    writes: list[Connection] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.database.set_clock(self.clock)
        self.database.before_commit = self._wrote
        sa.event.listen(self.database.engine, "before_cursor_execute", self._sent)
        self.leases = LoopLeases(self.database, seconds=self.clock.monotonic)

    def round(self, *names: str) -> list[bool]:
        found = []
        for name in names:
            found.append(self.leases.begin(name, f"{name} {self.name}"))
            if found[-1]:
                self.leases.end(name)
        return found

    def has(self, name: str) -> bool:
        """By the store."""
        with self.database.read() as connection:
            return lease.is_held(connection, name, token=f"{name} {self.name}", margin_s=0)

    def _wrote(self, connection: Connection) -> None:
        self.writes.append(connection)

    def _sent(self, _connection: object, _cursor: object, statement: str, *_: object) -> None:
        if "FROM lease" in statement:
            self.asked.append(statement)


@pytest.fixture
def here(database: Database) -> Process:
    return Process(database, "here", SetClock())


@pytest.fixture
def twin(here: Process, store_url: str, tmp_path: Path) -> Iterator[Process]:
    """Another process, at the same time."""
    opened = Database(store_url, wake_dir=tmp_path / "wake")
    yield Process(opened, "there", here.clock)
    opened.close()


def take_away(process: Process, name: str) -> None:
    with process.database.write(wakes=False) as connection:
        connection.execute(sa.delete(table).where(table.c.name == name))
        assert lease.claim(connection, name, token="elsewhere", ttl_s=3_600)


def test_one_write_renews_all_leases_of_a_process(here: Process) -> None:
    names = ("server", "host", "network")
    assert here.round(*names) == [True] * 3
    assert len(here.writes) == 3  # Each took its own.
    for _ in range(4):
        here.clock.advance(RENEWED_S + 0.1)
        assert here.round(*names) == [True] * 3
    assert len(here.writes) == 3 + 4
    assert all(here.has(name) for name in names)


def test_nothing_is_asked_while_half_of_the_time_is_left(here: Process) -> None:
    here.round("server")
    here.asked.clear()
    here.clock.advance(RENEWED_S - 0.1)
    assert here.round("server") == [True]
    assert here.asked == []
    assert len(here.writes) == 1


def test_a_round_that_does_not_end_keeps_no_lease(here: Process, twin: Process) -> None:
    here.round("server")
    assert here.leases.begin("network", "network here")  # And never ends.
    for _ in range(4):
        here.clock.advance(RENEWED_S + 0.1)
        assert here.round("server") == [True]
    assert not here.has("network")
    assert twin.round("server", "network") == [False, True]
    here.clock.advance(RENEWED_S + 0.1)
    assert here.round("server") == [True]
    assert twin.has("network")


def test_a_lease_that_another_process_took_is_not_renewed_with_the_others(here: Process) -> None:
    here.round("server", "network")
    take_away(here, "network")
    here.clock.advance(RENEWED_S + 0.1)
    assert here.round("server", "network") == [True, False]


def test_who_stood_still_for_its_time_asks_again(here: Process, twin: Process) -> None:
    here.round("server")
    here.clock.advance(TTL_S)
    assert twin.round("server") == [True]
    assert here.round("server") == [False]


def test_who_waits_looks_at_all_leases_at_once_and_rarely(here: Process, twin: Process) -> None:
    names = ("server", "host", "network")
    here.round(*names)
    assert twin.round(*names) == [False] * 3
    twin.asked.clear()
    for _ in range(3):
        here.clock.advance(LOOK_EVERY_S / 4)
        assert twin.round(*names) == [False] * 3
    assert twin.asked == []
    here.clock.advance(LOOK_EVERY_S)
    assert twin.round(*names) == [False] * 3
    assert len(twin.asked) == 1
    assert twin.writes == []


def test_a_released_lease_is_taken_by_the_next(here: Process, twin: Process) -> None:
    here.round("server")
    assert twin.round("server") == [False]
    here.leases.release("server")
    here.clock.advance(LOOK_EVERY_S)
    assert twin.round("server") == [True]


def test_a_lease_may_come_to_who_has_it_or_when_its_holder_is_late(
    here: Process, twin: Process
) -> None:
    assert twin.leases.may_come("heal")  # Nothing is known yet.
    here.round("heal")
    twin.round("heal")
    assert here.leases.may_come("heal")
    assert not twin.leases.may_come("heal")
    here.clock.advance(RENEWED_S + 0.1)  # Each second it looks, so it renews about now.
    assert not twin.leases.may_come("heal")
    here.clock.advance(TTL_S - RENEWED_S - MISSED_S)
    assert twin.leases.may_come("heal")
    here.round("heal")
    twin.round("heal")
    assert not twin.leases.may_come("heal")
