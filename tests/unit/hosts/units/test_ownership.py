"""What was pushed goes back to root with the cloud, for the release before, and nothing else does. What a role runs
with stays until it is replaced.
"""

from __future__ import annotations

import os
import pwd
from pathlib import Path

import pytest

from kumoi import config
from kumoi.config import CloudSettings, HostSettings, first_host
from kumoi.hosts.units import ownership, rights, users


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


def tell(host: HostSettings, token_ttl_s: int) -> None:
    ownership.write_settings(CloudSettings(token_ttl_s=token_ttl_s), host, "api")


def told(host: HostSettings) -> int:
    return config.read(CloudSettings, rights.settings_dir(host, "api")).settings.token_ttl_s


def test_what_a_role_runs_with_is_there_until_it_is_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not what it was told last: an `up` that was cut off may have told it another thing, and replaced nothing."""
    owner = pwd.getpwuid(os.geteuid()).pw_name
    monkeypatch.setattr(users, "name_of", lambda *_: owner)
    for name in ("chown", "fchown"):
        monkeypatch.setattr(os, name, lambda *_: None)
    host = first_host(CloudSettings(), str(tmp_path))
    config.write(CloudSettings(), host.state)
    config.write(host, host.state)
    for seconds in (1, 2, 3):
        tell(host, seconds)
    assert told(host) == 3
    ownership.put_settings_back(host, "api")
    assert told(host) == 1
    ownership.put_settings_back(host, "api")
    assert told(host) == 1
    tell(host, 4)
    ownership.forget_settings_before(host, "api")
    tell(host, 5)
    ownership.put_settings_back(host, "api")
    assert told(host) == 4
    names = {path.name for path in rights.settings_dir(host, "api").iterdir()}
    assert names == {"cloud.toml", "host.toml"}
