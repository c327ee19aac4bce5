"""The pipeline's migrations."""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa

from kumoi.engine import migrate

FOLDER = Path(__file__).parent / "migrations"
SECRET_MODE = 0o600  # The store holds application credentials.


def upgrade(url: str) -> None:
    """Bring the pipeline's store to the newest migration; a file is its owner's only."""
    path = sa.make_url(url).database if url.startswith("sqlite") else None
    if path:
        Path(path).touch(mode=SECRET_MODE)
        Path(path).chmod(SECRET_MODE)
    migrate.upgrade(url, FOLDER)
