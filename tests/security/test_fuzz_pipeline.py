"""Each route of the pipeline that changes something gets 200 bodies made of its shape, some spoilt, as
test_fuzz.py sends them to the APIs of OpenStack; what git hosts deliver is signed, mostly. None is ever our
fault, no write transaction does more than it may, and the process does not grow.

What git itself sends is in test_git_bombs.py, what runners send in test_fuzz_inside.py.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import ipaddress
from collections import deque
from collections.abc import Iterator
from random import Random
from typing import Any

import pytest

from kumoi.engine.http import app as app_module
from kumoi.engine.http.routing import Route
from kumoi.pipeline import guarded_http
from kumoi.pipeline.api.routes import PIPELINE
from kumoi.pipeline.store import webhook
from kumoi.pipeline.webhook import HEADERS, GitHost, PushPayload
from tests.conftest import database_url
from tests.security.bodies import KNOWN_MAX, of_shape, words_of
from tests.security.fuzzed import (
    BODIES,
    BYTES_MAX,
    HALVES,
    Fuzzed,
    bodies_of,
    maybe_spoilt,
    path_of,
)
from tests.security.in_process import StatementCounter
from tests.security.in_process_pipeline import InProcessPipeline, in_process_pipeline

DELIVER = "POST /pipeline/v1/webhooks/{id}/deliver"
ROUTES = {
    f"{route.method} /{PIPELINE.prefix}{route.path}": route
    for method in ("POST", "PUT", "DELETE")  # What is made first is there for the others.
    for route in PIPELINE.routes
    if route.method == method
}
CASES = [pytest.param(half, name, id=f"{half}: {name}") for half in HALVES for name in ROUTES]
ENVIRONMENTS = 30
BLOCKS_MAX = 8
"""That the process may grow by for each body: they are few."""

Told = Fuzzed[InProcessPipeline]


@pytest.fixture(scope="class")
def fuzzed(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Told]:
    directory = tmp_path_factory.mktemp("pipeline")
    with (
        pytest.MonkeyPatch.context() as patch,
        database_url(request.cls.backend, directory, request) as url,
        asyncio.Runner() as runner,
        in_process_pipeline(directory, url, runner) as pipeline,
    ):
        patch.setattr(app_module, "RETRY_AFTER_S", 0.0)
        patch.setattr(guarded_http, "addresses_of", _on_loopback)
        made = Fuzzed(pipeline, pipeline.app, runner)
        made.counter = StatementCounter(pipeline.database)
        _make_things(made)
        yield made


def _on_loopback(host: str, _port: int) -> list[Any]:
    """What the resolver says of names: no test asks one."""
    if not host.isascii():
        raise UnicodeError(host)
    return [ipaddress.ip_address("127.0.0.1")]


def _make_things(fuzzed: Told) -> None:
    for number in range(ENVIRONMENTS):
        run_id, key = fuzzed.at.add_environment(f"b{number}", f"r{number % 3}")
        fuzzed.by_words.setdefault("runs", deque(maxlen=KNOWN_MAX)).append(run_id)
        fuzzed.by_words.setdefault("environments", deque(maxlen=KNOWN_MAX)).append(key)
    fuzzed.by_words["repositories"] = deque(["r0", "r1", "r2", "new", "unused"])
    fuzzed.by_words["secrets"] = deque(["A_KEY", "OTHER"])
    fuzzed.known.learn(
        {"repository": "new", "host": "gitea", "url": "http://a.example/b.git", "value": "x" * 9}
    )


def _deliver(fuzzed: Told, route: Route, chance: Random) -> bool:
    """What there may be in a push event, mostly as its host signs it."""
    path, host = path_of(fuzzed, PIPELINE, route, chance), chance.choice(list(GitHost))
    make = of_shape(PushPayload, fuzzed.known)
    content = maybe_spoilt({"ref": "refs/heads/main"} | make(chance), chance)
    with fuzzed.at.database.read() as connection:
        found = webhook.get(connection, path.split("/")[4])
    names, secret = HEADERS[GitHost(found.host) if found else host], b"unknown"
    if found is not None and chance.randrange(5):
        secret = found.secret.reveal().encode()
    digest = hmac.new(secret, content, hashlib.sha256).hexdigest()
    proof = {GitHost.GITHUB: f"sha256={digest}", GitHost.GITLAB: secret.decode()}
    said = {
        names.event: names.pushes,
        names.ids[0]: f"{chance.randrange(100)}",
        names.proof: proof.get(GitHost(found.host), digest) if found else digest,
    }
    fuzzed.headers = [(name.lower().encode(), each.encode()) for name, each in said.items()]
    try:
        return fuzzed.sends("POST", path, content)
    finally:
        fuzzed.headers = ()


class OnDatabase:
    backend = ""

    @pytest.mark.parametrize(("half", "name"), CASES)
    def test_no_body_is_our_fault(self, fuzzed: Told, half: str, name: str) -> None:
        if half == HALVES[1]:
            fuzzed.half_done()
        route = ROUTES[name]
        made = bodies_of(fuzzed, PIPELINE, route)
        chance = Random(f"{half} of {name}")
        for _ in range(BODIES // len(HALVES)):
            if name == DELIVER:
                is_accepted = _deliver(fuzzed, route, chance)
            else:
                body = chance.choice(made)(chance)
                path = path_of(fuzzed, PIPELINE, route, chance)
                content = maybe_spoilt(body, chance)
                is_accepted = fuzzed.sends(route.method, path, content, words_of(route))
            if is_accepted:
                fuzzed.accepted.add(name)
        assert fuzzed.counter is not None
        assert fuzzed.counter.most <= fuzzed.counter.most_allowed

    def test_what_is_behind_the_shapes_was_reached(self, fuzzed: Told) -> None:
        assert set(ROUTES) - fuzzed.accepted == set()

    def test_the_process_does_not_grow(self, fuzzed: Told) -> None:
        grown = fuzzed.grown()
        assert grown.blocks <= BLOCKS_MAX
        assert grown.bytes <= BYTES_MAX


class TestOnSqlite(OnDatabase):
    backend = "sqlite"


class TestOnPostgresql(OnDatabase):
    backend = "postgresql"
