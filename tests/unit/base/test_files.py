"""A file is replaced as a whole, and its promise names what has been waited for."""

import errno
import os
import stat
from pathlib import Path

import pytest

from kumoi.base import files
from kumoi.base.files import Promise


@pytest.fixture
def waited(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was synced, by its name at that moment, and when the rename came between."""
    seen: list[str] = []
    real_sync, real_rename = os.fsync, Path.replace

    def fsync(descriptor: int) -> None:
        seen.append(f"sync {Path(f'/proc/self/fd/{descriptor}').readlink().name}")
        real_sync(descriptor)

    def rename(self: Path, target: Path) -> Path:
        seen.append(f"rename to {target.name}")
        return real_rename(self, target)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(Path, "replace", rename)
    return seen


@pytest.mark.parametrize(
    ("promise", "steps"),
    [
        (Promise.KILL, ["rename to a"]),
        (Promise.OLD_OR_NEW, ["sync .a.part", "rename to a"]),
        (Promise.NEW, ["sync .a.part", "rename to a", "sync here"]),
    ],
)
def test_a_promise_is_what_is_waited_for(
    tmp_path: Path, waited: list[str], promise: Promise, steps: list[str]
) -> None:
    here = tmp_path / "here"
    here.mkdir()
    files.replace(here / "a", "new", promise=promise)
    assert waited == steps
    assert (here / "a").read_text() == "new"
    assert [path.name for path in here.iterdir()] == ["a"]


def test_a_file_is_private_unless_said_otherwise(tmp_path: Path) -> None:
    path = tmp_path / "a"
    old = os.umask(0)
    try:
        files.replace(path, b"secret", promise=Promise.KILL)
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        os.umask(0o077)
        files.replace(path, b"known", promise=Promise.KILL, mode=files.OPEN)
    finally:
        os.umask(old)
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    assert path.read_bytes() == b"known"


def test_a_link_in_the_drafts_place_is_not_followed(tmp_path: Path) -> None:
    victim, path = tmp_path / "victim", tmp_path / "a"
    victim.write_text("theirs")
    files.draft_of(path).symlink_to(victim)
    files.replace(path, "ours", promise=Promise.KILL)
    assert victim.read_text() == "theirs"
    assert path.read_text() == "ours"
    assert not path.is_symlink()


def test_what_fails_leaves_the_old_file_and_no_draft(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.mkdir()  # A rename over a directory fails.
    with pytest.raises(OSError, match="directory"):
        files.replace(path, "new", promise=Promise.KILL)
    assert [each.name for each in tmp_path.iterdir()] == ["a"]
    assert path.is_dir()


def test_what_a_killed_writer_left_is_taken_away(tmp_path: Path) -> None:
    path = tmp_path / "a"
    files.draft_of(path).write_text("half and long")
    files.replace(path, "whole", promise=Promise.KILL)
    assert path.read_text() == "whole"


@pytest.mark.parametrize(
    ("number", "is_full"), [(errno.ENOSPC, True), (errno.EDQUOT, True), (errno.EIO, False)]
)
def test_a_full_disk_and_a_full_quota_are_the_same(number: int, is_full: bool) -> None:
    assert files.is_disk_full(OSError(number, "")) is is_full
