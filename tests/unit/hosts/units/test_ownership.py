"""What was pushed goes back to root with the cloud, for the release before, and nothing else does."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from kumoi.config import CloudSettings, first_host
from kumoi.hosts.units import ownership, users


def test_what_was_pushed_is_roots_once_nothing_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cloud = CloudSettings()
    host = first_host(cloud, str(tmp_path))
    inner = tmp_path / "git/demo/app.git"
    inner.mkdir(parents=True)
    (inner / "HEAD").touch()
    (inner / "link").symlink_to("/etc/passwd")
    (tmp_path / "git-hooks").mkdir()
    given: dict[str, tuple[int, int, bool]] = {}

    def chown(path: Path, uid: int, gid: int, *, follow_symlinks: bool) -> None:
        given[str(Path(path).relative_to(tmp_path))] = (uid, gid, follow_symlinks)

    monkeypatch.setattr(os, "chown", chown)
    owner = (os.geteuid(), os.getegid())
    monkeypatch.setattr(users, "user_of", lambda *_: owner)
    ownership.give_back(cloud, host)
    names = (
        "git",
        "git/demo",
        "git/demo/app.git",
        "git/demo/app.git/HEAD",
        "git/demo/app.git/link",
    )
    assert given == dict.fromkeys(names, (0, 0, False))

    given.clear()
    monkeypatch.setattr(users, "user_of", lambda *_: (owner[0] + 1, owner[1]))
    ownership.give_back(cloud, host)
    assert given == {}
