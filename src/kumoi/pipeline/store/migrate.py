"""The pipeline's migrations."""

from __future__ import annotations

from pathlib import Path

from kumoi.engine import migrate

FOLDER = Path(__file__).parent / "migrations"


def upgrade(url: str) -> None:
    """Bring the pipeline's store to the newest migration. It holds application credentials."""
    migrate.keep_private(url)
    migrate.upgrade(url, FOLDER)
