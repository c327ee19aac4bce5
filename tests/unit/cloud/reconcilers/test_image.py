"""The image reconciler, with the real store and real files."""

from __future__ import annotations

from pathlib import Path

import pytest

from kumoi.base.clock import SetClock
from kumoi.cloud.drivers.image import files
from kumoi.cloud.drivers.image.files import ImageFiles
from kumoi.cloud.reconcilers.image import SWEEP_S, ImageReconciler
from kumoi.cloud.store.schema import metadata
from kumoi.config import CloudSettings, HostSettings
from kumoi.engine.db import Database
from kumoi.members import cloud_database

CLOUD = CloudSettings()


@pytest.fixture
def host(tmp_path: Path) -> HostSettings:
    return HostSettings(state_dir=str(tmp_path))


@pytest.fixture
def database(host: HostSettings) -> Database:
    host.store_dir.mkdir()
    made = Database(cloud_database(CLOUD, host), wake_dir=host.wake_dir)
    metadata.create_all(made.engine)
    return made


def left(host: HostSettings) -> set[str]:
    return {path.name for path in host.image_dir.iterdir()} - {files.LOCK}


def test_what_a_killed_upload_left_goes_and_what_is_being_written_stays(
    host: HostSettings, database: Database
) -> None:
    reconciler = ImageReconciler(database, ImageFiles(host.image_dir), SetClock())
    with ImageFiles(host.image_dir).draft(CLOUD.image_max_bytes) as draft:
        draft.write(b"x")
        (host.image_dir / f"{files.DRAFT}dead").write_bytes(b"half an image")
        (host.image_dir / ("0" * 64)).write_bytes(b"no row came to name it")
        reconciler.round()
        assert len(left(host)) == 1
    assert left(host) == set()


def test_a_cloud_without_images_has_nothing_to_sweep(
    host: HostSettings, database: Database
) -> None:
    ImageReconciler(database, ImageFiles(host.image_dir), SetClock()).round()
    assert left(host) == set()


def test_files_are_looked_at_now_and_then_only(host: HostSettings, database: Database) -> None:
    clock = SetClock()
    reconciler = ImageReconciler(database, ImageFiles(host.image_dir), clock)
    reconciler.round()
    (host.image_dir / ("0" * 64)).write_bytes(b"x")
    reconciler.round()
    assert left(host)
    clock.advance(SWEEP_S)
    reconciler.round()
    assert not left(host)
