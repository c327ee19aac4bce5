"""The cloud's migrations."""

from __future__ import annotations

from pathlib import Path

from kumoi.engine import migrate

FOLDER = Path(__file__).parent / "migrations"


def upgrade(url: str) -> None:
    """Bring the cloud's store to the newest migration."""
    migrate.upgrade(url, FOLDER)
