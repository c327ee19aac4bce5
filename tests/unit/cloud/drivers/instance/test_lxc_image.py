"""Unpacked images on disk."""

from __future__ import annotations

import os
from pathlib import Path

from tests import deep

from kumoi.cloud.drivers.instance.lxc import image
from kumoi.cloud.drivers.instance.lxc.paths import PART, Paths

DEEP = 4_000


def make_deep(top: Path) -> None:
    """As a tar archive's symlinks make it, of which each leads further down."""
    top.mkdir(parents=True)
    os.close(deep.make(top, DEEP))


def test_an_image_is_removed_whatever_its_depth(tmp_path: Path) -> None:
    """Each try to unpack one left a whole tree, and was followed by the next."""
    paths = Paths(tmp_path)
    make_deep(paths.rootfs("aa"))
    image.delete(paths, "aa")
    assert list(paths.images.iterdir()) == []


def test_what_a_killed_agent_left_of_a_deep_image_goes(tmp_path: Path) -> None:
    paths = Paths(tmp_path)
    make_deep(paths.images / f"aa.0123{PART}" / "rootfs")
    image.sweep(paths)
    assert list(paths.images.iterdir()) == []
