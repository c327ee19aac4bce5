"""Fixtures for all: a PostgreSQL server, a cloud on each database, its users."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest

from kumoi.base.process import run
from kumoi.components import Api
from tests.plain_http import PLAIN
from tests.postgres import fresh_database, running_postgres

if TYPE_CHECKING:
    from openstack.connection import Connection

    from tests.running_cloud import RunningCloud

BACKENDS = ("sqlite", "postgresql")

_kill = os.kill


def _kill_one(pid: int, number: int, /) -> None:
    """A pid that is not there is 0 in many places, and 0 and less are whole groups of processes: whoever
    runs the tests would die without a word.
    """
    if pid <= 0:
        raise ProcessLookupError(f"no process: {pid}")
    _kill(pid, number)


os.kill = _kill_one


def pytest_make_parametrize_id(val: object) -> str | None:
    """An address such as fd00::1 in a test's id looks to xdist like the end of a file's name: the test would
    run apart from its file, with a cloud of its own.
    """
    is_mistaken = isinstance(val, str) and val.isascii() and "::" in val
    return str(val).replace("::", ":0:") if is_mistaken else None


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """A superuser's URL of a PostgreSQL server of our own."""
    with running_postgres() as url:
        yield url


@contextlib.contextmanager
def database_url(backend: str, directory: Path, request: pytest.FixtureRequest) -> Iterator[str]:
    """An empty database of that kind."""
    if backend == "sqlite":
        url = f"sqlite:///{directory / 'store.db'}"
        _expand(url)
        yield url
        return
    with fresh_database(request.getfixturevalue("postgres_url")) as url:
        _expand(url)
        yield url


def _expand(url: str) -> None:
    """With the tables of another release, where tests/upgrade tells the stories of this one on it."""
    newer = os.environ.get("KUMOI_TEST_SCHEMA_OF")
    if newer:
        path = {"PYTHONPATH": f"{newer}/src:{newer}"}
        run([sys.executable, "-m", "tests.upgrade.play", "schema", url], env=path, cwd=Path(newer))


@pytest.fixture(params=BACKENDS)
def store_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """An empty database, on each backend in turn."""
    with database_url(request.param, tmp_path, request) as url:
        yield url


@pytest.fixture(scope="module")
def apis() -> Collection[str]:
    """Those that a file's cloud has: all, unless the file or its directory says what its stories need."""
    return tuple(Api)


@pytest.fixture(scope="module", params=BACKENDS)
def cloud(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    apis: Collection[str],
) -> Iterator[RunningCloud]:
    """The real APIs on loopback; one cloud for a file's stories, which keep to their own tenant."""
    from tests.running_cloud import running_cloud

    directory = tmp_path_factory.mktemp("cloud")
    with (
        database_url(request.param, directory, request) as url,
        running_cloud(directory, url, apis) as running,
    ):
        yield running


@pytest.fixture(scope="module")
def admin(cloud: RunningCloud) -> Iterator[Connection]:
    """The administrator, in project admin."""
    from tests.running_cloud import ADMIN_PASSWORD

    with cloud.connect("admin", ADMIN_PASSWORD, "admin") as connection:
        yield connection


@pytest.fixture
def demo(cloud: RunningCloud, admin: Connection) -> Iterator[Connection]:
    """A user with role member in a project made for this one story."""
    with _tenant(cloud, admin) as connection:
        yield connection


@pytest.fixture
def other(cloud: RunningCloud, admin: Connection) -> Iterator[Connection]:
    """A second tenant."""
    with _tenant(cloud, admin) as connection:
        yield connection


@pytest.fixture(scope="module")
def tenant(cloud: RunningCloud, admin: Connection) -> Iterator[Connection]:
    """One for all of a file's stories that keep to what they made: cheaper than a `demo` for each."""
    with _tenant(cloud, admin) as connection:
        yield connection


@pytest.fixture(scope="module")
def neighbour(cloud: RunningCloud, admin: Connection) -> Iterator[Connection]:
    """Another such tenant."""
    with _tenant(cloud, admin) as connection:
        yield connection


@pytest.fixture
def http(cloud: RunningCloud) -> Iterator[httpx.Client]:
    """Raw requests to `/identity/v3/...` and so on."""
    with httpx.Client(base_url=cloud.url, verify=PLAIN) as client:
        yield client


@contextlib.contextmanager
def _tenant(cloud: RunningCloud, admin: Connection) -> Iterator[Connection]:
    from kumoi.base.ids import new_hex_id

    name = f"tenant-{new_hex_id()[:8]}"
    project = admin.identity.create_project(name=name, domain_id="default")
    user = admin.identity.create_user(
        name=name, password=name, domain_id="default", default_project_id=project.id
    )
    role = admin.identity.find_role("member")
    admin.identity.assign_project_role_to_user(project, user, role)
    with cloud.connect(name, name, name) as connection:
        yield connection
