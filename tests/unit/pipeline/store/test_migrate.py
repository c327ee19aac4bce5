"""Where the pipeline keeps its store; tests/guards holds its migrations to the code."""

from __future__ import annotations

from pathlib import Path

from kumoi.pipeline.store.migrate import upgrade


def test_the_stores_file_is_its_owners_only(tmp_path: Path) -> None:
    upgrade(f"sqlite:///{tmp_path / 'pipeline.db'}")
    assert (tmp_path / "pipeline.db").stat().st_mode & 0o777 == 0o600
