"""No server takes writes: who only shows things reads from those that are left, and who writes is told so."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest
from sqlalchemy.engine import Connection
from tests.postgres import PostgresServer, own_postgres

from kumoi.base.errors import StoreLost
from kumoi.engine import db, feed
from kumoi.engine.db import Database
from kumoi.engine.schema import metadata


@dataclass(frozen=True, slots=True)
class Store:
    """`follower` takes no writes, and has what was there when it was made."""

    leader: PostgresServer
    follower: PostgresServer
    database: Database

    @property
    def revision(self) -> int:
        with self.database.following(), self.database.read() as connection:
            return feed.position(connection).revision

    def touch(self) -> None:
        with self.database.write() as connection:
            feed.touch(connection, "server", "a")


@contextlib.contextmanager
def frozen(server: PostgresServer) -> Iterator[None]:
    """With all processes that it has started."""
    pid = int((server.home / "data/postmaster.pid").read_text().split()[0])
    started = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    pids = [pid, *map(int, started)]
    for each in pids:
        os.kill(each, signal.SIGSTOP)
    try:
        yield
    finally:
        for each in pids:
            os.kill(each, signal.SIGCONT)


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    monkeypatch.setattr(db, "FAILOVER_WAIT_S", 0.5)
    monkeypatch.setattr(db, "FOLLOW_WAIT_S", 0.5)
    with own_postgres() as leader, own_postgres() as follower:
        for server in (leader, follower):
            with contextlib.closing(Database(server.url, wake_dir=tmp_path)) as made:
                metadata.create_all(made.engine)
        with psycopg.connect(follower.libpq_url, autocommit=True) as admin:
            admin.execute("ALTER DATABASE postgres SET default_transaction_read_only = on")
        both = f"{leader.home},{follower.home}"
        url = f"postgresql+psycopg://kumoi@/postgres?host={both}&target_session_attrs=read-write"
        database = Database(url, wake_dir=tmp_path / "wake")
        with contextlib.closing(database):
            yield Store(leader, follower, database)


def test_reads_are_the_leaders_while_there_is_one(store: Store) -> None:
    store.touch()
    assert store.revision == 1


def test_a_reader_gets_what_the_others_have_and_a_writer_an_error(store: Store) -> None:
    store.touch()
    store.leader.kill()
    assert store.revision == 0  # This follower has nothing of it.
    with pytest.raises(StoreLost):
        store.touch()
    assert not store.database.takes_changes
    assert store.revision == 0


def test_who_acts_by_what_he_reads_waits_for_the_leader(store: Store) -> None:
    store.leader.kill()
    with pytest.raises(StoreLost), store.database.read():
        pass


def test_reads_are_the_leaders_again_when_it_is_back(store: Store) -> None:
    store.touch()
    store.leader.kill()
    assert store.revision == 0
    store.leader.start()
    store.touch()
    assert store.database.takes_changes
    assert store.revision == 2


def test_without_any_server_a_reader_is_told_so(store: Store) -> None:
    store.leader.kill()
    store.follower.kill()
    with pytest.raises(StoreLost):
        assert store.revision


def test_servers_that_are_frozen_are_not_waited_for(store: Store) -> None:
    """A connection to one that was frozen since is never answered."""
    store.leader.kill()
    assert store.revision == 0  # And the follower's connection is kept.
    store.leader.start()
    store.touch()
    with frozen(store.follower):
        store.leader.kill()
        with pytest.raises(StoreLost):
            assert store.revision
    assert store.revision == 0


def test_a_leader_that_does_not_answer_in_time_is_read_from_later(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its late answer ends the outage, and its connection is of use."""
    begun: list[Connection] = []
    assert store.revision == 0
    monkeypatch.setattr(db, "LEADER_S", 0.0)
    with store.database.following(), store.database.read() as connection:
        begun.append(connection)
    assert begun
    store.touch()
    monkeypatch.undo()
    assert store.revision == 1
