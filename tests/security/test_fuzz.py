"""Each route that takes a body gets many that hypothesis makes of the shape that the route reads, some
spoilt, with lists and texts of all lengths up to their bounds. None is ever our fault (5xx), what is refused
changes nothing, no write transaction does more than it may, and the process does not grow.

The bodies are the same each time the same files are run: hypothesis also draws constants of the modules that
are loaded. KUMOI_FUZZ_BODIES=200 makes it so many for each route.
"""

from __future__ import annotations

import asyncio
import gc
import itertools
import json
import os
import random
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from kumoi.base import ids
from kumoi.cloud.api import serve as api_serve
from kumoi.cloud.api.serve import SERVICES
from kumoi.cloud.store.tables import metadata
from kumoi.engine.http import app as app_module
from kumoi.engine.http.routing import Route
from kumoi.engine.http.service import Service
from tests.conftest import database_url
from tests.security.bodies import (
    ANY_JSON,
    JUNK,
    NOWHERE,
    encoded,
    of_shape,
    shapes_read,
    spoilt,
    words_of,
    wraps_of,
)
from tests.security.in_process import (
    LATEST,
    InProcessCloud,
    StatementCounter,
    in_process_cloud,
)

BODIES = int(os.environ.get("KUMOI_FUZZ_BODIES", "12"))
ACCEPTED_MIN = 60
"""Routes that accept one of their bodies at the least: else nothing behind a shape was reached."""
AGAIN = 20
GROWN_MAX = 1_000
REFUSED, OURS = 400, 500
SAID_SO = {501, 503}
OCTETS = "application/octet-stream"
ID = re.compile(r"[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}")
METHODS = ("POST", "PUT", "PATCH")


def _routes() -> Iterator[tuple[Service, Route]]:
    for method in METHODS:  # What is made first is there for the others.
        for service in SERVICES:
            yield from ((service, each) for each in service.routes if each.method == method)


ROUTES = {
    f"{route.method} /{service.prefix}{route.path}": (service, route)
    for service, route in _routes()
}


@dataclass
class Fuzzed:
    """`ids` are of what was made, by the last word of its collection's path."""

    cloud: InProcessCloud
    app: Any
    runner: asyncio.Runner
    ids: list[str] = field(default_factory=list)
    by_words: dict[str, list[str]] = field(default_factory=dict)
    accepted: set[str] = field(default_factory=set)
    refused: dict[str, tuple[str, str, bytes]] = field(default_factory=dict)
    counter: StatementCounter | None = None
    sources: Iterator[int] = field(default_factory=itertools.count)
    authorization: str = ""

    def ask(
        self, method: str, path: str, body: bytes, *, source: int | None = None, query: str = ""
    ) -> tuple[int, bytes]:
        """Each from another address unless told, so that none has used up its failed logins."""
        kind = b"application/json"
        if method == "PATCH" and path.startswith("/image"):
            kind = b"application/openstack-images-v2.1-json-patch"
        if path.startswith("/image") and path.endswith(("/file", "/stage")):
            kind = OCTETS.encode()
        number = next(self.sources) if source is None else source
        scope = {
            "type": "http",
            "method": method,
            "path": path,
            "query_string": query.encode(),
            "client": (f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}", 1),
            "headers": [
                (b"x-auth-token", self.cloud.token.encode()),
                (b"openstack-api-version", LATEST.encode()),
                (b"content-type", kind),
                (b"authorization", self.authorization.encode()),
                (b"content-length", str(len(body)).encode()),
            ],
        }
        return self.runner.run(self._call(scope, body))

    async def _call(self, scope: dict[str, Any], body: bytes) -> tuple[int, bytes]:
        said: dict[str, Any] = {"status": 0}
        content = bytearray()
        asked = iter(({"type": "http.request", "body": body},))

        async def receive() -> dict[str, Any]:
            return next(asked, {"type": "http.disconnect"})

        async def send(message: dict[str, Any]) -> None:
            said.update(message)
            content.extend(message.get("body", b""))

        await self.app(scope, receive, send)
        return said["status"], bytes(content)

    def learn(self, words: str, content: bytes) -> None:
        found = list(dict.fromkeys(ID.findall(content[:2_000].decode(errors="replace"))))[:2]
        made = [each for each in found if each != self.cloud.project_id]
        self.ids += made
        self.by_words.setdefault(words, []).extend(made[:1])


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def fuzzed(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Fuzzed]:
    directory = tmp_path_factory.mktemp("cloud")
    patch = pytest.MonkeyPatch()
    patch.setattr(ids, "random", random.SystemRandom())  # Hypothesis sets the other one back.
    patch.setattr(app_module, "RETRY_AFTER_S", 0.0)
    with (
        patch.context(),
        database_url(request.param, directory, request) as url,
        in_process_cloud(directory, url) as cloud,
        asyncio.Runner() as runner,
    ):
        cloud.add_host()
        cloud.lift_quotas()
        made = Fuzzed(cloud, api_serve.app(cloud.services), runner)
        make_things(made)
        made.counter = StatementCounter(cloud)
        yield made
    patch.undo()


NETWORKS, COMPUTE, BALANCERS = "/network/v2.0", "/compute/v2.1", "/load-balancer/v2.0/lbaas"


