"""The pipeline's disk is full: pushes are refused in words, nothing is lost, and all goes on when there is
room. On a small file system of its own, which only root can mount.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from openstack.connection import Connection
from tests.running_cloud import RunningCloud
from tests.stories.pipeline.conftest import Pusher, RunningPipeline, built, until

from kumoi.base.process import run
from kumoi.engine import sqlite
from kumoi.pipeline.serve import NO_ROOM_FOR_RUN

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")

SIZE = 256 << 20
RESERVE = SIZE // 20
FULL = "the disk of this cloud is full, and nothing was changed: try again when there is room"


@pytest.fixture(scope="module")
def folder(cloud: RunningCloud, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    del cloud  # A file system for each.
    device = tmp_path_factory.mktemp("device") / "ext4"
    with device.open("wb") as file:
        file.truncate(SIZE)
    run(["mkfs.ext4", "-q", "-m0", device])
    where = tmp_path_factory.mktemp("pipeline")
    run(["mount", "-o", "loop", device, where])
    where.chmod(0o755)
    try:
        yield where
    finally:
        run(["umount", "--lazy", where])


@contextlib.contextmanager
def filled(pipeline: RunningPipeline, *, left: int) -> Iterator[None]:
    filling = pipeline.here.state / "filling"
    space = os.statvfs(pipeline.here.state)
    with filling.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, space.f_bavail * space.f_frsize - left)
    try:
        yield
    finally:
        filling.unlink()


def large(pusher: Pusher, mib: int) -> str:
    (pusher.folder / "large").write_bytes(os.urandom(mib << 20))
    return pusher.commit(f"{mib} MiB")


def test_a_push_and_a_clone_are_refused_in_words_while_the_reserve_is_all_that_is_left(
    pipeline: RunningPipeline, pusher: Pusher, demo: Connection, tmp_path: Path
) -> None:
    pusher.run_id(pusher.push())
    commit = pusher.commit("when it is full")
    with filled(pipeline, left=RESERVE // 2), pipeline.client(demo) as client:
        assert f"remote error: {FULL}" in pusher.push()
        cloned = pusher.git("clone", pusher.url(), str(tmp_path / "no"), check=False)
        assert f"remote error: {FULL}" in cloned.err
        before = client.get("/pipeline/v1/runs").json()["runs"]
        client.post(
            f"/pipeline/v1/runs/{before[0]['id']}/cancel"
        ).raise_for_status()  # By the reserve.
    assert pusher.run_id(pusher.push())
    with pipeline.client(demo) as client:
        newest = client.get("/pipeline/v1/runs").json()["runs"][0]
        assert newest["commit"] == commit


def test_a_push_that_fills_the_disk_is_told_so_and_loses_nothing(
    pipeline: RunningPipeline, pusher: Pusher, demo: Connection, tmp_path: Path
) -> None:
    pusher.run_id(pusher.push())
    commit = large(pusher, 24)
    with filled(pipeline, left=RESERVE + (8 << 20)):
        printed = pusher.push()
        assert FULL in printed
        assert "remote: run" not in printed
    until(lambda: not list((pipeline.here.state / "git-spool").iterdir()))
    bare = pipeline.here.state / "git" / demo.current_project_id / "hello.git"
    git = ["git", "-c", "safe.directory=*", "--git-dir", bare]
    assert run([*git, "fsck", "--full", "--strict"]).status == 0
    assert "remote: run" in pusher.push()
    pusher.git("clone", "--quiet", pusher.url(), str(tmp_path / "again"))
    head = pusher.git("-C", str(tmp_path / "again"), "rev-parse", "HEAD").out.strip()
    assert head == commit
    assert run([*git, "fsck", "--full", "--strict"]).status == 0


def test_an_environment_and_a_repository_are_deleted_while_the_reserve_is_all_that_is_left(
    pipeline: RunningPipeline, pusher: Pusher, demo: Connection
) -> None:
    run_id = pusher.run_id(pusher.push())
    large(pusher, 8)
    pusher.git("tag", "v1")
    pusher.git("push", pusher.url().replace("/hello.git", "/tagged.git"), "v1")
    bare = pipeline.here.state / "git" / demo.current_project_id / "tagged.git"
    with pipeline.client(demo) as client:
        environment = built(pipeline, client, run_id)["environment"]
        with filled(pipeline, left=RESERVE // 2):
            where = f"/pipeline/v1/environments/{environment['id']}"
            client.delete(where).raise_for_status()

            def gone() -> bool:
                """The environment's end."""
                found = pipeline.run_of(client, run_id)
                return str(found["environment"]["status"]) == "deleted"

            until(gone)
            before = os.statvfs(bare).f_bavail
            client.delete("/pipeline/v1/repositories/tagged").raise_for_status()
            assert not bare.exists()
            assert os.statvfs(pipeline.here.state).f_bavail > before
    assert not list(demo.compute.servers())


