"""Nobody leads PostgreSQL: what an API shows then, also one that starts, and whose tokens it takes."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import replace
from http import HTTPStatus
from pathlib import Path

import httpx
import pytest

from kumoi import main
from kumoi.base.clock import Clock
from kumoi.cloud.api import serve as api_serve
from kumoi.cloud.api.services import Services
from kumoi.cloud.domain.identity.token import UNSURE_MOST_S, Tokens
from kumoi.cloud.drivers.image import inspect
from kumoi.cloud.store.identity.signing_key import KeyDirectory
from kumoi.cloud.store.identity.stored_key import StoredKeys
from kumoi.cloud.store.migrations import FOLDER
from kumoi.cloud.store.seal import Seal
from kumoi.config import HostSettings
from kumoi.engine import db, schema_check
from kumoi.engine.http.errors import BEHIND
from tests.asgi_client import AsgiClient
from tests.postgres_three import ThreeServers, execute, three_servers, wait_until
from tests.security.in_process import (
    ADMIN_PASSWORD,
    DEMO_PASSWORD,
    InProcessCloud,
    in_process_cloud,
)

CONTENT = b"no system, but content" * 1_000
NETWORKS = "/network/v2.0/networks"
TOKENS = "/identity/v3/auth/tokens"
AWAY = HTTPStatus.SERVICE_UNAVAILABLE


@pytest.fixture(scope="module")
def three() -> Iterator[ThreeServers]:
    with three_servers() as servers:
        newest = max(schema_check.revisions(FOLDER))  # The cloud makes its tables, in less time.
        execute(servers.leader, f"CREATE TABLE alembic_version AS SELECT '{newest}' AS version_num")
        yield servers


@pytest.fixture
def cloud(
    three: ThreeServers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[InProcessCloud]:
    monkeypatch.setattr(db, "FAILOVER_WAIT_S", 0.5)
    three.start()
    with in_process_cloud(tmp_path, three.url) as made:
        yield made


@contextlib.contextmanager
def answering(cloud: InProcessCloud, services: Services) -> Iterator[InProcessCloud]:
    app = api_serve.app(services)
    with AsgiClient(app) as client:
        database = services.database
        yield InProcessCloud(client, app, database, services, cloud.token, cloud.project_id)


@contextlib.contextmanager
def started(cloud: InProcessCloud, directory: Path, url: str) -> Iterator[InProcessCloud]:
    """Another process of its API, that begins now."""
    here = HostSettings(name="host1", state_dir=str(directory))
    database = main._open_store(url, directory / "wake-2", FOLDER, follows=True)
    with contextlib.closing(database):
        settings = cloud.services.cloud
        services = api_serve.build_services(settings, here, database, Clock(), inspect.check_file)
        api_serve.load_revoked(services)
        with answering(cloud, services) as made:
            yield made


def names(answer: httpx.Response) -> set[str]:
    assert answer.status_code == HTTPStatus.OK
    return {each["name"] for each in answer.json()["networks"]}


def test_an_api_that_starts_shows_what_is_there_and_takes_no_revoked_token(
    cloud: InProcessCloud, three: ThreeServers, tmp_path: Path
) -> None:
    cloud.ask("POST", NETWORKS, {"network": {"name": "before"}}).raise_for_status()
    revoked, _ = cloud.log_in("demo", DEMO_PASSWORD, "demo")
    assert cloud.ask("GET", NETWORKS, token=revoked).status_code == HTTPStatus.OK
    cloud.ask("DELETE", TOKENS, **{"X-Subject-Token": revoked}).raise_for_status()
    three.settle()
    three.leader.kill()
    with started(cloud, tmp_path, three.url) as other:
        assert "before" in names(other.ask("GET", NETWORKS))
        assert other.ask("GET", NETWORKS, token=revoked).status_code == HTTPStatus.UNAUTHORIZED
        token, _ = other.log_in("admin", ADMIN_PASSWORD, "admin")
        assert "before" in names(other.ask("GET", NETWORKS, token=token))
        refused = other.ask("POST", NETWORKS, {"network": {"name": "after"}})
        assert refused.status_code == AWAY
        assert "nothing was changed" in refused.text
        assert int(refused.headers["Retry-After"]) >= 1


def test_an_api_that_starts_reads_the_keys_of_tokens_from_who_follows(
    cloud: InProcessCloud, three: ThreeServers, tmp_path: Path
) -> None:
    keys = StoredKeys(cloud.database, Seal(tmp_path / "seal"), KeyDirectory(tmp_path / "none"))
    now = cloud.services.clock.now()
    claims = cloud.services.tokens.check(cloud.token, now=now)
    token = Tokens(keys, now).sign(claims)
    three.settle()
    three.leader.kill()
    assert Tokens(keys, now).check(token, now=now) == claims


def test_the_file_of_an_image_is_given_out(cloud: InProcessCloud, three: ThreeServers) -> None:
    body = {"name": "x", "disk_format": "raw", "container_format": "bare"}
    made = cloud.ask("POST", "/image/v2/images", body).raise_for_status().json()["id"]
    path = f"/image/v2/images/{made}/file"
    octets = {"Content-Type": "application/octet-stream"}
    cloud.ask("PUT", path, CONTENT, **octets).raise_for_status()
    three.settle()
    three.leader.kill()
    answer = cloud.ask("GET", path)
    assert (answer.status_code, answer.content) == (HTTPStatus.OK, CONTENT)
    newest = cloud.ask("GET", path, **{"Cache-Control": "no-cache"})
    assert newest.status_code == AWAY


def test_an_api_that_reaches_one_server_alone_takes_tokens_for_a_while_and_then_none(
    cloud: InProcessCloud, three: ThreeServers, tmp_path: Path
) -> None:
    """It cannot know which were revoked; where two answer, it can."""
    at_s = [0.0]
    before = cloud.services
    keys = KeyDirectory(tmp_path / "none")
    tokens = Tokens(keys, before.clock.now(), monotonic=lambda: at_s[0])
    token = tokens.sign(before.tokens.check(cloud.token, now=before.clock.now()))
    services = replace(before, tokens=tokens)
    three.settle()
    three.leader.kill()
    three.standbys[0].kill()
    with answering(cloud, services) as alone:
        api_serve.load_revoked(services)
        shown = alone.ask("GET", NETWORKS, token=token)
        assert shown.status_code == HTTPStatus.OK
        assert shown.headers["Warning"].startswith("110 ")
        at_s[0] = UNSURE_MOST_S + 1
        api_serve.load_revoked(services)
        refused = alone.ask("GET", NETWORKS, token=token)
        assert (refused.status_code, BEHIND in refused.text) == (AWAY, True)
        login = alone.client.post(TOKENS, json=LOGIN)
        assert (login.status_code, BEHIND in login.text) == (AWAY, True)
        three.standbys[0].start()

        def is_shown() -> bool:
            api_serve.load_revoked(services)
            return alone.ask("GET", NETWORKS, token=token).status_code == HTTPStatus.OK

        wait_until(is_shown)


LOGIN = {
    "auth": {
        "identity": {
            "methods": ["password"],
            "password": {
                "user": {"name": "admin", "password": ADMIN_PASSWORD, "domain": {"id": "default"}}
            },
        },
    }
}
