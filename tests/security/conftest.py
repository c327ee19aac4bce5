from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import BACKENDS, database_url
from tests.security.in_process import InProcessCloud, in_process_cloud


@pytest.fixture
def inside(store_url: str, tmp_path: Path) -> Iterator[InProcessCloud]:
    """A cloud of this one test's, on each database in turn."""
    with in_process_cloud(tmp_path, store_url) as cloud:
        yield cloud


@pytest.fixture(scope="module")
def on_sqlite(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[InProcessCloud]:
    """One for all of a file's tests that have much to ask."""
    directory = tmp_path_factory.mktemp("cloud")
    with (
        database_url("sqlite", directory, request) as url,
        in_process_cloud(directory, url) as cloud,
    ):
        yield cloud


@pytest.fixture(scope="module", params=BACKENDS)
def on_each(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[InProcessCloud]:
    """The same on each database in turn."""
    directory = tmp_path_factory.mktemp("cloud")
    with (
        database_url(request.param, directory, request) as url,
        in_process_cloud(directory, url) as cloud,
    ):
        yield cloud
