"""Where the cloud's store is kept."""

from __future__ import annotations

from pathlib import Path

from kumoi.cloud.store.migrate import upgrade


def test_the_stores_file_is_its_owners_only(tmp_path: Path) -> None:
    """It holds hashes of passwords and tenants' user data; its directory is open to all."""
    path = tmp_path / "cloud.db"
    path.touch(mode=0o644)
    upgrade(f"sqlite:///{path}")
    assert path.stat().st_mode & 0o777 == 0o600
