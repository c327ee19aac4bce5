"""Access rules hold the tokens of an application credential to some requests."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from openstack.connection import Connection

from kumoi.base.ids import new_hex_id

pytestmark = pytest.mark.apis("compute", "image")

FLAVORS = {"service": "compute", "method": "GET", "path": "/v2.1/flavors/**"}
IMAGES = {"service": "image", "method": "GET", "path": "/v2/images"}


def make(demo: Connection, *rules: dict[str, str], status: int = 201) -> dict[str, Any]:
    body = {"name": f"ac-{new_hex_id()[:8]}", "access_rules": list(rules)}
    path = f"/users/{demo.current_user_id}/application_credentials"
    answer = demo.identity.post(path, json={"application_credential": body})
    assert answer.status_code == status, answer.text
    return dict(answer.json().get("application_credential", {}))


def log_in(http: httpx.Client, made: dict[str, Any]) -> httpx.Response:
    credential = {"id": made["id"], "secret": made["secret"]}
    methods = {"methods": ["application_credential"], "application_credential": credential}
    return http.post("/identity/v3/auth/tokens", json={"auth": {"identity": methods}})


def test_a_token_is_for_the_requests_that_fit_a_rule(demo: Connection, http: httpx.Client) -> None:
    answer = log_in(http, make(demo, FLAVORS, IMAGES))
    shown = answer.json()["token"]["application_credential"]["access_rules"]
    assert [{key: rule[key] for key in FLAVORS} for rule in shown] in (
        [FLAVORS, IMAGES],
        [IMAGES, FLAVORS],
    )
    token = {"X-Auth-Token": answer.headers["X-Subject-Token"]}
    assert http.get("/compute/v2.1/flavors/detail", headers=token).status_code == 200
    assert http.get("/image/v2/images", headers=token).status_code == 200
    for method, path in (
        ("GET", "/compute/v2.1/servers"),
        ("GET", "/image/v2/images/x"),
        ("POST", "/image/v2/images"),
        ("GET", "/network/v2.0/networks"),
        ("GET", "/identity/v3/auth/projects"),
    ):
        assert http.request(method, path, headers=token).status_code == 401


def test_only_a_service_that_knows_rules_is_told_that_such_a_token_is_valid(
    admin: Connection, demo: Connection, http: httpx.Client
) -> None:
    answer = log_in(http, make(demo, IMAGES))
    asked = {"X-Subject-Token": answer.headers["X-Subject-Token"]}
    assert admin.identity.get("/auth/tokens", headers=asked).status_code == 404
    knows = {**asked, "OpenStack-Identity-Access-Rules": "1.0"}
    assert admin.identity.get("/auth/tokens", headers=knows).status_code == 200


def test_rules_are_the_users_and_stay_until_no_credential_has_them(
    demo: Connection, other: Connection
) -> None:
    path = f"/users/{demo.current_user_id}/access_rules"
    first, second = make(demo, FLAVORS), make(demo, FLAVORS)
    (rule,) = first["access_rules"]
    assert second["access_rules"] == [rule]
    shown = demo.identity.get(f"{path}/{rule['id']}").json()["access_rule"]
    assert {**shown, "links": None} == {**rule, "links": None}
    assert demo.identity.get(path).json()["access_rules"] == [shown]
    assert demo.identity.get(f"{path}?service=image").json()["access_rules"] == []
    assert other.identity.get(f"{path}/{rule['id']}").status_code == 403
    assert demo.identity.delete(f"{path}/{rule['id']}").status_code == 403
    for made in (first, second):
        demo.identity.delete_application_credential(demo.current_user_id, made["id"])
    assert make(demo, {"id": rule["id"]})["access_rules"] == [rule]
    for made in demo.identity.application_credentials(demo.current_user_id):
        demo.identity.delete_application_credential(demo.current_user_id, made)
    assert demo.identity.delete(f"{path}/{rule['id']}").status_code == 204
    assert demo.identity.get(f"{path}/{rule['id']}").status_code == 404


@pytest.mark.parametrize(
    ("rule", "status"),
    [
        ({"service": "compute", "method": "GET"}, 400),
        ({"service": "compute", "method": "get", "path": "/"}, 400),
        ({"service": "compute", "method": "GET", "path": "v2.1"}, 400),
        ({"id": "nothing"}, 404),
    ],
)
def test_a_rule_that_says_nothing_is_refused(
    demo: Connection, rule: dict[str, str], status: int
) -> None:
    make(demo, rule, status=status)
