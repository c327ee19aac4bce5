"""What is looked for when a cloud is taken off the machine."""

from __future__ import annotations

from pathlib import Path

import pytest

from kumoi.config import HostSettings
from kumoi.hosts import teardown
from kumoi.hosts.install import trees


def test_mounts_are_named_innermost_first() -> None:
    points = teardown.mounts(Path("/"))
    assert Path("/proc") in points
    for outer in (Path("/proc"), Path("/sys")):
        inner = [point for point in points if outer in point.parents]
        assert all(points.index(point) < points.index(outer) for point in inner)


def test_what_is_mounted_at_a_place_is_not_below_it() -> None:
    """A cloud may have a disk of its own: `down` left it unmounted, and `up` made another cloud."""
    assert Path("/proc") not in teardown.mounts(Path("/proc"))


def test_where_nothing_is_there_is_nothing_to_do(tmp_path: Path) -> None:
    assert teardown.mounts(tmp_path) == []
    assert teardown.loop_devices(tmp_path) == []


def test_a_tree_goes_with_all_in_it_and_nothing_beside_it(tmp_path: Path) -> None:
    top, beside = tmp_path / "top", tmp_path / "beside"
    beside.mkdir()
    (beside / "kept").touch()
    for number in range(200):
        (top / f"d{number % 7}" / "inner").mkdir(parents=True, exist_ok=True)
        (top / f"d{number % 7}" / "inner" / f"f{number}").touch()
    (top / "link").symlink_to(beside)
    (top / "d1" / "broken").symlink_to("nowhere")
    trees.remove(top)
    assert not top.exists()
    assert (beside / "kept").exists()
    trees.remove(top)


def test_a_link_to_a_tree_is_only_a_link(tmp_path: Path) -> None:
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / "kept").touch()
    (tmp_path / "link").symlink_to("tree")
    trees.remove(tmp_path / "link")
    assert not (tmp_path / "link").is_symlink()
    assert (tmp_path / "tree" / "kept").exists()


def test_whose_a_directory_is_it_says_until_nothing_else_is_in_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = HostSettings(state_dir=str(tmp_path / "state"))
    (host.state / "images" / "inner").mkdir(parents=True)
    (host.state / "host.toml").touch()
    left: list[list[str]] = []

    def remove(top: Path) -> None:
        removed(top)
        left.append([path.name for path in host.state.iterdir()] if host.state.exists() else [])

    removed = trees.remove
    monkeypatch.setattr(trees, "remove", remove)
    teardown.purge(host)
    assert left == [["host.toml"], []]
