"""Whatever is sent to any route that is no body of its shape, a query or a header, it is never our fault
(5xx), and what is refused changes nothing. What is nearly of its shape is in tests/security/test_fuzz.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import sqlalchemy as sa
from openstack.connection import Connection

from kumoi.cloud.api.serve import SERVICES
from kumoi.cloud.store.tables import metadata
from kumoi.engine.http.routing import OPEN, Route
from kumoi.engine.http.service import Service
from tests.route_coverage import NOT_COUNTED
from tests.running_cloud import RunningCloud

NOWHERE = "11111111-2222-4333-8444-555555555555"

BODIES = (
    b"",
    b"null",
    b"[]",
    b"{",
    b'"text"',
    b"\xff\xfe",
    b'{"a":' * 5_000,
    b"[" * 100_000,
    b'{"x": {"y": 1}}',
    b'{"x": "a\\u0000b"}',
)
QUERIES = {
    "": (
        "limit=-1",
        "limit=" + "9" * 5_000,
        "limit=9223372036854775808",
        "marker=a%00b",
        f"marker={NOWHERE}&tags=%FF%FE",
        "sort_key=id%27%3B--&sort_dir=asc",
    ),
    "identity": ("enabled=maybe", "name=x%27%3B--"),
    "image": (
        "sort=id:desc:x,",
        "created_at=gt:0001-01-01T00:00:00%2B23:59",
        "size_min=" + "9" * 30,
    ),
    "network": (
        "revision_number=--5",
        "revision_number=" + "9" * 30,
        "mtu=" + "9" * 400,
        "fixed_ips=ip_address_substr%3D%25",
    ),
    "compute": (
        "offset=" + "9" * 30,
        "name=a{99999999999}",
        "name=((((((((a*)*)*)*)*)*)*)*",
        "changes-since=0001-01-01T00:00:00%2B23:59",
        "start=0001-01-01T00:00:00%2B23:59",
    ),
    "load-balancer": (
        "sort=id:desc:x,",
        "weight=--5",
        "protocol_port=" + "9" * 30,
        "backup=maybe",
        "not-tags=%25,,",
    ),
    "placement": (
        "resources=VCPU:" + "9" * 400,
        "resources=,:",
        "required=!",
        "member_of=in:",
        "limit=" + "9" * 400,
        "group_policy=%25",
    ),
    "key-manager": ("limit=-1", "offset=" + "9" * 30, "alg=%25", "limit=" + "9" * 400),
}
NAMES = ("%00", "%FF", "x" * 300, "..%2f..")


def routes(*methods: str) -> Iterator[tuple[Service, Route]]:
    for service in SERVICES:
        for route in service.routes:
            if route.method in methods and not (route.policy == OPEN and route.method == "GET"):
                yield service, route


def url(service: Service, route: Route, value: str = NOWHERE) -> str:
    parts = [value if part.startswith("{") else part for part in route.path.split("/")]
    return f"/{service.prefix}{'/'.join(parts)}"


@pytest.fixture
def ask(http: httpx.Client, admin: Connection) -> Any:
    """As an administrator, whom no policy keeps from the code behind it."""
    headers = {
        "X-Auth-Token": admin.auth_token,
        "OpenStack-API-Version": "compute 2.96",
        "Content-Type": "application/json",
        NOT_COUNTED.decode(): "1",
    }

    def asked(method: str, where: str, body: bytes = b"") -> httpx.Response:
        if method == "PATCH" and where.startswith("/image"):
            headers["Content-Type"] = "application/openstack-images-v2.1-json-patch"
        return http.request(method, where, content=body, headers=headers)

    return asked


def row_counts(cloud: RunningCloud) -> dict[str, int]:
    """How much is in each table, but for the audit, where what was refused stands too."""
    with cloud.database.read() as connection:
        return {
            table.name: connection.execute(
                sa.select(sa.func.count()).select_from(table)
            ).scalar_one()
            for table in metadata.sorted_tables
            if table.name != "audit"
        }


def test_bodies_that_are_none_are_refused_and_change_nothing(cloud: RunningCloud, ask: Any) -> None:
    before, wrong = row_counts(cloud), []
    for service, route in routes("POST", "PUT", "PATCH"):
        for body in BODIES if not route.streams else BODIES[:1]:
            answer = ask(route.method, url(service, route), body)
            if not 400 <= answer.status_code < 500 and answer.status_code != 501:
                wrong.append((answer.status_code, route.method, route.path, body[:40]))
    assert wrong == []
    assert row_counts(cloud) == before


def test_queries_and_names_that_make_no_sense_are_answered(ask: Any) -> None:
    ours = []
    for service, route in routes("GET"):
        where = url(service, route)
        queries = (*QUERIES[""], *QUERIES[service.type])
        for query in queries if "{" not in route.path else queries[:1]:
            answer = ask("GET", f"{where}?{query}")
            if answer.status_code >= 500 and answer.status_code != 501:
                ours.append((answer.status_code, route.path, query[:40]))
        for name in NAMES if "{" in route.path else ():
            answer = ask("GET", url(service, route, name))
            if answer.status_code >= 500 and answer.status_code != 501:
                ours.append((answer.status_code, route.path, name[:40]))
    assert ours == []


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "["},
        {"Host": "x/identity/v3/users?"},
        {"OpenStack-API-Version": "compute 2." + "9" * 5_000},
        {"If-Match": "revision_number=" + "9" * 5_000},
        {"X-Auth-Token": "W1tb" * 5_000},
        {"X-Auth-Token": "\u00e9.\u00e9.\u00e9".encode("latin-1")},
        {"Range": "bytes=" + "9" * 5_000 + "-"},
    ],
)
def test_headers_that_make_no_sense_are_answered(
    http: httpx.Client, admin: Connection, headers: dict[str, Any]
) -> None:
    for path in ("/network/v2.0/networks", "/compute/v2.1/servers", "/image/v2/images"):
        answer = http.get(
            path, headers={"X-Auth-Token": admin.auth_token, NOT_COUNTED.decode(): "1", **headers}
        )
        assert answer.status_code < 500