def make_things(fuzzed: Fuzzed) -> None:
    """One of each noun that others are made of."""

    def made(path: str, body: Any) -> str:
        answer = fuzzed.cloud.ask("POST", path, body)
        assert answer.status_code < REFUSED, answer.text
        shown = answer.json()
        inner = shown if "id" in shown else next(iter(shown.values()))
        fuzzed.ids.append(str(inner["id"]))
        fuzzed.by_words.setdefault(path.rpartition("/")[2], []).append(str(inner["id"]))
        return str(inner["id"])

    network = made(f"{NETWORKS}/networks", {"network": {"name": "n"}})
    subnet = {"network_id": network, "ip_version": 4, "cidr": "10.0.0.0/16"}
    subnet_id = made(f"{NETWORKS}/subnets", {"subnet": subnet})
    made(f"{NETWORKS}/ports", {"port": {"network_id": network}})
    made(f"{NETWORKS}/routers", {"router": {"name": "r"}})
    made(f"{NETWORKS}/security-groups", {"security_group": {"name": "g"}})
    flavor = {"name": "f", "ram": 1, "vcpus": 1, "disk": 1}
    flavor_id = made(f"{COMPUTE}/flavors", {"flavor": flavor})
    image = made("/image/v2/images", {"disk_format": "raw", "container_format": "bare"})
    fuzzed.cloud.ask(
        "PUT", f"/image/v2/images/{image}/file", b"content", **{"Content-Type": OCTETS}
    ).raise_for_status()
    server = {"name": "s", "flavorRef": flavor_id, "imageRef": image, "networks": "none"}
    made(f"{COMPUTE}/servers", {"server": server})
    made(f"{COMPUTE}/os-server-groups", {"server_group": {"name": "g", "policy": "affinity"}})
    balancer = made(f"{BALANCERS}/loadbalancers", {"loadbalancer": {"vip_subnet_id": subnet_id}})
    listener = {"loadbalancer_id": balancer, "protocol": "HTTP", "protocol_port": 80}
    listener_id = made(f"{BALANCERS}/listeners", {"listener": listener})
    pool = {"loadbalancer_id": balancer, "protocol": "HTTP", "lb_algorithm": "SOURCE_IP"}
    pool_id = made(f"{BALANCERS}/pools", {"pool": pool})
    member = {"address": "10.0.0.5", "protocol_port": 80}
    made(f"{BALANCERS}/pools/{pool_id}/members", {"member": member})
    policy = {"listener_id": listener_id, "action": "REJECT"}
    made(f"{BALANCERS}/l7policies", {"l7policy": policy})


def path_of(fuzzed: Fuzzed, service: Service, route: Route, number: int) -> str:
    """With things that exist, mostly."""
    parts, words = [], ""
    for part in route.path.split("/"):
        if part.startswith("{"):
            known = fuzzed.by_words.get(words, [])
            parts.append(known[number % len(known)] if known and number % 5 else NOWHERE)
        else:
            parts.append(part)
            words = part or words
    return f"/{service.prefix}{'/'.join(parts)}"


def bodies_of(fuzzed: Fuzzed, service: Service, route: Route) -> st.SearchStrategy[Any]:
    """Of each shape that the route read when it was asked with nothing inside."""
    made: list[st.SearchStrategy[Any]] = []
    seen = set()
    path = path_of(fuzzed, service, route, 1)
    for wrap in wraps_of(route):
        with shapes_read() as read:
            fuzzed.ask(route.method, path, json.dumps(wrap({})).encode())
        for shape in read:
            if shape not in seen:
                seen.add(shape)
                made.append(of_shape(shape, fuzzed.ids).map(wrap))
    return st.one_of(made) if made else ANY_JSON


@pytest.mark.parametrize("name", ROUTES)
def test_no_body_is_our_fault_and_none_that_is_refused_changes_anything(
    fuzzed: Fuzzed, name: str
) -> None:
    service, route = ROUTES[name]
    made = bodies_of(fuzzed, service, route)
    before = row_counts(fuzzed.cloud)

    @settings(
        max_examples=BODIES,
        derandomize=True,
        database=None,
        deadline=None,
        phases=(Phase.generate,),
        suppress_health_check=list(HealthCheck),
    )
    @given(made, st.integers(0, 10**6), st.sampled_from(JUNK))
    def tried(body: Any, number: int, junk: Any) -> None:
        changed = spoilt(body, number, junk) if number % 3 == 0 else body
        content = encoded(changed)
        path = path_of(fuzzed, service, route, number)
        status, answer = fuzzed.ask(route.method, path, content)
        assert status < OURS or status in SAID_SO, (status, path, content[:1_000], answer[:300])
        if status < REFUSED:
            fuzzed.accepted.add(name)
            fuzzed.learn(words_of(route), answer)
        else:
            fuzzed.refused[name] = (route.method, path, content)

    tried()
    assert fuzzed.counter is None or fuzzed.counter.most <= fuzzed.counter.most_allowed
    if name not in fuzzed.accepted:
        assert row_counts(fuzzed.cloud) == before


def test_what_is_behind_the_shapes_was_reached(fuzzed: Fuzzed) -> None:
    assert len(fuzzed.accepted) >= ACCEPTED_MIN
    status, _ = fuzzed.ask("GET", "/network/v2.0/networks", b"")
    assert status == 200


def test_the_process_does_not_grow(fuzzed: Fuzzed) -> None:
    """By what is sent again and again and refused each time."""

    def send(times: int) -> int:
        for method, path, content in fuzzed.refused.values():
            for _ in range(times):
                fuzzed.ask(method, path, content, source=0)
        gc.collect()
        return len(gc.get_objects())

    before = send(2)
    assert fuzzed.refused
    assert send(AGAIN) - before < GROWN_MAX


def row_counts(cloud: InProcessCloud) -> dict[str, int]:
    """How much is in each table, but for the audit, where what was refused stands too."""
    tables = [table for table in metadata.sorted_tables if table.name != "audit"]
    counts = [
        sa.select(sa.func.count()).select_from(table).scalar_subquery().label(table.name)
        for table in tables
    ]
    with cloud.database.read() as connection:
        return dict(connection.execute(sa.select(*counts)).mappings().one())
