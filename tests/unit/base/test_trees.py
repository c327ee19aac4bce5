"""A tree is removed with all that is in it, and nothing else."""

from __future__ import annotations

import os
from pathlib import Path

from tests import deep

from kumoi.base import trees

DEEP = 4_000


def test_a_tree_is_removed_and_what_its_links_name_stays(tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    kept.mkdir()
    (kept / "file").touch()
    top = tmp_path / "top"
    (top / "a" / "b").mkdir(parents=True)
    for number in range(3 * trees.FILES_PER_TURN):
        (top / "a" / str(number)).touch()
    (top / "a" / "b" / "link").symlink_to(kept)
    trees.remove(top)
    assert not top.exists()
    assert (kept / "file").exists()
    trees.remove(top)


def test_a_tree_is_removed_that_is_deeper_than_a_path_can_say(tmp_path: Path) -> None:
    top = tmp_path / "top"
    (top / "moved-up-0").mkdir(parents=True)  # As if somebody knew.
    below = deep.make(top, DEEP)
    os.close(os.open("file", os.O_CREAT | os.O_WRONLY, dir_fd=below))
    os.close(below)
    trees.remove(top)
    assert not top.exists()
