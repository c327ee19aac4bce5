"""A backup's file is whole or is told to be not, before anything is done with it."""

from __future__ import annotations

import os
import resource
import tarfile
from pathlib import Path

import pytest

from kumoi.base.errors import Conflict, Invalid, Permanent
from kumoi.hosts import backup_file
from kumoi.hosts.backup_file import Manifest

SIZE = 300_000


def tell(_count: int) -> None:
    pass


@pytest.fixture
def part(tmp_path: Path) -> Path:
    path = tmp_path / "part"
    path.write_bytes(os.urandom(SIZE))
    path.chmod(0o640)
    return path


def write(file: Path, part: Path, *, name: str = "stores/cloud.db", format_: int = 1) -> Manifest:
    with backup_file.written(file, tell) as writer:
        writer.add(name, part)
        manifest = Manifest(
            format=format_,
            release="7.1.0",
            cloud="kumoi",
            state_dir="/var/lib/kumoi",
            made_at="2026-11-28T12:00:00+00:00",
            stores={},
            parts=writer.parts,
        )
        writer.finish(manifest)
    return manifest


def test_what_goes_in_comes_out_with_its_mode(tmp_path: Path, part: Path) -> None:
    file = tmp_path / "backup"
    manifest = write(file, part)
    assert file.stat().st_mode & 0o777 == 0o600
    assert backup_file.read_manifest(file) == manifest
    backup_file.unpack(file, manifest, tmp_path / "out", tell)
    out = tmp_path / "out/stores/cloud.db"
    assert out.read_bytes() == part.read_bytes()
    assert out.stat().st_mode & 0o777 == 0o640


def test_a_file_that_is_there_is_not_written_over(tmp_path: Path, part: Path) -> None:
    file = tmp_path / "backup"
    file.write_text("precious")
    with pytest.raises(Conflict, match="not written over"):
        write(file, part)
    assert file.read_text() == "precious"


def test_a_full_disk_leaves_nothing(tmp_path: Path, part: Path) -> None:
    file = tmp_path / "backup"
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (SIZE // 2, old[1]))
    try:
        with pytest.raises(Permanent, match="the disk is full"):
            write(file, part)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)
    assert {path.name for path in tmp_path.iterdir()} == {"part"}


@pytest.mark.parametrize("left", [0, 100, SIZE // 2, SIZE + 1_000])
def test_a_file_that_was_cut_off_is_refused(tmp_path: Path, part: Path, left: int) -> None:
    file = tmp_path / "backup"
    write(file, part)
    os.truncate(file, left)
    with pytest.raises(Invalid, match="no backup of Kumoi, or was cut off"):
        backup_file.read_manifest(file)


@pytest.mark.parametrize("place", [1_000, SIZE // 2])
def test_a_damaged_part_is_named(tmp_path: Path, part: Path, place: int) -> None:
    file = tmp_path / "backup"
    manifest = write(file, part)
    flip(file, place)
    with pytest.raises(Invalid, match=r"stores/cloud\.db is not what it was"):
        backup_file.unpack(file, manifest, tmp_path / "out", tell)


def test_a_damaged_manifest_is_refused(tmp_path: Path, part: Path) -> None:
    file = tmp_path / "backup"
    write(file, part)
    flip(file, file.read_bytes().index(b"7.1.0"))
    with pytest.raises(Invalid, match="its manifest is not what it was"):
        backup_file.read_manifest(file)


def test_a_foreign_file_is_refused(tmp_path: Path, part: Path) -> None:
    file = tmp_path / "foreign"
    with tarfile.open(file, "w") as tar:
        tar.add(part, "part")
    with pytest.raises(Invalid, match="no backup of Kumoi"):
        backup_file.read_manifest(file)
    with pytest.raises(Invalid, match="no backup of Kumoi"):
        backup_file.read_manifest(part)
    with pytest.raises(Invalid, match="is not there"):
        backup_file.read_manifest(tmp_path / "nothing")


def test_a_format_to_come_is_told_with_its_release(tmp_path: Path, part: Path) -> None:
    file = tmp_path / "backup"
    write(file, part, format_=backup_file.FORMAT + 1)
    with pytest.raises(Invalid, match=r"made by release 7\.1\.0"):
        backup_file.read_manifest(file)


@pytest.mark.parametrize("name", ["../escape", "a/../../escape", "/tmp/escape"])
def test_no_part_is_written_elsewhere(tmp_path: Path, part: Path, name: str) -> None:
    file = tmp_path / "backup"
    manifest = write(file, part, name=name)
    with pytest.raises(Invalid, match="damaged: a part is called"):
        backup_file.unpack(file, manifest, tmp_path / "out/below", tell)


def flip(file: Path, place: int) -> None:
    content = bytearray(file.read_bytes())
    content[place] ^= 1
    file.write_bytes(content)
