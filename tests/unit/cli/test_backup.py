"""A backup has all that the control plane keeps, and restoring brings all of it back or nothing."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from kumoi import __version__, config, members
from kumoi.base.errors import Conflict, Invalid, KumoiError, Permanent
from kumoi.base.process import run
from kumoi.cli import backup, choice, restore
from kumoi.cloud.store import migrate as cloud_migrate
from kumoi.config import CloudSettings, HostSettings
from kumoi.engine import feed
from kumoi.engine.db import Database
from kumoi.engine.position import Position
from kumoi.hosts import backup_file
from kumoi.hosts.units import running
from kumoi.pipeline.repositories import Repositories
from kumoi.pipeline.store import migrate as pipeline_migrate

NAME = "kback"
IMAGE = "ab" * 32


@pytest.fixture
def top() -> Iterator[Path]:
    """Near the root, so that sockets fit."""
    with tempfile.TemporaryDirectory(prefix="kback-", dir="/tmp") as name:
        yield Path(name)


@pytest.fixture
def host(top: Path) -> HostSettings:
    """A cloud's state, with a thing of each kind, and no process."""
    cloud = CloudSettings(name=NAME, region="Elsewhere")
    made = config.first_host(cloud, str(top / "state"))
    for directory in (made.pki_dir, made.state / "passwords", made.image_dir, made.run_dir):
        directory.mkdir(parents=True)
    config.write(cloud, made.state)
    config.write(made, made.state)
    (made.pki_dir / "ca.key").write_text("the authority's key")
    (made.pki_dir / "ca.key").chmod(0o600)
    (made.pki_dir / "ca.crt").write_text("its certificate")
    (made.pki_dir / "token-keys").mkdir()
    (made.pki_dir / "token-keys/first.json").write_text("tokens are signed by this")
    (made.state / "passwords/admin").write_text("secret")
    (made.image_dir / IMAGE).write_bytes(os.urandom(100_000))
    cloud_migrate.upgrade(members.cloud_database(cloud, made))
    pipeline_migrate.upgrade(members.pipeline_database(cloud, made))
    touch(made, "thing")
    push(made, "one")
    Repositories(made).ensure("project", "empty")
    return made


def database_of(state: Path) -> str:
    return f"sqlite:///{state / 'cloud' / 'cloud.db'}"


def touch(host: HostSettings, key: str) -> Position:
    database = Database(database_of(host.state), wake_dir=host.wake_dir)
    with database.write() as connection:
        feed.touch(connection, "things", key)
        position = feed.position(connection)
    database.close()
    return position


def things(host: HostSettings) -> tuple[list[str], Position]:
    database = Database(database_of(host.state), wake_dir=host.wake_dir)
    with database.read() as connection:
        found = list(feed.changes(connection, "things", since=0).keys)
        position = feed.position(connection)
    database.close()
    return found, position


def push(host: HostSettings, text: str) -> str:
    """Commit to a repository of the cloud's; the commit."""
    path = Repositories(host).ensure("project", "app")
    who = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
    with tempfile.TemporaryDirectory() as work:
        git = ["git", f"--git-dir={path}", f"--work-tree={work}", *who]
        (Path(work) / "file").write_text(text)
        run([*git, "add", "--all"])
        run([*git, "-c", "core.hooksPath=/dev/null", "commit", "--quiet", "-m", text])
    return head(host)


def head(host: HostSettings) -> str:
    path = Repositories(host).path_of("project", "app")
    return run(["git", f"--git-dir={path}", "rev-parse", "refs/heads/main"]).out.strip()


def called(command: str, file: Path, host: HostSettings, **more: bool) -> None:
    options = {"yes": False, "json": False, **more}
    module = {"backup": backup, "restore": restore}[command]
    where = {"name": NAME, "state_dir": host.state_dir, "file": str(file)}
    assert module.run(argparse.Namespace(**where, **options)) == 0


def picture(state: Path) -> dict[str, bytes]:
    """All files with their content, but for what a command leaves to be alone."""
    return {
        str(path.relative_to(state)): path.read_bytes()
        for path in sorted(state.rglob("*"))
        if path.is_file() and path.name != "up.lock" and not path.name.endswith(("-wal", "-shm"))
    }


def test_all_is_back_after_all_was_lost(host: HostSettings, top: Path) -> None:
    file, commit = top / "backup", head(host)
    called("backup", file, host)
    before = picture(host.state)
    _, position = things(host)
    shutil.rmtree(host.state)
    called("restore", file, host)

    after = picture(host.state)
    for name in (
        "pki/ca.key",
        "pki/ca.crt",
        "pki/token-keys/first.json",
        "passwords/admin",
        f"images/{IMAGE}",
    ):
        assert after[name] == before[name]
    assert (host.pki_dir / "ca.key").stat().st_mode & 0o777 == 0o600
    assert (host.store_dir / "cloud.db").stat().st_mode & 0o777 == 0o600
    assert after["cloud.toml"] == before["cloud.toml"]
    assert after["host.toml"] == before["host.toml"]
    found, restored = things(host)
    assert found == ["thing"]
    assert restored.revision == position.revision
    assert not restored.continues(position)
    assert head(host) == commit
    assert push(host, "two") != commit
    assert not list(host.state.glob(f"{restore.ASIDE}*"))
    assert not list(host.state.glob(".[br]*"))


