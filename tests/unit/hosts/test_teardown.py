"""What is looked for when a cloud is taken off the machine."""

from __future__ import annotations

from pathlib import Path

import pytest

from kumoi.base import trees
from kumoi.config import HostSettings
from kumoi.hosts import teardown


def mounted(monkeypatch: pytest.MonkeyPatch, *found: tuple[str, str, str, str]) -> None:
    those = [teardown.Mount(Path(point), root, kind, source) for point, root, kind, source in found]
    monkeypatch.setattr(teardown, "_read_mounts", lambda: those)


def test_a_servers_mounts_are_named_innermost_first(monkeypatch: pytest.MonkeyPatch) -> None:
    mounted(
        monkeypatch,
        ("/", "/", "ext4", "/dev/vda1"),
        ("/s/host/top", "/", "tmpfs", "tmpfs"),
        ("/s/host/top/lower", "/s/host/images/1", "ext4", "/dev/vda1"),
        ("/s/host/top/root", "/", "overlay", "overlay"),
        ("/other/root", "/", "overlay", "overlay"),
    )
    points = [str(mount.point) for mount in teardown.mounts(Path("/s"))]
    assert points == ["/s/host/top/root", "/s/host/top/lower", "/s/host/top"]


def test_a_disk_of_the_machines_stays_mounted_and_one_of_a_server_does_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A cloud, or a part of it, may have a disk of its own: `down` left it unmounted, and `up` made
    another cloud.
    """
    mounted(
        monkeypatch,
        ("/s", "/", "ext4", "/dev/vdb"),
        ("/s/images", "/", "xfs", "/dev/vdc"),
        ("/s/host", "/", "ext4", "/dev/loop9"),
        ("/s/host/disk", "/", "ext4", "/dev/loop7"),
    )
    monkeypatch.setattr(teardown, "loop_devices", lambda _below: [Path("/dev/loop7")])
    assert [str(mount.point) for mount in teardown.mounts(Path("/s"))] == ["/s/host/disk"]


def test_a_purge_empties_a_disk_of_the_machines_and_leaves_where_it_is_mounted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = HostSettings(state_dir=str(tmp_path / "state"))
    disk = host.state / "images" / "disk"
    for folder in (disk / "inner", host.state / "log"):
        folder.mkdir(parents=True)
        (folder / "file").touch()
    (host.state / "host.toml").touch()
    mounted(monkeypatch, (str(disk), "/", "xfs", "/dev/vdc"))
    teardown.purge(host)
    assert sorted(tmp_path.rglob("*")) == [host.state, disk.parent, disk]


def test_a_name_with_a_space_is_read_as_it_is() -> None:
    assert teardown._plain(r"/srv/a\040b\134c") == r"/srv/a b\c"
    assert Path("/proc") in [mount.point for mount in teardown._read_mounts()]


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
