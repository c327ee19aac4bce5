"""The cloud's migrations."""

from __future__ import annotations

from kumoi.cloud.store.migrations import FOLDER
from kumoi.engine import migrate


def upgrade(url: str) -> None:
    """Bring the cloud's store to the newest migration. It holds hashes of passwords and tenants'
    user data.
    """
    migrate.keep_private(url)
    migrate.upgrade(url, FOLDER)