def test_what_was_there_is_kept_aside_and_no_old_log_is_played_back(
    host: HostSettings, top: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = top / "backup"
    called("backup", file, host)
    database = Database(database_of(host.state), wake_dir=host.wake_dir)
    with database.write() as connection:
        feed.touch(connection, "things", "later")
    assert (host.store_dir / "cloud.db-wal").stat().st_size > 0
    capsys.readouterr()
    called("restore", file, host, json=True)
    database.close()
    aside = Path(json.loads(capsys.readouterr().out)["aside"])
    assert things(host)[0] == ["thing"]
    assert {path.name for path in aside.iterdir()} >= {"cloud", "pki", "git", "cloud.toml"}
    assert things(config.changed(host, state_dir=str(aside)))[0] == ["thing", "later"]


def test_a_backup_is_not_in_the_way_of_the_next(host: HostSettings, top: Path) -> None:
    called("backup", top / "first", host)
    (host.state / backup.STAGING / "left").mkdir(parents=True)  # By one that was killed.
    called("backup", top / "second", host)
    with pytest.raises(Conflict, match="not written over"):
        called("backup", top / "second", host)


def test_a_backup_tells_programs_what_is_in_it(
    host: HostSettings, top: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    called("backup", top / "file", host, json=True)
    shown = json.loads(capsys.readouterr().out)
    assert (shown["cloud"], shown["release"]) == (NAME, __version__)
    assert shown["stores"]["cloud"]["revision"] == 1
    assert shown["parts"] == len(backup_file.read_manifest(top / "file").parts)


def spoil_middle(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


def cut_off(file: Path) -> None:
    os.truncate(file, file.stat().st_size // 2)


def of_another_cloud(file: Path) -> None:
    rewrite(file, cloud="other")


def of_a_newer_release(file: Path) -> None:
    rewrite(file, release="99.0.0")


def of_no_cloud(file: Path) -> None:
    rewrite(file, parts=[])


def rewrite(file: Path, settings: CloudSettings | None = None, **changes: object) -> None:
    """With other host in it, or with another manifest."""
    manifest = backup_file.read_manifest(file)
    place = file.parent / "rewritten"
    backup_file.unpack(file, manifest, place, lambda _count: None)
    if settings is not None:
        config.write(settings, place)
    file.unlink()
    with backup_file.written(file, lambda _count: None) as writer:
        for part in manifest.parts:
            writer.add(part.name, place / part.name)
        writer.finish(msgspec.structs.replace(manifest, **{"parts": writer.parts, **changes}))


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (spoil_middle, "damaged"),
        (cut_off, "cut off"),
        (of_another_cloud, "a backup of the cloud other: --name other"),
        (of_a_newer_release, "of release 99.0.0, newer than"),
        (of_no_cloud, "cloud.toml cannot be read"),
        (Path.unlink, "is not there"),
    ],
)
def test_what_cannot_be_restored_changes_nothing(
    host: HostSettings, top: Path, spoil: object, told: str
) -> None:
    file = top / "backup"
    called("backup", file, host)
    spoil(file)  # type: ignore[operator]
    before = picture(host.state)
    with pytest.raises(Invalid, match=told):
        called("restore", file, host)
    assert picture(host.state) == before
    shutil.rmtree(host.state)
    with pytest.raises(Invalid, match=told):
        called("restore", file, host)
    assert not host.state.exists()


def test_a_restore_that_fails_in_the_middle_is_undone(host: HostSettings, top: Path) -> None:
    """The restored cloud's store is in a PostgreSQL that does not answer."""
    nowhere = f"postgresql+psycopg://kumoi@/kumoi?host={top}"
    file = top / "backup"
    called("backup", file, host)
    rewrite(file, CloudSettings(name=NAME, database_url=nowhere))
    before = picture(host.state)
    with pytest.raises(KumoiError, match="nothing is changed"):
        called("restore", file, host)
    assert picture(host.state) == before
    choice.require_whole(host)


def test_a_restore_that_was_cut_short_is_told_until_it_is_done(
    host: HostSettings, top: Path
) -> None:
    called("backup", top / "backup", host)
    choice.unfinished_restore(host).write_text("what was there is elsewhere")
    with pytest.raises(Conflict, match=r"cut short .*elsewhere.* call `restore` again"):
        choice.require_whole(host)
    called("restore", top / "backup", host)
    choice.require_whole(host)


def test_a_cloud_that_runs_is_not_restored_unasked(host: HostSettings, top: Path) -> None:
    called("backup", top / "backup", host)
    marks = running.mark(host.state_dir, "api", "0")
    with subprocess.Popen(
        ["sleep", "60"], env={**os.environ, **marks}, start_new_session=True
    ) as role:
        try:
            with pytest.raises(Conflict, match=r"runs \(api\): `restore --yes` stops these"):
                called("restore", top / "backup", host)
            assert role.poll() is None
            called("restore", top / "backup", host, yes=True)
            assert role.wait(timeout=10) < 0
        finally:
            role.kill()
    assert things(host)[0] == ["thing"]


def test_a_backup_for_which_there_is_no_room_is_refused(
    host: HostSettings, top: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backup, "SPARE_BYTES", 1 << 60)
    with pytest.raises(Permanent, match="and the backup needs up to"):
        called("backup", top / "backup", host)
    assert not (top / "backup").exists()
