"""The image reconciler, with the real store and real files."""

from __future__ import annotations

from pathlib import Path

import pytest

from kumoi.base.clock import SetClock
from kumoi.cloud.domain.image import content
from kumoi.cloud.drivers.image import files
from kumoi.cloud.reconcilers.image import SWEEP_S, ImageReconciler
from kumoi.cloud.store.schema import metadata
from kumoi.config import Settings
from kumoi.engine.db import Database


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(state_dir=str(tmp_path))


@pytest.fixture
def database(settings: Settings) -> Database:
    made = Database(settings.database, wake_dir=settings.wake_dir)
    metadata.create_all(made.engine)
    return made


def left(settings: Settings) -> set[str]:
    return {path.name for path in settings.image_dir.iterdir()} - {files.LOCK}


def test_what_a_killed_upload_left_goes_and_what_is_being_written_stays(
    settings: Settings, database: Database
) -> None:
    reconciler = ImageReconciler(database, settings, SetClock())
    with content.begin(settings) as draft:
        draft.write(b"x")
        (settings.image_dir / f"{files.DRAFT}dead").write_bytes(b"half an image")
        (settings.image_dir / ("0" * 64)).write_bytes(b"no row came to name it")
        reconciler.round()
        assert len(left(settings)) == 1
    assert left(settings) == set()


def test_a_cloud_without_images_has_nothing_to_sweep(
    settings: Settings, database: Database
) -> None:
    ImageReconciler(database, settings, SetClock()).round()
    assert not settings.image_dir.exists()


def test_files_are_looked_at_now_and_then_only(settings: Settings, database: Database) -> None:
    clock = SetClock()
    reconciler = ImageReconciler(database, settings, clock)
    reconciler.round()
    settings.image_dir.mkdir()
    (settings.image_dir / ("0" * 64)).write_bytes(b"x")
    reconciler.round()
    assert left(settings)
    clock.advance(SWEEP_S)
    reconciler.round()
    assert not left(settings)
