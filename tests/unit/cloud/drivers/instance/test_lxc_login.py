"""Who people log in as, by an image's own word, which may be anything."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from kumoi.base.errors import Permanent
from kumoi.cloud.drivers.instance.login import LoginUser, find, parse


def login(root: Path) -> LoginUser | None:
    descriptor = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
    try:
        return find(descriptor)
    finally:
        os.close(descriptor)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "etc").mkdir()
    return tmp_path


def test_the_user_debian_is_taken(root: Path) -> None:
    (root / "etc/passwd").write_text("debian:x:1001:1002::/home/debian:/bin/sh\n")
    assert login(root) == LoginUser(1001, 1002, "/home/debian")


@pytest.mark.timeout(10)
def test_a_pipe_in_place_of_the_users_holds_nobody_up(root: Path) -> None:
    """Opening it would wait for somebody who writes, and the host's thread with it."""
    os.mkfifo(root / "etc/passwd")
    assert login(root) is None


@pytest.mark.parametrize("uid", ["\u00b2", "9" * 5_000, "70000", "-1", ""])
def test_an_id_that_is_none_counts_as_no_user(root: Path, uid: str) -> None:
    (root / "etc/passwd").write_text(f"debian:x:{uid}:1000::/home/debian:/bin/sh\n")
    assert login(root) == LoginUser(0, 0, "/root")


@pytest.mark.parametrize(
    "said",
    [
        "", "{}", '{"uid":65536,"gid":0,"home":"/root"}', '{"uid":-1,"gid":0,"home":"/root"}',
        '{"uid":0,"gid":70000,"home":"/root"}', '{"uid":0,"gid":0,"home":"root"}',
        '{"uid":0,"gid":0,"home":""}', '{"uid":"0","gid":0,"home":"/root"}',
    ],
)  # fmt: skip
def test_what_reads_an_image_is_believed_no_more_than_the_image(said: str) -> None:
    with pytest.raises(Permanent):
        parse(said)
