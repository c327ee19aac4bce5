from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httpx
import pytest
from openstack import exceptions
from openstack.connection import Connection

from kumoi.cloud.domain.identity.login import HERE_FRACTION
from tests.running_cloud import ADMIN_PASSWORD, DEMO_PASSWORD

pytestmark = pytest.mark.apis("load-balancer", "key-manager", "placement")

if TYPE_CHECKING:
    from tests.running_cloud import RunningCloud

TOKENS = "/identity/v3/auth/tokens"
DEMO_PROJECT = {"project": {"name": "demo", "domain": {"id": "default"}}}


def login(password: str = DEMO_PASSWORD, user: str = "demo", **scope: Any) -> dict[str, Any]:
    named = {"name": user, "domain": {"id": "default"}, "password": password}
    identity = {"methods": ["password"], "password": {"user": named}}
    return {"auth": {"identity": identity, **scope}}


def rescope(token: str, **scope: Any) -> dict[str, Any]:
    return {"auth": {"identity": {"methods": ["token"], "token": {"id": token}}, **scope}}


def token_of(http: httpx.Client, body: dict[str, Any]) -> str:
    answer = http.post(TOKENS, json=body)
    assert answer.status_code == 201, answer.text
    return str(answer.headers["X-Subject-Token"])


def check(http: httpx.Client, token: str, subject: str | None = None) -> httpx.Response:
    headers = {"X-Auth-Token": token, "X-Subject-Token": subject or token}
    return http.get(TOKENS, headers=headers)


def test_a_token_says_who_for_what_and_where_the_services_are(http: httpx.Client) -> None:
    token = http.post(TOKENS, json=login(scope=DEMO_PROJECT)).json()["token"]
    assert token["user"]["name"] == "demo"
    assert token["project"]["name"] == "demo"
    assert [role["name"] for role in token["roles"]] == ["member", "reader"]
    assert {entry["type"] for entry in token["catalog"]} == {
        "identity",
        "image",
        "network",
        "compute",
        "load-balancer",
        "key-manager",
        "placement",
    }
    assert token["expires_at"].endswith(".000000Z")


def test_a_checked_token_says_what_it_said_when_it_was_made(http: httpx.Client) -> None:
    made = http.post(TOKENS, json=login(scope=DEMO_PROJECT))
    token = made.headers["X-Subject-Token"]
    assert check(http, token).json() == made.json()
    headers = {"X-Auth-Token": token, "X-Subject-Token": token}
    assert "catalog" not in http.get(f"{TOKENS}?nocatalog", headers=headers).json()["token"]
    assert http.head(TOKENS, headers=headers).status_code == 200


def test_without_a_scope_the_default_project_is_taken_and_unscoped_means_none(
    http: httpx.Client,
) -> None:
    assert http.post(TOKENS, json=login()).json()["token"]["project"]["name"] == "demo"
    bare = http.post(TOKENS, json=login(scope={"unscoped": {}})).json()["token"]
    assert not {"project", "roles", "catalog"} & bare.keys()
    assert "project" not in http.post(TOKENS, json=login(scope="unscoped")).json()["token"]


def test_an_administrator_of_a_domain_gets_a_token_for_it(http: httpx.Client) -> None:
    body = login(ADMIN_PASSWORD, "admin", scope={"domain": {"name": "Default"}})
    assert http.post(TOKENS, json=body).json()["token"]["domain"]["id"] == "default"
    refused = http.post(TOKENS, json=login(scope={"domain": {"id": "default"}}))
    assert refused.status_code == 401


def test_an_administrator_of_the_system_gets_a_token_for_it(http: httpx.Client) -> None:
    body = login(ADMIN_PASSWORD, "admin", scope={"system": {"all": True}})
    answer = http.post(TOKENS, json=body)
    token = answer.json()["token"]
    assert token["system"] == {"all": True}
    assert "project" not in token
    assert "admin" in [role["name"] for role in token["roles"]]
    headers = {"X-Auth-Token": answer.headers["X-Subject-Token"]}
    assert http.get("/identity/v3/users", headers=headers).status_code == 200
    listed = http.get("/identity/v3/auth/system", headers=headers).json()["system"]
    assert listed == [{"all": True}]


@pytest.mark.parametrize(
    "body",
    [
        login("wrong"),
        login(user="nobody"),
        login(scope={"project": {"name": "admin", "domain": {"id": "default"}}}),
        login(scope={"project": {"id": "nowhere"}}),
        login(scope={"system": {"all": True}}),
        {"auth": {"identity": {"methods": ["totp"]}}},
    ],
)
def test_whatever_is_wrong_with_a_login_the_answer_is_the_same(
    http: httpx.Client, body: dict[str, Any]
) -> None:
    answer = http.post(TOKENS, json=body)
    assert answer.status_code == 401
    assert answer.json()["error"]["message"] == (
        "The request you have made requires authentication."
    )


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "auth"),
        ({"auth": {}}, "identity"),
        ({"auth": {"identity": {"methods": "password"}}}, "methods"),
        (login(scope={"project": {"name": "demo"}}), "project"),
        (login(scope={"planet": {}}), "planet"),
        (login(scope={"system": {"all": False}}), "all"),
        (login(scope="galaxy"), "galaxy"),
    ],
)
def test_a_malformed_login_names_the_field(
    http: httpx.Client, body: dict[str, Any], field: str
) -> None:
    answer = http.post(TOKENS, json=body)
    assert answer.status_code == 400
    assert field in answer.json()["error"]["message"]


