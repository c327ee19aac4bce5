"""The migrations make exactly the tables that the code has, on both databases."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from kumoi.cloud.store.migrate import upgrade as upgrade_cloud
from kumoi.cloud.store.tables import metadata as cloud
from kumoi.engine.migrate import differences
from kumoi.pipeline.store.migrate import upgrade as upgrade_pipeline
from kumoi.pipeline.store.tables import metadata as pipeline

STORES = pytest.mark.parametrize(
    ("upgrade", "metadata"),
    [(upgrade_cloud, cloud), (upgrade_pipeline, pipeline)],
    ids=["cloud", "pipeline"],
)


@STORES
def test_the_migrations_make_the_tables_of_the_code(
    store_url: str, upgrade: object, metadata: sa.MetaData
) -> None:
    upgrade(store_url)  # type: ignore[operator]
    assert differences(store_url, metadata) == []


@STORES
def test_migrating_again_changes_nothing(
    store_url: str, upgrade: object, metadata: sa.MetaData
) -> None:
    upgrade(store_url)  # type: ignore[operator]
    upgrade(store_url)  # type: ignore[operator]
    assert differences(store_url, metadata) == []
