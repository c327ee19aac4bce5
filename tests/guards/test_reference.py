"""The reference is what the code says, routes and policies fit, and every code is documented."""

from __future__ import annotations

import pytest

from kumoi.engine.http.routing import KNOWN, OPEN
from kumoi.engine.http.service import Service
from tests.guards import reference

EACH_SERVICE = pytest.mark.parametrize(
    "service", reference.services(), ids=lambda service: f"{service.type} {service.prefix}"
)


@pytest.mark.parametrize("name", sorted(reference.pages()))
def test_the_reference_is_current(name: str) -> None:
    text = (reference.REFERENCE / name).read_text()
    assert text == reference.pages()[name], "write it: python -m tests.guards.reference"


@EACH_SERVICE
def test_every_route_has_a_policy_that_there_is(service: Service) -> None:
    named = {route.policy for route in service.routes} - {OPEN, KNOWN}
    assert sorted(named - set(service.policies)) == []


@EACH_SERVICE
def test_only_versions_and_logins_are_open(service: Service) -> None:
    """Whoever opens another route says here why."""
    opened = {
        f"{route.method} {route.path}" for route in service.routes if route.policy == OPEN
    } - {f"GET {path}" for path in ("/", "/versions", "/v1", "/v2.0", "/v2.1", "/v3")}
    # A join token is the only thing by which a host that is none yet is known.
    joining = {"GET /v1/authority", "POST /v1/join"} if service.type == "host" else set()
    by_secret = "POST /v1/webhooks/{id}/deliver"  # Which its sender proves to know.
    by_link = "GET /{id}" if service.prefix == "e" else ""  # Whoever has it may follow it.
    logins = {"POST /v3/auth/tokens", "POST /v3/users/{id}/password"}
    assert opened <= logins | joining | {by_secret, by_link}


def test_every_error_code_is_explained() -> None:
    text = reference.errors()
    for code in reference.codes_in_source():
        (row,) = [line for line in text.splitlines() if line.startswith(f"| `{code}` ")]
        assert len(row.split(" | ")[-1]) > len("x |"), code
