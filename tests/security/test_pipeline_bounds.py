"""As test_bounds.py, of the pipeline: each of its routes that changes something is sent as much as it takes, in a
project that has as much as it may have. What its write transactions do is counted, in statements.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import ipaddress
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from kumoi.engine.http.routing import Route
from kumoi.pipeline import guarded_http
from kumoi.pipeline.api import webhook as webhook_api
from kumoi.pipeline.api.caller import LOGIN
from kumoi.pipeline.api.repository_secret import VALUE_MAX
from kumoi.pipeline.api.routes import SERVICES
from kumoi.pipeline.api.runner import CHECKS_MAX, TEXT_MAX
from kumoi.pipeline.environment import SECRETS_MAX, TTL_MAX_S
from kumoi.pipeline.keys import digest
from kumoi.pipeline.store import environment, log, runner
from kumoi.pipeline.webhook import BRANCH_MAX, HEADERS, ID_MAX, GitHost
from tests.security.fuzzed import REFUSED, Fuzzed
from tests.security.in_process import StatementCounter
from tests.security.in_process_pipeline import InProcessPipeline, in_process_pipeline

READS = {"GET", "HEAD"}
NOTHING_WRITTEN = {
    "POST /runner/v1/next": "waits for a job; what it writes then is a claim's",
}
RUNS = 200
SESSION = "s" * 40
HOOK = {"host": "gitea", "secret": "s" * webhook_api.SECRET_MAX, "token": "t" * 255}
V1 = "/pipeline/v1"

Ask = Callable[..., Any]


@pytest.fixture
def pipeline(
    store_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[InProcessPipeline, Ask, set[str]]]:
    """With `ask`, which requires that it is done and that no transaction did too much, and what was asked."""
    loopback = [ipaddress.ip_address("127.0.0.1")]
    monkeypatch.setattr(guarded_http, "addresses_of", lambda *_: loopback)
    with asyncio.Runner() as loop, in_process_pipeline(tmp_path, store_url, loop) as made:
        counter, asked = StatementCounter(made.database), set()
        sender = Fuzzed(made, made.app, loop)

        def ask(method: str, path: str, body: Any = None, **headers: str) -> Any:
            content = body if isinstance(body, bytes) else json.dumps(body).encode()
            sender.authorization = headers.pop("Authorization", "")
            sender.headers = [
                (key.lower().encode(), text.encode()) for key, text in headers.items()
            ]
            counter.most = 0
            status, answer = sender.ask(method, path, content)
            assert status < REFUSED, (method, path, answer[:1_000])
            assert counter.most <= counter.most_allowed, (method, path, counter.most)
            asked.add(f"{method} {path}")
            return json.loads(answer) if answer else None

        yield made, ask, asked


def test_each_route_is_sent_as_much_as_it_takes(
    pipeline: tuple[InProcessPipeline, Ask, set[str]],
) -> None:
    place, ask, asked = pipeline
    _webhooks(ask)
    _secrets(ask)
    _runner(place, ask)
    _environments(place, ask)
    _repository_with_many_runs(place, ask)
    wanted = {
        f"{route.method} /{service.prefix}{route.path}": route
        for service in SERVICES
        for route in service.routes
        if route.method not in READS
        and route.scheme != LOGIN  # What git sends is no body with fields.
    }
    missing = [name for name, route in wanted.items() if not _is_asked(name, route, asked)]
    assert missing == list(NOTHING_WRITTEN)


def _is_asked(name: str, route: Route, asked: set[str]) -> bool:
    parts = name.split("/")
    return any(
        len(parts) == len(path.split("/"))
        and all(
            mine[:1] == "{" or mine == theirs
            for mine, theirs in zip(parts, path.split("/"), strict=True)
        )
        for path in asked
    )


def _webhooks(ask: Ask) -> None:
    url = "http://a.example/" + "b" * (guarded_http.URL_MAX - 17)
    for number in range(webhook_api.PER_PROJECT_MAX):
        full = HOOK | {"repository": f"r{number}", "url": url, "api_url": url}
        made = ask("POST", f"{V1}/webhooks", full)["webhook"]
    names = HEADERS[GitHost.GITEA]
    told = {"ref": "refs/heads/" + "b" * BRANCH_MAX, "after": "0" * 64}
    for number in range(3):
        content = json.dumps(told | {"commits": ["c" * 500] * 1_000}).encode()
        proof = hmac.new(HOOK["secret"].encode(), content, hashlib.sha256).hexdigest()
        said = {names.event: names.pushes, names.proof: proof}
        said[names.ids[0]] = f"{number}".rjust(ID_MAX, "d")
        ask("POST", f"{V1}/webhooks/{made['id']}/deliver", content, **said)
    ask("DELETE", f"{V1}/webhooks/{made['id']}")


def _secrets(ask: Ask) -> None:
    path = f"{V1}/repositories/with-secrets/secrets"
    for number in range(SECRETS_MAX):
        ask("PUT", f"{path}/KEY_{number}", {"value": "v" * VALUE_MAX})
    ask("DELETE", f"{path}/KEY_0")
    ask("DELETE", f"{V1}/repositories/with-secrets")


def _runner(place: InProcessPipeline, ask: Ask) -> None:
    run_id, _ = place.add_environment("configured")
    with place.database.write() as connection:
        names = [f"KEY_{number}" for number in range(SECRETS_MAX)]
        job = {"secrets": names, "text": "j" * 100_000}
        runner.add(
            connection, runner.Runner(run_id, "", digest("token"), "key", "key", "", job=job)
        )
    ask("POST", "/runner/v1/claim", {"session": SESSION}, Authorization="Bearer token")
    session = {"Authorization": f"Bearer {SESSION}"}
    for number in range(3):
        batch = {"sequence": number + 1, "text": "l" * TEXT_MAX}
        ask("POST", "/runner/v1/log", batch, **session)
    check = {"suite": "s", "name": "n" * 50, "server": "web", "seconds": 1.0, "outcome": "passed"}
    for stage in ("configure", "verify"):
        result = {"stage": stage, "passed": True, "checks": [check] * CHECKS_MAX}
        ask("POST", "/runner/v1/result", result, **session)


def _environments(place: InProcessPipeline, ask: Ask) -> None:
    run_id, key = place.add_environment("main")
    ask("POST", f"{V1}/environments/{key}/extend", {"seconds": TTL_MAX_S})
    ask("POST", f"{V1}/environments/{key}/key")
    ask("POST", f"{V1}/runs/{run_id}/retry")
    ask("POST", f"{V1}/runs/{run_id}/cancel")
    ask("DELETE", f"{V1}/environments/{key}")


def _repository_with_many_runs(place: InProcessPipeline, ask: Ask) -> None:
    now = place.clock.now()
    for number in range(RUNS):
        run_id, key = place.add_environment(f"b{number}", "many")
        with place.database.write() as connection:
            log.append(connection, run_id, 1, "l" * 100)
            environment.set_deleted(connection, key, now)
            environment.set_swept(connection, key, now)
    ask("DELETE", f"{V1}/repositories/many")
