"""A role that runs ends when the cloud is finalized at a newer release."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from kumoi.base.clock import Clock
from kumoi.base.errors import Permanent
from kumoi.cloud import release_watch
from kumoi.cloud.store.host import cluster_version
from kumoi.cloud.store.host.cluster_version import ClusterVersion
from kumoi.cloud.store.tables import metadata
from kumoi.engine.db import Database


@pytest.fixture
def database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Database]:
    monkeypatch.setattr(release_watch, "LOOK_EVERY_S", 0.01)
    with closing(Database(f"sqlite:///{tmp_path}/cloud.db", wake_dir=tmp_path)) as opened:
        metadata.create_all(opened.engine)
        yield opened


def finalize(database: Database, release: str) -> None:
    with database.write() as connection:
        row = ClusterVersion(cluster_version.ONLY, release, Clock().now())
        cluster_version.replace(connection, row)


def test_a_role_ends_when_the_cloud_is_finalized_at_a_newer_release(database: Database) -> None:
    async def role() -> None:
        await asyncio.to_thread(finalize, database, "99.0.0")
        await asyncio.Event().wait()

    with pytest.raises(ExceptionGroup) as raised:
        asyncio.run(asyncio.wait_for(release_watch.while_current(database, role()), 30))
    (error,) = raised.value.exceptions
    assert isinstance(error, Permanent)
    assert "the cloud was finalized at release 99.0.0" in str(error)


def test_a_role_that_ends_by_itself_is_waited_for_no_longer(database: Database) -> None:
    async def role() -> None:
        await asyncio.to_thread(finalize, database, "0.0.1")

    asyncio.run(asyncio.wait_for(release_watch.while_current(database, role()), 30))
