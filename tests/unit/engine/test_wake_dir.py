"""Two stores may keep their sockets one within the other's folder."""

from __future__ import annotations

from pathlib import Path

from kumoi.engine.db import Database
from kumoi.engine.wake import Wake


def test_a_folder_among_the_sockets_is_left_alone(tmp_path: Path) -> None:
    inner = Wake(tmp_path / "wake" / "pipeline").listen()
    outer = Database(f"sqlite:///{tmp_path / 'store.db'}", wake_dir=tmp_path / "wake")
    with outer.write():
        pass
    assert (tmp_path / "wake" / "pipeline").is_dir()
    inner.close()
    outer.close()
