"""What servers' disks may take is what the host's reserve leaves, by the number of drivers."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from kumoi.base import files
from kumoi.cli import status
from kumoi.cloud.agent.disk_room import DiskRoom
from kumoi.cloud.drivers.instance.fake import FakeDriver
from kumoi.cloud.drivers.instance.lxc import disk, growth

BLOCK = 4_096
BLOCKS = 25_600  # 100 MiB, so that a twentieth is 5 MiB.


def space(free_blocks: int) -> os.statvfs_result:
    return os.statvfs_result(
        (BLOCK, BLOCK, BLOCKS, free_blocks, free_blocks, 1_000, 1_000, 1_000, 0, 255)
    )


@pytest.mark.parametrize(("free_mib", "left_mib"), [(100, 95), (6, 1), (5, 0), (3, 0)])
def test_servers_share_what_is_left_beyond_the_reserve(
    free_mib: int, left_mib: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    driver = FakeDriver()
    monkeypatch.setattr(os, "statvfs", lambda _path: space((free_mib << 20) // BLOCK))
    DiskRoom(tmp_path, [driver]).round()
    assert driver.room_bytes == left_mib << 20


def test_uploads_and_servers_leave_the_same_reserve() -> None:
    found = space((6 << 20) // BLOCK)
    assert files.beyond_reserve(found) == 1 << 20
    assert files.leaves_reserve(found, 1 << 20)
    assert not files.leaves_reserve(found, (1 << 20) + 1)


def test_ext4_keeps_a_fiftieth_for_itself_and_16_mib_at_most() -> None:
    assert growth.own_reserve(25_600) == 512
    assert growth.own_reserve(1 << 20) * disk.BLOCK_BYTES == 16 << 20


def test_status_says_in_words_that_servers_are_held() -> None:
    assert status.nearly_full({"left_bytes": 5 << 20, "servers_held": 0}) == ""
    said = status.nearly_full({"left_bytes": 5 << 20, "servers_held": 2})
    assert "last 5 MiB" in said
    assert "Make room" in said
