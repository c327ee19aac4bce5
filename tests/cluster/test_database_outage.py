"""PostgreSQL is killed under load and started again: what a client was told is kept stays kept, the
API goes on serving, and whoever listened hears again.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path

import httpx
import pytest

from kumoi.engine import feed
from kumoi.engine.db import Database
from kumoi.engine.loop import Loop, run
from tests.postgres import PostgresServer, own_postgres
from tests.running_cloud import ADMIN_PASSWORD, running_cloud

CLIENTS = 6
EACH = 30
KILLED_AFTER = CLIENTS * EACH // 3
TRIES_MAX = 50
BOUND_S = 60.0
NEVER_S = 3_600.0
AGAIN = HTTPStatus.SERVICE_UNAVAILABLE
UNKNOWN = HTTPStatus.GATEWAY_TIMEOUT


@dataclass
class Load:
    """Clients that make networks and list them, and note what they were told."""

    url: str
    token: str
    kept: list[str] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)
    answers: Counter[tuple[str, int]] = field(default_factory=Counter)
    under_way: threading.Event = field(default_factory=threading.Event)

    def work(self, client: int) -> None:
        with httpx.Client(headers={"X-Auth-Token": self.token}, timeout=BOUND_S) as http:
            for number in range(EACH):
                self._create(http, f"net-{client}-{number}")
                answer = http.get(f"{self.url}/network/v2.0/networks", params={"limit": 1})
                self._note(answer)

    def _create(self, http: httpx.Client, name: str) -> None:
        """Repeated only where the answer says that nothing was kept."""
        for _ in range(TRIES_MAX):
            answer = http.post(
                f"{self.url}/network/v2.0/networks", json={"network": {"name": name}}
            )
            self._note(answer)
            if answer.status_code == HTTPStatus.CREATED:
                self.kept.append(name)
                break
            if answer.status_code == UNKNOWN:
                self.unknown.append(name)
                break
        if len(self.kept) >= KILLED_AFTER:
            self.under_way.set()

    def _note(self, answer: httpx.Response) -> None:
        self.answers[answer.request.method, answer.status_code] += 1
        if answer.status_code == AGAIN:
            assert int(answer.headers["Retry-After"]) >= 1


class Rounds:
    """A reconciler that looks only when it hears something."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._changed = threading.Condition()
        self._seen = 0

    def round(self) -> None:
        with self._database.read() as connection:
            seen = feed.position(connection).revision
        with self._changed:
            self._seen = seen
            self._changed.notify_all()

    def reach(self, revision: int) -> bool:
        with self._changed:
            return self._changed.wait_for(lambda: self._seen >= revision, BOUND_S)


@contextlib.contextmanager
def hearing(database: Database) -> Iterator[Rounds]:
    rounds, events = Rounds(database), asyncio.new_event_loop()
    working = events.create_task(run(Loop("story", rounds.round, NEVER_S), database))
    thread = threading.Thread(target=lambda: events.run_until_complete(asyncio.wait([working])))
    thread.start()
    try:
        yield rounds
    finally:
        events.call_soon_threadsafe(working.cancel)
        thread.join(BOUND_S)
        events.close()


@pytest.fixture
def server() -> Iterator[PostgresServer]:
    with own_postgres() as running:
        yield running


def test_a_killed_database_loses_nothing_and_stops_nobody(
    server: PostgresServer, tmp_path: Path
) -> None:
    with running_cloud(tmp_path, server.url) as cloud, hearing(cloud.database) as rounds:
        with cloud.connect("admin", ADMIN_PASSWORD, "admin") as admin:
            admin.network.update_quota(admin.current_project_id, network=-1)
            load = Load(cloud.url, str(admin.auth_token))
        with ThreadPoolExecutor(CLIENTS) as clients:
            working = [clients.submit(load.work, client) for client in range(CLIENTS)]
            assert load.under_way.wait(BOUND_S)
            assert len(load.kept) < CLIENTS * EACH
            server.kill()
            server.start()
            for item in working:
                item.result(BOUND_S)
        assert len(load.kept) + len(load.unknown) == CLIENTS * EACH
        assert {status for _, status in load.answers} <= {200, 201, AGAIN, UNKNOWN}
        assert len(load.unknown) <= 1  # One writer at a time, so one commit at a time.
        found = names(load)
        assert set(found) - set(load.unknown) == set(load.kept)
        assert set(found.values()) == {1}
        with cloud.database.write() as connection:
            feed.touch(connection, "story", "end")
            last = feed.position(connection).revision
        assert rounds.reach(last)


def names(load: Load) -> Counter[str]:
    answer = httpx.get(
        f"{load.url}/network/v2.0/networks", headers={"X-Auth-Token": load.token}, timeout=BOUND_S
    )
    return Counter(network["name"] for network in answer.raise_for_status().json()["networks"])
