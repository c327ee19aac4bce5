"""When a push is acknowledged, and who may serve a repository: on each database, with other hosts that are played."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pytest

from kumoi.base.errors import Conflict, Transient
from kumoi.engine.db import Database
from kumoi.pipeline import push_copies
from kumoi.pipeline.push_copies import PushCopies
from kumoi.pipeline.repository_calls import CopyNote
from kumoi.pipeline.repository_client import NO_CHANGE
from kumoi.pipeline.store import repository
from kumoi.pipeline.store.repository import Branch, Repository

NOW = datetime(2026, 11, 29, tzinfo=UTC)
APP = Repository("r1", "p", "demo", "app", NOW)
ONE, TWO, THREE = "t1-host1", "t1-host2", "t1-host3"


@dataclass
class Peer:
    """Another control host, or this one's own unit. `gives` is what it has when it is asked."""

    host: str
    gives: int = -1
    waits: threading.Event | None = None
    asked: list[tuple[str, int]] = field(default_factory=list)

    def bring_repository(self, name: str, number: int, *, within_s: float = 0.0) -> int:
        self.asked.append((name, number))
        if self.waits is not None:
            self.waits.wait(within_s)
        if self.gives < number:
            raise Transient(f"{self.host} does not have it")
        return self.gives


@dataclass
class Disk:
    """The notes of the repositories that are here."""

    notes: dict[str, CopyNote] = field(default_factory=dict)

    def note(self, project_id: str, name: str) -> CopyNote | None:
        return self.notes.get(f"{project_id}/{name}")


@pytest.fixture
def row(database: Database) -> Repository:
    with database.write() as connection:
        repository.ensure(connection, APP)
    return APP


def of(
    database: Database, *peers: Peer, own: Peer | None = None, disk: Disk | None = None
) -> PushCopies:
    parts: dict[str, Any] = {"own": own or Peer(ONE), "peers": peers}
    return PushCopies(database, disk or Disk(), ONE, **parts)  # type: ignore[arg-type]


def stored(database: Database) -> tuple[int, str]:
    with database.read() as connection:
        found = repository.get(connection, APP.id)
    assert found is not None
    return found.changes, found.changed_on


def test_a_push_is_acknowledged_when_one_other_host_has_it(
    database: Database, row: Repository
) -> None:
    never = threading.Event()
    two, three = Peer(TWO, gives=2), Peer(THREE, gives=2, waits=never)
    copies = of(database, two, three)
    change = copies.begin(row)
    assert (change, stored(database)) == (CopyNote("r1", 1), (1, ONE))
    assert copies.end(row, change) == ""
    assert stored(database) == (2, ONE)
    assert two.asked == [("p/app", 2)]
    never.set()


def test_a_host_that_does_not_answer_is_no_reason_to_wait_for_it(
    database: Database, row: Repository
) -> None:
    copies = of(database, Peer(TWO), Peer(THREE, gives=2))
    assert copies.end(row, copies.begin(row)) == ""


def test_whoever_pushes_is_told_where_no_other_host_has_it(
    database: Database, row: Repository
) -> None:
    copies = of(database, Peer(TWO), Peer(THREE))
    said = copies.end(row, copies.begin(row))
    assert said.startswith("this push is on the disk of t1-host1 alone")
    assert stored(database) == (2, ONE)  # It is kept all the same.


def test_a_change_that_never_ended_is_followed_by_one_with_another_number(
    database: Database, row: Repository
) -> None:
    copies = of(database, Peer(TWO, gives=9))
    assert [copies.begin(row).number for _ in range(3)] == [1, 3, 5]


def test_a_push_that_another_host_overtook_is_not_acknowledged(
    database: Database, row: Repository
) -> None:
    copies = of(database, Peer(TWO, gives=9))
    change = copies.begin(row)
    other = PushCopies(database, Disk(), TWO, own=Peer(TWO))  # type: ignore[arg-type]
    theirs = other.begin(row)
    with pytest.raises(Conflict, match="push again"):
        copies.end(row, change)
    assert stored(database) == (theirs.number, TWO)


def test_a_cloud_of_one_control_host_notes_nothing_and_asks_nobody(
    database: Database, row: Repository
) -> None:
    copies = PushCopies(database, Disk(), ONE)  # type: ignore[arg-type]
    change = copies.begin(row)
    assert change == NO_CHANGE
    assert copies.end(row, change) == ""
    copies.require_here(row)
    assert stored(database) == (0, "")


@pytest.mark.parametrize(
    ("changes", "note", "asks"),
    [
        (0, None, False),  # Nobody has pushed yet.
        (0, CopyNote(), False),  # From before notes were taken.
        (4, CopyNote("r1", 4), False),
        (5, CopyNote("r1", 4), False),  # What is being pushed elsewhere is not acknowledged yet.
        (4, CopyNote("r1", 2), True),
        (4, CopyNote(), True),
        (4, CopyNote("r0", 8), True),  # An earlier one of the name.
        (4, None, True),
        (0, CopyNote("r1", -1), True),  # A copy that is being made.
    ],
)
def test_what_is_not_here_is_asked_for_before_it_is_served(
    database: Database, row: Repository, changes: int, note: CopyNote | None, asks: bool
) -> None:
    with database.write() as connection:
        for _ in range(changes // 2):
            repository.end_change(
                connection, row.id, TWO, repository.begin_change(connection, row.id, TWO)
            )
        if changes % 2:
            repository.begin_change(connection, row.id, TWO)
    own = Peer(ONE, gives=9)
    disk = Disk({"p/app": note} if note else {})
    of(database, own=own, disk=disk).require_here(row)
    assert own.asked == ([("p/app", changes - changes % 2)] if asks else [])


def test_a_repository_that_lost_its_disk_is_not_new(database: Database, row: Repository) -> None:
    """One from before notes were taken, of which branches are known."""
    with database.write() as connection:
        repository.set_branch(connection, row.id, Branch("main", "c1", 1))
    with pytest.raises(Transient, match="not on this host's disk"):
        of(database, own=Peer(ONE)).require_here(row)


def test_heads_are_not_compared_while_another_host_is_moving_them(
    database: Database, row: Repository
) -> None:
    copies = of(database)
    with database.write() as connection:
        repository.begin_change(connection, row.id, TWO)
        theirs = repository.get(connection, row.id)
        repository.begin_change(connection, row.id, ONE)
        ours = repository.get(connection, row.id)
    assert theirs is not None
    assert ours is not None
    assert copies.is_changed_elsewhere(theirs)
    assert not copies.is_changed_elsewhere(ours)


def test_a_host_that_waits_is_given_a_bound() -> None:
    assert push_copies.TAKEN_WITHIN_S <= 30
