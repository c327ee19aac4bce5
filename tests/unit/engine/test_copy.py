"""A copy of stores is of one moment, in whichever database they are, and can be put back."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from kumoi.base.errors import Conflict, Invalid, Permanent
from kumoi.base.ids import new_id
from kumoi.cloud.store import migrate
from kumoi.cloud.store.migrations import FOLDER
from kumoi.cloud.store.tables import metadata
from kumoi.engine import copy, feed, sqlite
from kumoi.engine import migrate as migrations
from kumoi.engine.copy import Store
from kumoi.engine.db import WRITER_LOCK, Database
from kumoi.engine.schema import audit as audit_table

ROWS = 50


def store(url: str) -> Store:
    return Store("cloud", url, metadata, FOLDER, migrate.upgrade)


@pytest.fixture
def database(store_url: str, tmp_path: Path) -> Iterator[Database]:
    migrate.upgrade(store_url)
    made = Database(store_url, wake_dir=tmp_path / "wake")
    yield made
    made.close()


def touch(database: Database, key: str) -> None:
    with database.write() as connection:
        feed.touch(connection, "things", key)


def audited(database: Database) -> None:
    """One more record of a change, which the database numbers."""
    known = {"id": new_id(), "event_time": datetime.now(UTC)}
    table = audit_table
    values = {
        column.name: 0 if isinstance(column.type, sa.Integer) else ""
        for column in table.columns
        if not (column.nullable or column.primary_key)
    }
    with database.write() as connection:
        connection.execute(sa.insert(table).values({**values, **known}))


def keys(url: str, tmp_path: Path) -> list[str]:
    database = Database(url, wake_dir=tmp_path / "other")
    with database.read() as connection:
        found = feed.changes(connection, "things", since=0).keys
    database.close()
    return list(found)


def nothing() -> None:
    pass


def test_what_is_written_after_the_moment_is_in_no_copy(
    database: Database, store_url: str, tmp_path: Path
) -> None:
    touch(database, "before")
    place = tmp_path / "copy.db"
    with copy.frozen([database], nothing) as (connection,):
        touch(database, "after")
        copied = copy.save(connection, store(store_url), place)
        position = feed.position(connection)
    assert keys(f"sqlite:///{place}", tmp_path) == ["before"]
    assert (copied.epoch, copied.revision) == (position.epoch, 1)
    assert place.stat().st_mode & 0o777 == 0o600


def test_nobody_writes_to_either_store_at_the_moment(
    database: Database, store_url: str, tmp_path: Path
) -> None:
    """So what is written to one and then to the other is never in the second alone."""
    second_url = f"sqlite:///{tmp_path / 'second.db'}"
    migrate.upgrade(second_url)
    second = Database(second_url, wake_dir=tmp_path / "wake2")
    seen: list[bool] = []

    def meanwhile() -> None:
        seen.extend(may_write(url) for url in (store_url, second_url))

    with copy.frozen([database, second], meanwhile):
        assert seen == [False, False]
        assert may_write(store_url)
        assert may_write(second_url)
    second.close()


def may_write(url: str) -> bool:
    """Whether another process would get the writer's lock at once."""
    engine = migrations.engine(url)
    with engine.connect() as connection:
        if connection.dialect.name != "sqlite":
            query = sa.select(sa.func.pg_try_advisory_xact_lock(WRITER_LOCK))
            return bool(connection.execute(query).scalar_one())
        raw = connection.connection.driver_connection
        assert raw is not None
        raw.execute("PRAGMA busy_timeout = 0")
        try:
            raw.execute("BEGIN IMMEDIATE")
        except sqlite.driver().OperationalError:
            return False
        raw.execute("ROLLBACK")
    return True


def test_a_copy_that_is_made_ready_is_another_epoch(
    database: Database, store_url: str, tmp_path: Path
) -> None:
    touch(database, "thing")
    place = tmp_path / "copy.db"
    with copy.frozen([database], nothing) as (connection,):
        copied = copy.save(connection, store(store_url), place)
    copy.make_ready(place, store(store_url))
    ready = Database(f"sqlite:///{place}", wake_dir=tmp_path / "wake2")
    with ready.read() as connection:
        position = feed.position(connection)
    ready.close()
    assert position.revision == copied.revision
    assert position.epoch not in {"", copied.epoch}


