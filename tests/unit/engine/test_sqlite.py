"""Only a SQLite that keeps what it acknowledged opens a store."""

from __future__ import annotations

from pathlib import Path

import pytest
import sqlalchemy as sa

from kumoi.base.errors import Permanent
from kumoi.engine import migrate, sqlite
from kumoi.engine.db import Database

FAULTY = ["3.7.0", "3.40.1", "3.44.5", "3.45.0", "3.50.6", "3.51.0", "3.51.2"]
GOOD = ["3.6.23", "3.44.6", "3.44.9", "3.50.7", "3.51.3", "3.53.4", "4.0.0"]


def version(text: str) -> sqlite.Version:
    return tuple(int(part) for part in text.split("."))


@pytest.mark.parametrize("text", FAULTY)
def test_a_version_that_loses_commits_is_refused_in_words(text: str) -> None:
    assert sqlite.loses_commits(version(text))
    with pytest.raises(Permanent, match=rf"SQLite {text} can lose .* install a pysqlite3"):
        sqlite.require_fixed(version(text))


@pytest.mark.parametrize("text", GOOD)
def test_a_version_without_the_fault_is_taken(text: str) -> None:
    assert not sqlite.loses_commits(version(text))
    sqlite.require_fixed(version(text))


def test_a_store_is_opened_by_a_cured_library(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path / 'store.db'}", wake_dir=tmp_path / "wake")
    with database.read() as connection:
        text = connection.execute(sa.text("SELECT sqlite_version()")).scalar_one()
    database.close()
    assert not sqlite.loses_commits(version(text))


def test_a_store_is_migrated_by_a_cured_library(tmp_path: Path) -> None:
    engine = migrate.engine(f"sqlite:///{tmp_path / 'store.db'}")
    with engine.connect() as connection:
        text = connection.execute(sa.text("SELECT sqlite_version()")).scalar_one()
    assert not sqlite.loses_commits(version(text))
