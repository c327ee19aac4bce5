"""Each route that takes a body gets 200 that are made of the shape that the route reads, some spoilt, with
lists and texts of all lengths up to their bounds. None is ever our fault (5xx), what is refused changes nothing,
no write transaction does more than it may, and the process does not grow.

The bodies are the same each time. They come in halves: what grows is seen in the second, when all that is kept
for the next request is there.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from random import Random

import pytest
import sqlalchemy as sa

from kumoi.cloud.api import serve as api_serve
from kumoi.cloud.api.serve import SERVICES
from kumoi.cloud.store.tables import metadata
from kumoi.engine.http import app as app_module
from kumoi.engine.http.routing import Route
from kumoi.engine.http.service import Service
from tests.conftest import database_url
from tests.security.bodies import (
    words_of,
)
from tests.security.fuzzed import (
    BLOCKS_MAX,
    BODIES,
    BYTES_MAX,
    HALVES,
    Fuzzed,
    bodies_of,
    make_things,
    maybe_spoilt,
    path_of,
)
from tests.security.in_process import InProcessCloud, StatementCounter, in_process_cloud

ACCEPTED_MIN = 115
"""Routes that accept one of their bodies at the least: else nothing behind a shape was reached."""
METHODS = ("POST", "PUT", "PATCH")


def _routes() -> Iterator[tuple[Service, Route]]:
    for method in METHODS:  # What is made first is there for the others.
        for service in SERVICES:
            yield from ((service, each) for each in service.routes if each.method == method)


ROUTES = {
    f"{route.method} /{service.prefix}{route.path}": (service, route)
    for service, route in _routes()
}
CASES = [pytest.param(half, name, id=f"{half}: {name}") for half in HALVES for name in ROUTES]


@pytest.fixture(scope="class")
def fuzzed(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Fuzzed[InProcessCloud]]:
    directory = tmp_path_factory.mktemp("cloud")
    with (
        pytest.MonkeyPatch.context() as patch,
        database_url(request.cls.backend, directory, request) as url,
        in_process_cloud(directory, url) as cloud,
        asyncio.Runner() as runner,
    ):
        patch.setattr(app_module, "RETRY_AFTER_S", 0.0)
        cloud.add_host()
        cloud.lift_quotas()
        made = Fuzzed(cloud, api_serve.app(cloud.services), runner)
        make_things(made)
        made.counter = StatementCounter(cloud.database)
        yield made


class OnDatabase:
    """Each database in a class of its own, which xdist runs beside the other."""

    backend = ""

    @pytest.mark.parametrize(("half", "name"), CASES)
    def test_no_body_is_our_fault_and_none_that_is_refused_changes_anything(
        self, fuzzed: Fuzzed[InProcessCloud], half: str, name: str
    ) -> None:
        if half == HALVES[1]:
            fuzzed.half_done()
        service, route = ROUTES[name]
        made = bodies_of(fuzzed, service, route)
        before = row_counts(fuzzed.at)
        chance = Random(f"{half} of {name}")
        for _ in range(BODIES // len(HALVES)):
            body, path = chance.choice(made)(chance), path_of(fuzzed, service, route, chance)
            if fuzzed.sends(route.method, path, maybe_spoilt(body, chance), words_of(route)):
                fuzzed.accepted.add(name)
                fuzzed.known.learn(body)
        assert fuzzed.counter is not None
        assert fuzzed.counter.most <= fuzzed.counter.most_allowed
        if name not in fuzzed.accepted:
            assert row_counts(fuzzed.at) == before

    def test_what_is_behind_the_shapes_was_reached(self, fuzzed: Fuzzed[InProcessCloud]) -> None:
        assert len(fuzzed.accepted) >= ACCEPTED_MIN
        status, _ = fuzzed.ask("GET", "/network/v2.0/networks", b"")
        assert status == 200

    def test_the_process_does_not_grow(self, fuzzed: Fuzzed[InProcessCloud]) -> None:
        grown = fuzzed.grown()
        assert grown.blocks <= BLOCKS_MAX
        assert grown.bytes <= BYTES_MAX


class TestOnSqlite(OnDatabase):
    backend = "sqlite"


class TestOnPostgresql(OnDatabase):
    backend = "postgresql"


def row_counts(cloud: InProcessCloud) -> dict[str, int]:
    """How much is in each table, but for the audit, where what was refused stands too."""
    tables = [table for table in metadata.sorted_tables if table.name != "audit"]
    counts = [
        sa.select(sa.func.count()).select_from(table).scalar_subquery().label(table.name)
        for table in tables
    ]
    with cloud.database.read() as connection:
        return dict(connection.execute(sa.select(*counts)).mappings().one())
