"""Images and pushed repositories are on the disks of three control hosts, whichever of them loses its own."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from tests.system.conftest import STATE_PARENT
from tests.system.live import eventually
from tests.system.slots import free_slot
from tests.system.store_members import StoreMembers

from kumoi import members
from kumoi.base import process
from kumoi.base.clock import Clock
from kumoi.cli import copies
from kumoi.cloud.store import migrate as cloud_tables
from kumoi.cloud.store.image import image
from kumoi.cloud.store.image.image import Image
from kumoi.config import HostSettings
from kumoi.engine.db import Database
from kumoi.hosts.cluster import databases
from kumoi.hosts.first_use import engines_pki, pki
from kumoi.hosts.units import ownership, running, users
from kumoi.pipeline import git, repository_copy
from kumoi.pipeline.repositories import Repositories
from kumoi.pipeline.repository_calls import CopyNote
from kumoi.pipeline.store import migrate as pipeline_tables
from kumoi.pipeline.store import repository
from kumoi.pipeline.store.repository import Repository

pytestmark = [pytest.mark.system, pytest.mark.timeout(240)]

NOW = datetime(2026, 11, 29, tzinfo=UTC)
COPIED_S = 60.0
LARGE_BYTES = 200 << 20


class Disks(StoreMembers):
    """With tables, as a cloud has them, and what its roles put onto the first host's disk."""

    def start(self) -> None:
        pki.ensure(self.cloud, self.hosts[0], Clock().now())
        super().start()
        for store, upgrade in (
            (members.CLOUD, cloud_tables.upgrade),
            (members.PIPELINE, pipeline_tables.upgrade),
        ):
            upgrade(members.store_url(self.cloud, self.hosts[0], store))
        databases.let_copies_read(self.cloud, self.hosts[0])

    def store(self, name: str) -> Database:
        first = self.hosts[0]
        return Database(members.store_url(self.cloud, first, name), wake_dir=first.wake_dir)

    def upload(self, content: bytes) -> str:
        """To the first host's disk; its hash. The row first: no role holds the lock meanwhile."""
        first, sha256 = self.hosts[0], hashlib.sha256(content).hexdigest()
        database = self.store(members.CLOUD)
        with database.write() as connection:
            image.insert(connection, _image(sha256, len(content)))
        database.close()
        draft = first.image_dir / ".upload"
        draft.write_bytes(content)
        ownership.own_files(self.cloud, first)
        draft.rename(first.image_dir / sha256)
        return sha256

    def forget_image(self, sha256: str) -> None:
        database = self.store(members.CLOUD)
        with database.write() as connection:
            image.delete(connection, sha256[:32])
        database.close()

    def push(self, text: str) -> str:
        """A commit to the repository on the first host's disk, as the pipeline notes it; the commit."""
        first = self.hosts[0]
        repositories = Repositories(first)
        path = repositories.ensure("p", "app")
        blob = git_of(path, "hash-object", "-w", "--stdin", stdin=text)
        tree = git_of(path, "mktree", stdin=f"100644 blob {blob}\tfile\n")
        who = {
            f"GIT_{role}_{what}": "t"
            for role in ("AUTHOR", "COMMITTER")
            for what in ("NAME", "EMAIL")
        }
        commit = git_of(path, "commit-tree", tree, "-m", text, env=who)
        database = self.store(members.PIPELINE)
        with database.write() as connection:
            found = repository.ensure(connection, Repository("r", "p", "p", "app", NOW))
            number = repository.begin_change(connection, found.id, first.name)
        git_of(path, "update-ref", "refs/heads/main", commit)
        repository_copy.write_note(path, CopyNote("r", number + 1))
        uid, gid = users.user_of(self.cloud, first, users.REPOSITORIES)
        process.run(["chown", "-R", f"{uid}:{gid}", str(repositories.root / "p")])
        with database.write() as connection:
            assert repository.end_change(connection, "r", first.name, number)
        database.close()
        return commit

    def has_image(self, host: HostSettings, sha256: str) -> bool:
        file = host.image_dir / sha256
        return file.exists() and hashlib.sha256(file.read_bytes()).hexdigest() == sha256

    def head(self, host: HostSettings) -> str:
        path = Repositories(host).path_of("p", "app")
        return git.list_heads(path).get("main", "") if (path / "HEAD").exists() else ""

    def kill_copies(self, host: HostSettings) -> None:
        units = [unit for unit in running.found(host.state_dir) if unit.name == members.COPIES]
        process.run(["kill", "-KILL", *(str(unit.pid) for unit in units)])


