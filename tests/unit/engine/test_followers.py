"""No server takes writes, or the one that does is silent: who only shows things reads from those that are left, what was
acknowledged, or is told that something may be missing; who writes waits and is told so.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Connection
from tests.postgres import PostgresServer
from tests.postgres_three import WITHIN_S, ThreeServers, execute, three_servers, wait_until

from kumoi.base.errors import StoreLost
from kumoi.engine import db, engines, feed
from kumoi.engine.db import Database
from kumoi.engine.followers import Followers
from kumoi.engine.schema import feed_revision, metadata


@dataclass(frozen=True, slots=True)
class Store:
    """Of three servers, as of three hosts: what is written is acknowledged when one of the others has it."""

    leader: PostgresServer
    standbys: tuple[PostgresServer, PostgresServer]
    database: Database

    def look(self) -> tuple[int, bool]:
        """The revision that a reader is shown, and whether he is told that it may be behind."""
        with self.database.following() as following:
            with self.database.read() as connection:
                found = shown(connection)
            return found, following.is_behind

    def touch(self) -> None:
        with self.database.write() as connection:
            feed.touch(connection, "server", "a")

    @contextlib.contextmanager
    def applying_nothing(self, *standbys: PostgresServer) -> Iterator[None]:
        for each in standbys:
            execute(each, "SELECT pg_wal_replay_pause()")
        try:
            yield
        finally:
            for each in standbys:
                execute(each, "SELECT pg_wal_replay_resume()")


@contextlib.contextmanager
def frozen(*servers: PostgresServer) -> Iterator[None]:
    """With all processes that they have started."""
    first = [int((each.home / "data/postmaster.pid").read_text().split()[0]) for each in servers]
    send(first, signal.SIGSTOP)
    started = [pid for each in first for pid in started_by(each)]
    send(started, signal.SIGSTOP)
    try:
        yield
    finally:
        send([*started, *first], signal.SIGCONT)


def send(pids: Iterable[int], number: signal.Signals) -> None:
    for each in pids:
        with contextlib.suppress(ProcessLookupError):  # It was about to end.
            os.kill(each, number)


def started_by(pid: int) -> list[int]:
    return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@pytest.fixture(scope="module")
def three() -> Iterator[ThreeServers]:
    with three_servers() as servers:
        with contextlib.closing(Database(servers.leader.url, wake_dir=servers.leader.home)) as made:
            metadata.create_all(made.engine)
        yield servers


@pytest.fixture
def store(three: ThreeServers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    monkeypatch.setattr(db, "FAILOVER_WAIT_S", 0.5)
    monkeypatch.setattr(db, "FOLLOW_WAIT_S", 0.5)
    three.start()
    database = Database(three.url, wake_dir=tmp_path / "wake")
    with contextlib.closing(database):
        store = Store(three.leader, three.standbys, database)
        store.touch()
        with database.write() as connection:
            feed.touch(connection, "server", "b")
        yield store


def revision(server: PostgresServer) -> int:
    ((value,),) = execute(server, "SELECT value FROM feed_revision")
    return int(str(value))


def shown(connection: Connection) -> int:
    return int(connection.execute(sa.select(feed_revision.c.value)).scalar_one())


def test_reads_are_the_leaders_while_there_is_one(store: Store) -> None:
    before = revision(store.leader)
    with store.applying_nothing(*store.standbys):
        store.touch()
        assert store.look() == (before + 1, False)


def test_without_a_leader_a_reader_gets_all_that_was_acknowledged_and_a_writer_an_error(
    store: Store,
) -> None:
    before = revision(store.leader)
    store.touch()
    store.leader.kill()
    assert store.look() == (before + 1, False)
    with pytest.raises(StoreLost):
        store.touch()
    assert not store.database.takes_changes
    assert store.look() == (before + 1, False)


def test_a_write_is_shown_that_one_of_those_who_answer_has(store: Store) -> None:
    one, two = store.standbys
    before = revision(store.leader)
    one.kill()
    store.touch()
    wait_until(lambda: revision(two) == before + 1)
    with frozen(store.leader):
        one.start()
        assert revision(one) == before
        assert store.look() == (before + 1, False)


def test_what_a_server_has_and_does_not_show_yet_is_waited_for(store: Store) -> None:
    before = revision(store.leader)
    with store.applying_nothing(*store.standbys):
        store.touch()
        with frozen(store.leader):
            assert store.look() == (before, True)  # Told, since it took too long.
    with frozen(store.leader):
        assert store.look() == (before + 1, False)


def test_a_reader_is_told_where_too_few_answer_to_know_that_it_is_all(store: Store) -> None:
    before = revision(store.leader)
    store.leader.kill()
    store.standbys[0].kill()
    assert store.look() == (before, True)
    assert store.look() == (before, True)


def test_who_acts_by_what_he_reads_waits_for_the_leader(store: Store) -> None:
    store.leader.kill()
    with pytest.raises(StoreLost), store.database.read():
        pass


def test_reads_are_the_leaders_again_when_it_is_back(store: Store) -> None:
    before = revision(store.leader)
    store.leader.kill()
    assert store.look() == (before, False)
    store.leader.start()
    wait_until(lambda: bool(execute(store.leader, "SELECT 1 FROM pg_stat_replication")))
    store.touch()
    assert store.database.takes_changes
    with store.applying_nothing(*store.standbys):
        store.touch()
        assert store.look() == (before + 2, False)


def test_without_any_server_a_reader_is_told_so(store: Store) -> None:
    for each in (store.leader, *store.standbys):
        each.kill()
    with pytest.raises(StoreLost):
        store.look()


def test_servers_that_are_frozen_are_not_waited_for(store: Store) -> None:
    """A connection to one that was frozen since is never answered."""
    before = revision(store.leader)
    store.leader.kill()
    assert store.look() == (before, False)  # And a connection is kept.
    with frozen(store.standbys[0]):
        assert store.look() == (before, True)
    with frozen(*store.standbys), pytest.raises(StoreLost):
        store.look()
    wait_until(lambda: store.look() == (before, False))


def test_a_leader_that_does_not_answer_in_time_is_read_from_later(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its late answer ends the outage, and its connection is of use."""
    before = revision(store.leader)
    begun: list[Connection] = []
    monkeypatch.setattr(db, "LEADER_S", 0.0)
    with store.database.following(), store.database.read() as connection:
        begun.append(connection)
    assert begun
    wait_until(lambda: store.database.takes_changes)
    monkeypatch.undo()
    store.touch()
    assert store.look() == (before + 1, False)


def test_an_answer_that_is_late_by_nothing_counts_after_the_failure(store: Store) -> None:
    """Else the outage that it ends would begin after its end, and go on."""
    followers = Followers(store.database.url, engines.postgres_engine)
    seen: list[str] = []
    answers = threading.Event()

    def begin() -> Connection:
        answers.wait(WITHIN_S)
        seen.append("begun")
        return store.database.engine.connect()

    def missed() -> None:
        answers.set()
        wait_until(lambda: seen == ["begun"])
        seen.append("missed")

    def late(connection: Connection) -> None:
        connection.close()
        seen.append("late")

    with contextlib.closing(followers):
        assert followers.within(0.0, begin, missed, late) is None
        wait_until(lambda: len(seen) == 3)
    assert seen == ["begun", "missed", "late"]


def test_all_transactions_of_a_request_are_by_one_server(store: Store) -> None:
    store.leader.kill()
    with store.database.following() as following:
        with store.database.read() as connection:
            shown(connection)
        assert following.choice is not None
        first = following.choice
        with store.database.read() as connection:
            shown(connection)
        assert following.choice is first
