"""Where the cloud's store is kept."""

from __future__ import annotations

from pathlib import Path

from kumoi.cloud.store.migrate import upgrade


def test_the_stores_file_is_its_owners_only(tmp_path: Path) -> None:
    """It holds hashes of passwords and tenants' user data; its directory is open to all."""
    path = tmp_path / "cloud.db"
    upgrade(f"sqlite:///{path}")
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_store_that_was_given_to_a_group_stays_so_and_is_closed_to_others(tmp_path: Path) -> None:
    path = tmp_path / "cloud.db"
    path.touch()
    path.chmod(0o664)
    upgrade(f"sqlite:///{path}")
    assert path.stat().st_mode & 0o777 == 0o660
