"""Where a file lies that its owner names: where the image's own symlinks lead, and never outside."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from kumoi.base.errors import Permanent
from kumoi.cloud.drivers.instance.lxc import rootfs


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """With symlinks as Debian has them, and worse ones."""
    root = tmp_path / "rootfs"
    for directory in ("etc", "usr/bin", "run"):
        (root / directory).mkdir(parents=True)
    (root / "etc/motd").write_text("hello")
    (root / "bin").symlink_to("usr/bin")
    (root / "up").symlink_to("../../../../../../etc")
    (root / "absolute").symlink_to("/etc")
    (root / "etc/mtab").symlink_to("/run/mounts")
    (root / "etc/issue").symlink_to("motd")
    (root / "loop").symlink_to("loop")
    return root


def resolved(image: Path, path: str) -> str:
    descriptor = os.open(image, os.O_RDONLY | os.O_DIRECTORY)
    try:
        return rootfs.resolved(descriptor, path)
    finally:
        os.close(descriptor)


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("/etc/motd", "/etc/motd"),
        ("etc//./motd", "/etc/motd"),
        ("/etc/issue", "/etc/motd"),
        ("/bin/tool", "/usr/bin/tool"),
        ("/new/dir/file", "/new/dir/file"),
        ("/up/shadow", "/etc/shadow"),
        ("/absolute/motd", "/etc/motd"),
        ("/absolute/new/file", "/etc/new/file"),
        ("/etc/mtab", "/etc/mtab"),  # What it points to is not there: the file takes its place.
        ("/loop", "/loop"),
    ],
)
def test_a_file_lies_where_the_images_symlinks_lead(image: Path, path: str, found: str) -> None:
    assert resolved(image, path) == found


@pytest.mark.parametrize("path", ["/", "", "/etc", "/bin", "/etc/motd/x", "/etc/../etc/motd"])
def test_what_cannot_be_a_file_is_refused(image: Path, path: str) -> None:
    with pytest.raises(Permanent):
        resolved(image, path)
