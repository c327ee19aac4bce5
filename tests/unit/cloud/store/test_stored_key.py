"""Keys of tokens that several control hosts share, each with a directory of its own."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from kumoi.base.errors import Bug
from kumoi.cloud.domain.identity.signing_key import ensure_first, new_key, rotate
from kumoi.cloud.store.identity.signing_key import KeyDirectory
from kumoi.cloud.store.identity.stored_key import StoredKeys
from kumoi.cloud.store.seal import Seal
from kumoi.cloud.store.tables import metadata
from kumoi.engine.db import Database

NOW = datetime(2026, 11, 29, tzinfo=UTC)


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    opened = Database(f"sqlite:///{tmp_path / 'cloud.db'}", wake_dir=tmp_path / "wake")
    metadata.create_all(opened.engine)
    yield opened
    opened.close()


def on_host(database: Database, directory: Path) -> StoredKeys:
    return StoredKeys(database, Seal(directory / "secrets.key"), KeyDirectory(directory))


def ids(keys: StoredKeys | KeyDirectory) -> set[str]:
    return {key.id for key in keys.load()}


def test_a_key_that_is_made_on_one_host_is_there_on_all(database: Database, tmp_path: Path) -> None:
    first = on_host(database, tmp_path / "1")
    ensure_first(first, NOW)
    (tmp_path / "2").mkdir()
    (tmp_path / "2/secrets.key").write_bytes((tmp_path / "1/secrets.key").read_bytes())
    other = on_host(database, tmp_path / "2")
    ensure_first(other, NOW)
    rotate(other, NOW)
    assert len(ids(first)) == 2
    assert ids(first) == ids(other)
    other.remove(max(ids(other)))
    assert len(ids(first)) == 1


def test_the_first_keys_are_those_that_the_host_had_alone(
    database: Database, tmp_path: Path
) -> None:
    alone = KeyDirectory(tmp_path / "1")
    ensure_first(alone, NOW)
    rotate(alone, NOW)
    keys = on_host(database, tmp_path / "1")
    ensure_first(keys, NOW)
    assert ids(keys) == ids(alone)


def test_what_a_host_had_alone_does_not_come_back(database: Database, tmp_path: Path) -> None:
    alone = KeyDirectory(tmp_path / "1")
    ensure_first(alone, NOW)
    keys = on_host(database, tmp_path / "1")
    ensure_first(keys, NOW)
    new = new_key(NOW)
    keys.add(new)
    for each in ids(alone):
        keys.remove(each)
    keys.add_first(new_key(NOW))
    assert ids(keys) == {new.id}


def test_who_has_the_store_and_another_seal_has_no_key(database: Database, tmp_path: Path) -> None:
    ensure_first(on_host(database, tmp_path / "1"), NOW)
    with pytest.raises(Bug, match="sealed with another key"):
        on_host(database, tmp_path / "2").load()


def test_a_row_of_another_release_harms_only_its_own_tokens(
    database: Database, tmp_path: Path
) -> None:
    keys = on_host(database, tmp_path / "1")
    ensure_first(keys, NOW)
    before = ids(keys)
    foreign = Seal(tmp_path / "1/secrets.key").close("signing key k", b"{}")
    with database.write() as connection:
        connection.exec_driver_sql("INSERT INTO signing_key VALUES ('k', ?)", (foreign,))
    assert ids(keys) == before
