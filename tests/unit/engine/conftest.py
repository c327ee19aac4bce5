from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from kumoi.engine.db import Database
from kumoi.engine.schema import metadata


@pytest.fixture
def database(store_url: str, tmp_path: Path) -> Iterator[Database]:
    opened = Database(store_url, wake_dir=tmp_path / "wake")
    metadata.create_all(opened.engine)
    yield opened
    opened.close()
