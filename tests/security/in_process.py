"""The real APIs in this process without a socket: many thousand requests take seconds."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import msgspec
import psycopg
import sqlalchemy as sa

from kumoi.base.clock import Clock
from kumoi.base.secret import Secret
from kumoi.cloud.api import serve as api_serve
from kumoi.cloud.api.services import Services
from kumoi.cloud.domain.host import host
from kumoi.cloud.domain.identity import bootstrap
from kumoi.cloud.drivers.image import inspect
from kumoi.cloud.hostapi.hello import HostHello
from kumoi.cloud.store.tables import metadata
from kumoi.config import CloudSettings, HostSettings
from kumoi.engine import db
from kumoi.engine.db import Database, now
from kumoi.engine.http.app import App
from kumoi.engine.write_watch import DOING, WriteWatch
from tests.asgi_client import AsgiClient
from tests.cheap_hashes import cheap_hashes

ADMIN_PASSWORD = "admin-secret"
DEMO_PASSWORD = "demo-secret"
LATEST = "compute 2.96"
STATEMENTS_MAX = {"sqlite": 1_200, "postgresql": 400}
"""Of one write transaction, whatever a request asks for. SQLite is told each row of many; to PostgreSQL they
go together, and what costs is to ask and to wait for the answer.
"""


@dataclass
class InProcessCloud:
    """`ask` sends as the administrator of project admin, or with the given token."""

    client: AsgiClient
    app: App
    database: Database
    services: Services
    token: str = ""
    project_id: str = ""

    def ask(
        self, method: str, path: str, body: Any = None, *, token: str = "", **headers: str
    ) -> httpx.Response:
        """A body that is not bytes is sent as JSON."""
        sent = {"X-Auth-Token": token or self.token, "OpenStack-API-Version": LATEST}
        content = body if isinstance(body, bytes) else msgspec.json.encode(body)
        if body is not None:
            sent |= {"Content-Type": "application/json", "Content-Length": str(len(content))}
        return self.client.request(
            method, path, content=content if body is not None else b"", headers=sent | headers
        )

    def log_in(self, name: str, password: str, project: str) -> tuple[str, str]:
        """The token, and the project's id."""
        domain = {"id": "default"}
        user = {"name": name, "password": password, "domain": domain}
        auth = {
            "identity": {"methods": ["password"], "password": {"user": user}},
            "scope": {"project": {"name": project, "domain": domain}},
        }
        answer = self.client.request("POST", "/identity/v3/auth/tokens", json={"auth": auth})
        answer.raise_for_status()
        return answer.headers["X-Subject-Token"], answer.json()["token"]["project"]["id"]

    def add_host(self) -> None:
        """One with room for a thousand small servers."""
        hello = HostHello(
            release="0",
            hostname="host1",
            drivers=["lxc"],
            vcpus=4_096,
            ram_mib=1 << 20,
            disk_gib=100_000,
        )
        with self.database.write() as connection:
            host.register(connection, "host1", hello, now(connection))

    def lift_quotas(self) -> None:
        """The administrator's project may have as much as it likes."""
        for path, word in (
            ("/network/v2.0/quotas", "quota"),
            ("/compute/v2.1/os-quota-sets", "quota_set"),
            ("/load-balancer/v2.0/lbaas/quotas", "quota"),
        ):
            where = f"{path}/{self.project_id}"
            limits = self.ask("GET", where).json()[word]
            body = {word: {key: -1 for key, value in limits.items() if isinstance(value, int)}}
            self.ask("PUT", where, body).raise_for_status()


@contextlib.contextmanager
def in_process_cloud(directory: Path, database_url: str) -> Iterator[InProcessCloud]:
    """With an administrator and a demo user."""
    with cheap_hashes(), _started(directory, database_url) as cloud:
        yield cloud


@contextlib.contextmanager
def _started(directory: Path, database_url: str) -> Iterator[InProcessCloud]:
    cloud = CloudSettings(name="story", database_url=database_url, api_public_url="http://asked")
    here = HostSettings(name="host1", state_dir=str(directory))
    for needed in (here.pki_dir, here.image_dir):
        needed.mkdir(parents=True, exist_ok=True)
    database = Database(database_url, wake_dir=here.wake_dir)
    metadata.create_all(database.engine)
    passwords = bootstrap.prepare(
        admin_password=Secret(ADMIN_PASSWORD), demo_password=Secret(DEMO_PASSWORD)
    )
    with database.write() as connection:
        bootstrap.bootstrap(connection, cloud, passwords)
    services = api_serve.build_services(cloud, here, database, Clock(), inspect.check_file)
    try:
        app = api_serve.app(services)
        with AsgiClient(app) as client:
            made = InProcessCloud(client, app, database, services)
            made.token, made.project_id = made.log_in("admin", ADMIN_PASSWORD, "admin")
            yield made
    finally:
        database.close()


class WatchByRoute(WriteWatch):
    """How long each route's longest write transaction was open, and for how long it computed."""

    def __init__(self) -> None:
        self.open_s: dict[str, float] = {}
        self.computed_s: dict[str, float] = {}

    def ended(self, open_s: float, computed_s: float) -> None:
        route = DOING.get()
        self.open_s[route] = max(self.open_s.get(route, 0.0), open_s)
        self.computed_s[route] = max(self.computed_s.get(route, 0.0), computed_s)


class StatementCounter:
    """The most statements of a write transaction."""

    def __init__(self, database: Database) -> None:
        self.most = 0
        self.most_allowed = STATEMENTS_MAX[database.url.get_backend_name()]
        self._now = 0
        event_target = database.engine
        database._idle.close()
        event_target.dispose()
        sa.event.listen(event_target, "connect", self._watch)

    def _watch(self, raw: Any, _record: object) -> None:
        if isinstance(raw, psycopg.Connection):
            raw.cursor_factory = _counted(self._count)
        else:
            raw.set_trace_callback(self._count)

    def _count(self, statement: str) -> None:
        if statement.startswith("BEGIN"):
            self._now = 0 if statement in (db.SQLITE.write, db.POSTGRESQL.write) else -(10**9)
        self._now += 1
        self.most = max(self.most, self._now)


def _counted(seen: Callable[[str], None]) -> type[psycopg.Cursor[Any]]:
    class CountedCursor(psycopg.Cursor[Any]):
        def execute(self, query: Any, *args: Any, **named: Any) -> Any:
            seen(query)
            return super().execute(query, *args, **named)

        def executemany(self, query: Any, *args: Any, **named: Any) -> None:
            seen(query)
            super().executemany(query, *args, **named)

    return CountedCursor
