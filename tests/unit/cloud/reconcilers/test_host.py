from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from kumoi.base.clock import Clock
from kumoi.cloud.domain.host import host as domain
from kumoi.cloud.hostapi.hello import HostHello
from kumoi.cloud.reconcilers.host import HostReconciler
from kumoi.cloud.store.host import host as store
from kumoi.cloud.store.schema import metadata
from kumoi.engine.db import Database, now

HELLO = HostHello(
    release="0", hostname="host1", drivers=["lxc"], vcpus=1, ram_mib=1_024, disk_gib=10
)


@pytest.fixture
def database(store_url: str, tmp_path: Path) -> Iterator[Database]:
    opened = Database(store_url, wake_dir=tmp_path / "wake")
    metadata.create_all(opened.engine)
    with opened.write() as connection:
        domain.register(connection, "host1", HELLO, now(connection))
    yield opened
    opened.close()


def state(database: Database) -> str:
    with database.read() as connection:
        return domain.get(connection, "host1").state


@pytest.mark.parametrize("skew", [timedelta(hours=-1), timedelta(hours=1)])
def test_a_worker_whose_clock_is_wrong_takes_no_host_for_silent_nor_a_silent_one_for_alive(
    database: Database, monkeypatch: pytest.MonkeyPatch, skew: timedelta
) -> None:
    monkeypatch.setattr(Clock, "now", lambda _self: datetime.now(UTC) + skew)
    reconciler = HostReconciler(database, silent_s=30)
    reconciler.round()
    assert state(database) == store.UP
    with database.write() as connection:
        store.update(connection, "host1", seen_at=now(connection) - timedelta(seconds=31))
    reconciler.round()
    assert state(database) == store.DOWN
