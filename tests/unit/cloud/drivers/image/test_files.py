from __future__ import annotations

import hashlib
import os
import threading
from pathlib import Path

import pytest

from kumoi.base.errors import NotFound, TooLarge, Transient
from kumoi.cloud.drivers.image import files
from kumoi.cloud.drivers.image.files import DraftRoom, ImageFiles
from kumoi.cloud.drivers.image.inspect import HEAD_BYTES


def names(directory: Path) -> set[str]:
    return {path.name for path in directory.iterdir()} - {files.LOCK}


def test_a_draft_knows_its_hashes(tmp_path: Path) -> None:
    data = os.urandom(HEAD_BYTES * 3) + b"conectix".ljust(512, b"\0")
    with ImageFiles(tmp_path).draft(1 << 30) as draft:
        for at in range(0, len(data), 1000):
            draft.write(data[at : at + 1000])
        content = draft.finish()
        with ImageFiles(tmp_path).lock():
            draft.keep(content.sha256)
    assert content.size == len(data)
    assert content.sha256 == hashlib.sha256(data).hexdigest()
    assert content.sha512 == hashlib.sha512(data).hexdigest()
    assert content.md5 == hashlib.md5(data).hexdigest()
    assert names(tmp_path) == {content.sha256}
    assert (tmp_path / content.sha256).read_bytes() == data
    # The worker sweeps what the API took in: they share a group, and nobody else reads it.
    assert (tmp_path / content.sha256).stat().st_mode & 0o777 == 0o640


def test_a_draft_that_is_not_kept_is_gone(tmp_path: Path) -> None:
    with ImageFiles(tmp_path).draft(10) as draft:
        draft.write(b"0123456789")
        with pytest.raises(TooLarge, match="at most 10 bytes"):
            draft.write(b"x")
    assert names(tmp_path) == set()


def test_what_a_project_uploads_at_once_is_bounded_together(tmp_path: Path) -> None:
    files, room = ImageFiles(tmp_path), DraftRoom("p", has_bytes=1, most_bytes=10)
    with files.draft(100, room) as first:
        first.write(b"12345")
        with files.draft(100, room) as second:
            with pytest.raises(TooLarge, match="may have 10 bytes together, and have 6 already"):
                second.write(b"12345")
            second.write(b"1234")
        with files.draft(100, DraftRoom("q", 0, 10)) as others:
            others.write(b"0123456789")
    with files.draft(100, room) as again:
        again.write(b"123456789")


def test_keeping_the_same_content_again_replaces_it(tmp_path: Path) -> None:
    for _ in range(2):
        with ImageFiles(tmp_path).draft(10) as draft:
            draft.write(b"same")
            content = draft.finish()
            with ImageFiles(tmp_path).lock():
                draft.keep(content.sha256)
    assert names(tmp_path) == {content.sha256}


def test_what_is_named_or_being_written_is_no_orphan(tmp_path: Path) -> None:
    for name in ("named", "nobodys", f"{files.DRAFT}dead"):
        (tmp_path / name).write_bytes(b"x")
    with ImageFiles(tmp_path).draft(10) as draft:
        with ImageFiles(tmp_path).lock():
            gone = ImageFiles(tmp_path).delete_orphans({"named"})
        assert gone == [f"{files.DRAFT}dead", "nobodys"]
        draft.write(b"still")
    assert names(tmp_path) == {"named"}


def test_deleting_what_is_not_there_is_fine(tmp_path: Path) -> None:
    ImageFiles(tmp_path).delete("nothing")


def test_the_lock_is_held_by_one_at_a_time(tmp_path: Path) -> None:
    entered = threading.Event()

    def enter() -> None:
        with ImageFiles(tmp_path).lock():
            entered.set()

    with ImageFiles(tmp_path).lock():
        second = threading.Thread(target=enter)
        second.start()
        assert not entered.wait(0.05)
    second.join(5)
    assert entered.is_set()


def test_a_directory_that_cannot_be_had_is_tried_again(tmp_path: Path) -> None:
    (tmp_path / "taken").touch()
    with pytest.raises(Transient):
        ImageFiles(tmp_path / "taken").draft(10)


def test_what_another_host_has_is_brought_when_it_is_read(tmp_path: Path) -> None:
    asked: list[str] = []

    def bring(sha256: str) -> None:
        asked.append(sha256)
        if sha256 == "gone":
            raise NotFound("copy", sha256)
        (tmp_path / sha256).write_bytes(b"content")

    images = ImageFiles(tmp_path, bring=bring)
    for _ in range(2):
        with images.open("aa") as file:
            assert file.read() == b"content"
    with pytest.raises(FileNotFoundError):
        images.open("gone")
    assert asked == ["aa", "gone"]
