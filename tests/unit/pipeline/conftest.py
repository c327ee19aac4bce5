from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from kumoi.engine.db import Database
from kumoi.pipeline.store.tables import metadata


@pytest.fixture
def database(store_url: str, tmp_path: Path) -> Iterator[Database]:
    """The pipeline's store, empty, on each database."""
    opened = Database(store_url, wake_dir=tmp_path / "wake")
    metadata.create_all(opened.engine)
    yield opened
    opened.close()
