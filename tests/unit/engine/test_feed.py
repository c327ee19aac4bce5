from __future__ import annotations

import shutil
from pathlib import Path

import psycopg
import sqlalchemy as sa
from tests.postgres import fresh_database, promoted_copy

from kumoi.engine import feed
from kumoi.engine.db import Database
from kumoi.engine.position import Position
from kumoi.engine.schema import feed as feed_table
from kumoi.engine.schema import metadata


def position_of(database: Database) -> Position:
    with database.read() as connection:
        return feed.position(connection)


def touched(database: Database, times: int = 1) -> Position:
    """Where a store is after so many writes."""
    for _ in range(times):
        with database.write() as connection:
            feed.touch(connection, "server", "a")
    return position_of(database)


def test_the_feed_keeps_the_latest_change_of_each_key(database: Database) -> None:
    with database.write() as connection:
        for key in ("a", "b", "a"):
            feed.touch(connection, "server", key)
            last = feed.position(connection).revision
        feed.touch(connection, "network", "n")
    with database.read() as connection:
        assert feed.changes(connection, "server", since=0) == feed.Changes(last, ("b", "a"))
        assert feed.changes(connection, "server", since=2).keys == ("a",)
        assert feed.changes(connection, "server", since=last) == feed.Changes(last, ())
        rows = connection.execute(sa.select(sa.func.count()).select_from(feed_table)).scalar_one()
        assert rows == 3


def test_a_key_that_is_touched_often_is_one_change(database: Database) -> None:
    """However many rows of a request say so."""
    with database.write() as connection:
        before = feed.position(connection).revision
        for _ in range(50):
            feed.touch(connection, "network", "topology")
    assert position_of(database).revision == before + 1


def test_a_forgotten_key_is_gone_from_the_feed(database: Database) -> None:
    with database.write() as connection:
        feed.touch(connection, "server", "a")
        feed.forget(connection, "server", "a")
    with database.read() as connection:
        assert feed.changes(connection, "server", since=0).keys == ()


def test_a_store_goes_on_from_every_position_it_gave(database: Database) -> None:
    first = touched(database)
    last = touched(database, 3)
    assert first.epoch == last.epoch != ""
    assert last.revision == first.revision + 3
    assert last.continues(first)
    assert last.continues(last)
    assert not first.continues(last)  # A revision that the store has not given yet.
    assert not last.continues(Position(last.epoch, 0))
    assert not last.continues(Position("another", last.revision))


def test_nobody_has_read_a_store_in_which_nothing_was_written(database: Database) -> None:
    assert position_of(database).revision == 0
    assert not touched(database).continues(Position())


def test_two_stores_are_of_two_epochs(tmp_path: Path) -> None:
    seen = []
    for name in ("one", "two"):
        opened = Database(f"sqlite:///{tmp_path / name}", wake_dir=tmp_path / "wake")
        metadata.create_all(opened.engine)
        seen.append(touched(opened))
        opened.close()
    assert not seen[0].continues(seen[1])


def test_a_store_whose_migration_left_the_epoch_open_gets_one(database: Database) -> None:
    before = touched(database)
    with database.engine.begin() as connection:
        connection.execute(sa.text("UPDATE feed_revision SET epoch = ''"))
    after = touched(database)
    assert after.revision == before.revision + 1
    assert not after.continues(before)
    assert touched(database).continues(after)


def test_a_restored_copy_is_of_another_epoch(tmp_path: Path) -> None:
    """The revisions that were given after the copy was taken are given again, to other changes."""
    path = tmp_path / "store.db"
    database = Database(f"sqlite:///{path}", wake_dir=tmp_path / "wake")
    metadata.create_all(database.engine)
    touched(database, 2)
    database.close()
    shutil.copy(path, tmp_path / "copy.db")
    lost = touched(database, 5)
    database.close()
    shutil.copy(tmp_path / "copy.db", path)
    with database.write() as connection:
        feed.new_epoch(connection)
    restored = touched(database, 5)
    assert restored.revision == lost.revision
    assert not restored.continues(lost)
    database.close()


def test_a_standby_that_took_over_is_of_another_epoch(postgres_url: str, tmp_path: Path) -> None:
    """Nobody has to say so: it is another timeline. Here the standby lacked the last writes."""
    with fresh_database(postgres_url) as url:
        database = Database(url, wake_dir=tmp_path / "wake")
        metadata.create_all(database.engine)
        touched(database, 2)
        with promoted_copy(url) as promote:
            lost = touched(database, 5)
            standby = Database(promote(), wake_dir=tmp_path / "wake")
            assert position_of(standby).revision == 2
            assert not touched(standby, 5).continues(lost)
            standby.close()
        database.close()


def test_a_dump_that_was_read_in_again_is_of_another_epoch(
    postgres_url: str, tmp_path: Path
) -> None:
    """Its tables are others, whoever restores them, and in whichever database."""
    with fresh_database(postgres_url) as url:
        database = Database(url, wake_dir=tmp_path / "wake")
        metadata.create_all(database.engine)
        before = touched(database)
        with database.engine.begin() as connection:
            connection.execute(sa.text("CREATE TABLE copied AS TABLE feed_revision"))
            connection.execute(sa.text("DROP TABLE feed_revision"))
            connection.execute(sa.text("ALTER TABLE copied RENAME TO feed_revision"))
        after = position_of(database)
        assert (after.revision, after.epoch[:32]) == (before.revision, before.epoch[:32])
        assert not after.continues(before)
        database.close()


def test_an_ordinary_user_of_postgresql_may_ask_where_the_store_is(
    postgres_url: str, tmp_path: Path
) -> None:
    with fresh_database(postgres_url) as url:
        admin = url.replace("postgresql+psycopg://", "postgresql://")
        with psycopg.connect(admin, autocommit=True) as connection:
            connection.execute("CREATE ROLE plain LOGIN")
            connection.execute("GRANT ALL ON SCHEMA public TO plain")
        plain = Database(url.replace("kumoi@", "plain@"), wake_dir=tmp_path / "wake")
        metadata.create_all(plain.engine)
        assert touched(plain).revision == 1
        plain.close()
        with psycopg.connect(admin, autocommit=True) as connection:
            connection.execute("DROP OWNED BY plain; DROP ROLE plain")


def test_many_keys_change_at_once_each_with_a_revision_of_its_own(database: Database) -> None:
    with database.write() as connection:
        feed.touch(connection, "server", "b")
        before = feed.position(connection).revision
        feed.touch_all(connection, "server", ["a", "b", "c"])
        feed.touch(connection, "server", "d")
        assert feed.position(connection).revision == before + 4
    with database.read() as connection:
        assert feed.changes(connection, "server", since=before).keys == ("a", "b", "c", "d")
        assert feed.changes(connection, "server", since=before + 2).keys == ("c", "d")
