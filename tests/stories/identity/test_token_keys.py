"""Two API processes of one cloud, one of which has not yet heard of a rotation."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import httpx
import jwt
import pytest

from kumoi.base.clock import SetClock
from kumoi.cloud.api import serve
from kumoi.cloud.domain.identity import signing_key
from kumoi.cloud.domain.identity.signing_key import PUBLISHED_S, TTL_MAX_S
from kumoi.cloud.domain.identity.token import Tokens
from kumoi.cloud.store.identity.signing_key import SigningKeys
from kumoi.config import changed
from kumoi.control_host import ControlHost
from tests.running_cloud import ADMIN_PASSWORD, RunningCloud

LOGIN = {
    "auth": {
        "identity": {
            "methods": ["password"],
            "password": {
                "user": {
                    "name": "admin",
                    "domain": {"id": "default"},
                    "password": ADMIN_PASSWORD,
                }
            },
        },
        "scope": {"project": {"name": "admin", "domain": {"id": "default"}}},
    }
}


class Process:
    """One API process: its own keys in memory and its own clock, over the cloud's store."""

    def __init__(self, cloud: RunningCloud, keys: SigningKeys) -> None:
        services = cloud.services
        self.clock = SetClock(services.clock.now())
        tokens = Tokens(keys, self.clock.now())
        self.services = replace(services, clock=self.clock, tokens=tokens)
        self._app = serve.app(self.services)

    def token(self) -> str:
        answer = self._ask("POST", json=LOGIN)
        assert answer.status_code == 201
        return answer.headers["X-Subject-Token"]

    def validate(self, token: str) -> int:
        return self._ask(
            "GET", headers={"X-Auth-Token": token, "X-Subject-Token": token}
        ).status_code

    def learn(self) -> None:
        self.services.tokens.learn_keys(self.clock.now())

    def _ask(self, method: str, **words: object) -> httpx.Response:
        async def ask() -> httpx.Response:
            over = httpx.ASGITransport(self._app)
            async with httpx.AsyncClient(transport=over, base_url="http://api") as client:
                return await client.request(method, "/identity/v3/auth/tokens", **words)  # type: ignore[arg-type]

        return asyncio.run(ask())


def kid(token: str) -> str:
    return str(jwt.get_unverified_header(token)["kid"])


@pytest.fixture(params=["one control host", "three"])
def keys(
    cloud: RunningCloud, request: pytest.FixtureRequest, tmp_path: Path
) -> Iterator[SigningKeys]:
    services = cloud.services
    listed = tuple(ControlHost(f"t-host{n}", f"172.24.5.{n}") for n in (1, 2, 3))
    settings, here = services.cloud, changed(cloud.here, state_dir=str(tmp_path))
    if request.param == "three":
        settings = changed(settings, control_hosts=listed, database_url="")
    made = serve.signing_keys(settings, here, services.database)
    yield made
    for key in made.load():  # The store is another story's next.
        made.remove(key.id)


@pytest.fixture
def processes(cloud: RunningCloud, keys: SigningKeys) -> tuple[Process, Process]:
    return Process(cloud, keys), Process(cloud, keys)


def test_tokens_are_valid_everywhere_at_each_moment_of_a_rotation(
    keys: SigningKeys, processes: tuple[Process, Process]
) -> None:
    quick, slow = processes
    before = quick.token()
    quick.clock.advance(1)
    new = signing_key.rotate(keys, quick.clock.now()).key

    quick.learn()  # The slow one does not know the key yet.
    published = quick.token()
    assert kid(published) == kid(before) != new.id
    assert slow.validate(published) == 200

    slow.learn()  # It knows the key before anybody signs with it.
    quick.clock.advance(PUBLISHED_S)
    quick.learn()
    signed_new = quick.token()
    assert kid(signed_new) == new.id
    assert slow.validate(signed_new) == 200
    signed_old = slow.token()
    assert kid(signed_old) == kid(before)
    assert quick.validate(signed_old) == 200
    assert quick.validate(before) == 200


def test_a_token_of_a_key_that_is_gone_is_an_invalid_token(
    keys: SigningKeys, processes: tuple[Process, Process]
) -> None:
    first, _ = processes
    token = first.token()
    old = kid(token)
    later = max(key.made_at for key in keys.load()) + timedelta(seconds=PUBLISHED_S)
    new = signing_key.rotate(keys, later).key
    first.clock.advance((later - first.clock.now()).total_seconds() + 2 * PUBLISHED_S + TTL_MAX_S)
    first.learn()
    assert old not in {key.id for key in keys.load()}
    fresh = first.token()
    assert kid(fresh) == new.id
    assert first.validate(fresh) == 200
    answer = first._ask("GET", headers={"X-Auth-Token": fresh, "X-Subject-Token": token})
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, 404)
    assert first.validate(token) == 401