def test_a_copy_can_be_put_into_postgresql_in_the_place_of_all(
    postgres_url: str, tmp_path: Path
) -> None:
    from tests.postgres import fresh_database

    with fresh_database(postgres_url) as url:
        migrate.upgrade(url)
        database = Database(url, wake_dir=tmp_path / "wake")
        for number in range(ROWS):
            touch(database, f"{number:02}")
        place = tmp_path / "copy.db"
        with copy.frozen([database], nothing) as (connection,):
            copy.save(connection, store(url), place)
        touch(database, "later")
        copy.make_ready(place, store(url))
        copy.load(place, store(url))
        database.close()
        assert keys(url, tmp_path) == [f"{number:02}" for number in range(ROWS)]


def test_a_store_moves_from_sqlite_to_postgresql_and_goes_on_there(
    postgres_url: str, tmp_path: Path
) -> None:
    from tests.postgres import fresh_database

    here = f"sqlite:///{tmp_path}/here.db"
    migrate.upgrade(here)
    database = Database(here, wake_dir=tmp_path / "wake")
    for number in range(ROWS):
        touch(database, f"{number:02}")
        audited(database)
    with fresh_database(postgres_url) as url:
        migrate.upgrade(url)
        there = Database(url, wake_dir=tmp_path / "wake2")
        touch(there, "of an attempt before")
        with copy.frozen([database], nothing) as (connection,):
            assert copy.move(connection, store(url)) >= 2 * ROWS
        assert keys(url, tmp_path) == [f"{number:02}" for number in range(ROWS)]
        audited(there)
        with there.read() as connection:
            numbers = connection.execute(sa.select(audit_table.c.sequence)).scalars().all()
        assert sorted(numbers) == list(range(1, ROWS + 2))
        there.close()
    database.close()


def test_a_store_that_does_not_arrive_whole_is_not_moved(
    postgres_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tests.postgres import fresh_database

    here = f"sqlite:///{tmp_path}/here.db"
    migrate.upgrade(here)
    database = Database(here, wake_dir=tmp_path / "wake")
    touch(database, "thing")
    really = copy._copy_rows

    def copy_all_but_one(source: Any, target: Any, metadata: sa.MetaData) -> None:
        really(source, target, metadata)
        target.execute(sa.delete(metadata.tables["feed"]))

    monkeypatch.setattr(copy, "_copy_rows", copy_all_but_one)
    with fresh_database(postgres_url) as url:
        migrate.upgrade(url)
        there = Database(url, wake_dir=tmp_path / "wake2")
        touch(there, "before")
        there.close()
        with (
            copy.frozen([database], nothing) as (connection,),
            pytest.raises(
                Permanent, match="the table feed differs: 1 rows are not there, 0 are new"
            ),
        ):
            copy.move(connection, store(url))
        assert keys(url, tmp_path) == ["before"]
    database.close()


def test_a_store_of_another_release_is_copied_whole_or_not_at_all(
    database: Database, store_url: str, tmp_path: Path
) -> None:
    """Row by row, as from PostgreSQL, columns that this release does not know would be lost."""
    with database.write() as connection:
        connection.execute(sa.text("UPDATE alembic_version SET version_num = '0001'"))
    place = tmp_path / "copy.db"
    with copy.frozen([database], nothing) as (connection,):
        if database.is_sqlite:
            assert copy.save(connection, store(store_url), place).migration == "0001"
            return
        with pytest.raises(Conflict, match="run `up` first"):
            copy.save(connection, store(store_url), place)
    assert not place.exists()


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        ("UPDATE alembic_version SET version_num = '9999'", "of a newer release than this one"),
        ("DROP TABLE alembic_version", "of a newer release than this one"),
        ("", "is no database"),
    ],
)
def test_what_is_no_copy_of_this_store_is_refused(tmp_path: Path, spoil: str, message: str) -> None:
    place = tmp_path / "copy.db"
    if spoil:
        migrate.upgrade(f"sqlite:///{place}")
        connection = sqlite.driver().connect(str(place))
        connection.execute(spoil)
        connection.commit()
        connection.close()
    else:
        place.write_bytes(b"something else" * 1_000)
    with pytest.raises(Invalid, match=message):
        copy.make_ready(place, store(f"sqlite:///{place}"))
