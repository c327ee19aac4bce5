"""Blocks of a sparse disk: what is the same is not sent, and what is empty takes no room."""

from __future__ import annotations

import os
from pathlib import Path

from kumoi.cloud.drivers.instance import difference
from kumoi.cloud.drivers.instance.difference import BLOCK_BYTES

SIZE = 64 * BLOCK_BYTES


def disk(path: Path, **blocks: bytes) -> int:
    """A sparse file with these contents, by the number of the block after `at`."""
    file = os.open(path, os.O_RDWR | os.O_CREAT)
    os.ftruncate(file, SIZE)
    for name, content in blocks.items():
        os.pwrite(file, content, int(name.removeprefix("at")) * BLOCK_BYTES)
    return file


def test_only_blocks_that_hold_something_are_seen(tmp_path: Path) -> None:
    file = disk(tmp_path / "disk", at3=b"three", at9=bytes(BLOCK_BYTES), at63=b"last")
    assert list(difference.digests(file)) == [3, 63]


def test_a_block_that_changes_has_another_digest_and_others_keep_theirs(tmp_path: Path) -> None:
    file = disk(tmp_path / "disk", at1=b"one", at2=b"two")
    before = difference.digests(file)
    os.pwrite(file, b"ONE", BLOCK_BYTES)
    after = difference.digests(file)
    assert after[1] != before[1]
    assert after[2] == before[2]
    assert difference.whole(after) != difference.whole(before)


def test_a_block_that_becomes_zeros_takes_no_room(tmp_path: Path) -> None:
    file = disk(tmp_path / "disk", at5=b"x" * BLOCK_BYTES)
    taken = os.fstat(file).st_blocks
    difference.punch(file, 5)
    assert difference.digests(file) == {}
    assert os.fstat(file).st_blocks < taken
    assert os.fstat(file).st_size == SIZE