FILLING = """#!/bin/sh
for size in 1M 4k 512; do dd if=/dev/zero of=filling-$size bs=$size; done 2>/dev/null
{hook}
"""


@contextlib.contextmanager
def filled_by(hook: str, pipeline: RunningPipeline, demo: Connection) -> Iterator[None]:
    """As if others had filled the disk when git gets to that hook."""
    if pipeline.config.pipeline_database_url.startswith("sqlite"):
        store = sqlite.driver().connect(pipeline.here.state / "store.db")
        store.execute("PRAGMA wal_checkpoint(TRUNCATE)")  # Its log has no room of its own.
        store.close()
    path = pipeline.here.state / "git-hooks" / hook
    before = path.read_text()
    path.write_text(FILLING.format(hook=before.partition("\n")[2]))
    try:
        yield
    finally:
        path.write_text(before)
        bare = pipeline.here.state / "git" / demo.current_project_id / "hello.git"
        for each in bare.glob("filling-*"):
            each.unlink()


def run_ids_of(pipeline: RunningPipeline, demo: Connection, commit: str) -> list[str]:
    with pipeline.client(demo) as client:
        runs = client.get("/pipeline/v1/runs").json()["runs"]
    return [each["id"] for each in runs if each["commit"] == commit]


def test_a_push_whose_run_met_the_end_of_the_disk_says_so_and_pushing_again_names_the_run(
    pipeline: RunningPipeline, pusher: Pusher, demo: Connection
) -> None:
    pusher.run_id(pusher.push())
    commit = pusher.commit("the disk is full once this has arrived")
    with filled_by("post-receive", pipeline, demo):
        printed = pusher.push()
        assert "main -> main" in printed
        if not pipeline.config.pipeline_database_url.startswith("sqlite"):
            assert pusher.run_id(printed)  # Its store is on another disk.
            return
        assert NO_ROOM_FOR_RUN in " ".join(printed.replace("remote:", " ").split())
        assert "remote: run" not in printed
        assert run_ids_of(pipeline, demo, commit) == []
        assert f"remote error: {FULL}" in pusher.push()
    again = pusher.push()
    (run_id,) = run_ids_of(pipeline, demo, commit)
    assert f"it arrived and began run {run_id}" in again
    assert f"kumoi run follow {run_id}" in again
    with pipeline.client(demo) as client:
        assert built(pipeline, client, run_id)["reason"] == ""  # Somebody acts for it.
    assert "Everything up-to-date" in pusher.push()


def test_a_push_that_meets_the_end_of_the_disk_before_its_branch_moves_is_refused(
    pipeline: RunningPipeline, pusher: Pusher, demo: Connection
) -> None:
    pusher.run_id(pusher.push())
    commit = pusher.commit("the disk is full before this has arrived")
    with filled_by("pre-receive", pipeline, demo):
        printed = pusher.push()
        assert "the disk of this cloud is full" in printed
        assert "main -> main (pre-receive hook declined)" in printed
    assert "remote: run" in pusher.push()
    assert len(run_ids_of(pipeline, demo, commit)) == 1