def test_an_ended_token_counts_no_more_but_its_children_do(http: httpx.Client) -> None:
    parent = token_of(http, login())
    child = token_of(http, rescope(parent, scope=DEMO_PROJECT))
    headers = {"X-Auth-Token": parent, "X-Subject-Token": parent}
    assert http.delete(TOKENS, headers=headers).status_code == 204
    assert check(http, parent).status_code == 401
    assert check(http, child, parent).status_code == 404
    assert check(http, child).status_code == 200
    assert http.post(TOKENS, json=rescope(parent)).status_code == 404


def test_a_token_made_from_another_lives_no_longer_and_keeps_the_first_ones_audit_id(
    http: httpx.Client,
) -> None:
    first = http.post(TOKENS, json=login())
    body = rescope(first.headers["X-Subject-Token"], scope=DEMO_PROJECT)
    second = http.post(TOKENS, json=body).json()["token"]
    assert second["expires_at"] == first.json()["token"]["expires_at"]
    assert second["audit_ids"][1] == first.json()["token"]["audit_ids"][0]
    assert second["methods"] == ["token", "password"]


def test_anothers_token_is_checked_by_administrators_only(
    http: httpx.Client, demo: Connection
) -> None:
    own = token_of(http, login())
    admin = token_of(http, login(ADMIN_PASSWORD, "admin"))
    assert check(http, admin, own).status_code == 200
    assert check(http, demo.auth_token, own).status_code == 403


@pytest.mark.parametrize("token", ["", "nonsense", "a.b.c"])
def test_what_is_no_token_opens_nothing(http: httpx.Client, token: str) -> None:
    answer = http.get("/identity/v3/users", headers={"X-Auth-Token": token})
    assert answer.status_code == 401
    assert "WWW-Authenticate" in answer.headers


def test_a_token_with_another_payload_under_the_same_signature_opens_nothing(
    http: httpx.Client,
) -> None:
    mine = token_of(http, login()).split(".")
    admins = token_of(http, login(ADMIN_PASSWORD, "admin")).split(".")
    assert check(http, ".".join([mine[0], admins[1], mine[2]])).status_code == 401


def test_versions_are_found_without_a_token(http: httpx.Client) -> None:
    several = http.get("/identity/")
    assert several.status_code == 300
    assert several.json()["versions"]["values"][0]["id"] == "v3.14"
    assert http.get("/identity/v3").json()["version"]["status"] == "stable"


def test_somebody_who_guesses_too_often_waits_and_nobody_else(
    cloud: RunningCloud, http: httpx.Client, demo: Connection
) -> None:
    """An attacker who fails at an address, by git as well, holds up neither others there, nor the same
    account elsewhere, nor whoever is in already.
    """
    demo.authorize()

    def status(address: str, **changes: str) -> int:
        """Of a login that the pipeline forwards: all of git's callers come from its address."""
        sent = {"Forwarded": f"for={address};by=kumoi"}
        return http.post(TOKENS, json=login(**changes), headers=sent).status_code

    most = cloud.config.login_attempts_per_minute // HERE_FRACTION
    guesses = [status("192.0.2.9", password="guessed") for _ in range(most + 1)]
    assert guesses == [401] * most + [429]
    assert status("192.0.2.9") == 429
    assert status("192.0.2.10") == 201
    assert status("192.0.2.9", user="admin", password=ADMIN_PASSWORD) == 201
    assert http.post(TOKENS, json=login()).status_code == 201
    assert demo.identity.get_user(demo.current_user_id).id == demo.current_user_id


def test_only_this_machine_names_others_as_whoever_logs_in(
    cloud: RunningCloud, http: httpx.Client
) -> None:
    """Else each guess could come from another address."""
    most = cloud.config.login_attempts_per_minute // HERE_FRACTION
    from_elsewhere = httpx.HTTPTransport(local_address="127.0.0.9")
    with httpx.Client(base_url=http.base_url, transport=from_elsewhere) as other:
        said = [
            other.post(
                TOKENS,
                json=login(user="nobody-of-this-test", password="guessed"),
                headers={"Forwarded": f"for=192.0.2.{number};by=me"},
            ).status_code
            for number in range(most + 1)
        ]
    assert said == [401] * most + [429]


def test_the_sdk_shows_the_catalogue(demo: Connection) -> None:
    assert demo.session.get_endpoint(service_type="compute", interface="internal").endswith(
        "/compute/v2.1"
    )
    with pytest.raises(exceptions.ForbiddenException):
        list(demo.identity.services())
