"""The pipeline's migrations."""

from __future__ import annotations

from kumoi.engine import migrate
from kumoi.pipeline.store.migrations import FOLDER


def upgrade(url: str) -> None:
    """Bring the pipeline's store to the newest migration. It holds application credentials."""
    migrate.keep_private(url)
    migrate.upgrade(url, FOLDER)
