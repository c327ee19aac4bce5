"""Migrations are whole or not there, on both databases."""

from __future__ import annotations

import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest
import sqlalchemy as sa

from kumoi.cloud.store.migrate import upgrade
from kumoi.engine import migrate

ENVIRONMENT = """
import sqlalchemy as sa
from kumoi.engine.migrate import environment
environment(sa.MetaData())
"""
MIGRATION = """
import sqlalchemy as sa
from alembic import op
revision = "0001"
down_revision = None

def upgrade() -> None:
    op.create_table("first", sa.Column("id", sa.Integer))
    op.execute("INSERT INTO first VALUES (1)")
    op.create_table("second", sa.Column("id", {kind}))
"""


def folder(path: Path, *, kind: str) -> Path:
    (path / "versions").mkdir(parents=True)
    (path / "env.py").write_text(ENVIRONMENT)
    (path / "versions" / "0001_tables.py").write_text(MIGRATION.format(kind=kind))
    return path


def test_a_migration_cut_short_leaves_nothing_and_is_run_again(
    store_url: str, tmp_path: Path
) -> None:
    with pytest.raises(ZeroDivisionError):
        migrate.upgrade(store_url, folder(tmp_path / "cut", kind="1 / 0"))
    migrate.upgrade(store_url, folder(tmp_path / "whole", kind="sa.Integer"))
    engine = sa.create_engine(store_url)
    with engine.connect() as connection:
        assert connection.exec_driver_sql("SELECT id FROM first").all() == [(1,)]
        assert connection.exec_driver_sql("SELECT id FROM second").all() == []
    engine.dispose()


def test_two_that_migrate_at_once_both_end_well(store_url: str) -> None:
    """The `up` that was killed may have left its own at work."""
    with ProcessPoolExecutor(2, multiprocessing.get_context("spawn")) as both:
        list(both.map(upgrade, [store_url] * 2))
