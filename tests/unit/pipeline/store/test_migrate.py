"""The migrations make what the code has."""

from __future__ import annotations

from pathlib import Path

from kumoi.engine.migrate import differences
from kumoi.pipeline.store.migrate import upgrade
from kumoi.pipeline.store.tables import metadata


def test_the_migrations_make_the_tables_of_the_code(store_url: str) -> None:
    upgrade(store_url)
    upgrade(store_url)
    assert differences(store_url, metadata) == []


def test_the_stores_file_is_its_owners_only(tmp_path: Path) -> None:
    upgrade(f"sqlite:///{tmp_path / 'pipeline.db'}")
    assert (tmp_path / "pipeline.db").stat().st_mode & 0o777 == 0o600