def _image(sha256: str, size: int) -> Image:
    return Image(
        id=sha256[:32], name="x", status="active", visibility="private", owner="p",
        container_format="bare", disk_format="raw", content_format="raw", min_disk=0, min_ram=0,
        size=size, virtual_size=size, checksum=None, sha512=None, sha256=sha256, protected=False,
        os_hidden=False, created_at=NOW, updated_at=NOW,
    )  # fmt: skip


def git_of(
    path: Path, *args: str, stdin: str | None = None, env: dict[str, str] | None = None
) -> str:
    """As root, whose repository it is not once it was given to its unit."""
    safe = {
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": "safe.directory",
        "GIT_CONFIG_VALUE_0": "*",
    }
    argv = ["git", "--git-dir", str(path), *args]
    return process.run(
        argv, stdin=stdin, env={**git.ENVIRONMENT, **safe, **(env or {})}
    ).out.strip()


@pytest.fixture(scope="module")
def disks() -> Iterator[Disks]:
    with free_slot() as slot, Disks(f"kcop{slot}", Path(STATE_PARENT), 56 + slot).running() as made:
        yield made


def soon(what: Callable[[], bool]) -> None:
    eventually(what, within_s=COPIED_S, what="copies are made")


def everywhere(disks: Disks, sha256: str, commit: str) -> bool:
    return all(disks.has_image(host, sha256) and disks.head(host) == commit for host in disks.hosts)


def test_what_one_disk_loses_comes_back_from_another(disks: Disks) -> None:
    first, second, third = disks.hosts
    sha256, commit = disks.upload(os.urandom(5 << 20)), disks.push("one")
    soon(lambda: everywhere(disks, sha256, commit))
    soon(lambda: copies.look(disks.cloud, first).lines == [])
    for host in (second, first):  # The first one's is where it came from.
        for lost in (*host.image_dir.glob("[0-9a-f]*"), *(host.state / "git").iterdir()):
            shutil.rmtree(lost) if lost.is_dir() else lost.unlink()
        soon(lambda: everywhere(disks, sha256, commit))
    later = disks.push("two")
    soon(lambda: everywhere(disks, sha256, later))
    (third.pki_dir / "engines.key").unlink()
    seen = copies.look(disks.cloud, first)
    assert seen.counts == {"keys": 1}
    assert seen.lines[1].endswith(f"key engines: on {first.name}, {second.name}")
    engines_pki.ensure(disks.cloud, first, [second, third], Clock().now())
    assert copies.look(disks.cloud, first).lines == []


def test_a_unit_that_is_killed_at_its_work_leaves_nothing_half(disks: Disks) -> None:
    second = disks.hosts[1]
    large = disks.upload(os.urandom(1 << 20) * (LARGE_BYTES >> 20))
    soon(lambda: any(second.image_dir.glob(".draft-*")))
    disks.kill_copies(second)
    assert not (second.image_dir / large).exists()
    assert large in {each.copy.name for each in copies.look(disks.cloud, disks.hosts[0]).missing}
    soon(lambda: all(disks.has_image(host, large) for host in disks.hosts))
    soon(lambda: not any(second.image_dir.glob(".draft-*")))
    disks.forget_image(large)
    soon(lambda: not any((host.image_dir / large).exists() for host in disks.hosts))
