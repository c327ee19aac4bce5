from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from tests.flows.world import World

from kumoi.engine.db import Database
from kumoi.pipeline.store.tables import metadata


@pytest.fixture
def world(store_url: str, tmp_path: Path) -> Iterator[World]:
    """On each database."""
    database = Database(store_url, wake_dir=tmp_path / "wake")
    metadata.create_all(database.engine)
    yield World(database, tmp_path)
    database.close()


@pytest.fixture
def small_world(tmp_path: Path) -> Iterator[World]:
    """On SQLite alone: for the harness, which runs a flow hundreds of times."""
    database = Database(f"sqlite:///{tmp_path / 'store.db'}", wake_dir=tmp_path / "wake")
    sa.event.listen(database.engine, "connect", _hasty)
    metadata.create_all(database.engine)
    yield World(database, tmp_path)
    database.close()


def _hasty(raw: Any, _record: object) -> None:
    """The kills here are of the process, not of the power."""
    raw.execute("PRAGMA synchronous = OFF")
