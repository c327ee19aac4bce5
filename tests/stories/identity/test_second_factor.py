"""Passcodes by time, as a method of login of its own and beside the password."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from cryptography.hazmat.primitives.hashes import SHA1
from cryptography.hazmat.primitives.twofactor.totp import TOTP
from openstack.connection import Connection

from kumoi.base.ids import new_hex_id
from kumoi.cloud.domain.identity.login import HERE_FRACTION

if TYPE_CHECKING:
    from tests.running_cloud import RunningCloud

TOKENS = "/identity/v3/auth/tokens"
PASSWORD = "a password"
SEED = b"twenty bytes of seed"
BOTH = {"multi_factor_auth_rules": [["password", "totp"]]}


@pytest.fixture
def user(admin: Connection) -> dict[str, Any]:
    body = {"name": f"u-{new_hex_id()[:8]}", "domain_id": "default", "password": PASSWORD}
    made: dict[str, Any] = admin.identity.post("/users", json={"user": body}).json()["user"]
    blob = base64.b32encode(SEED).decode()
    admin.identity.create_credential(type="totp", blob=blob, user_id=made["id"])
    return made


def passcode(cloud: RunningCloud, *, periods_ago: int = 0) -> str:
    at = int(cloud.services.clock.now().timestamp()) - 30 * periods_ago
    return TOTP(SEED, 6, SHA1(), 30).generate(at).decode()


def log_in(http: httpx.Client, user: dict[str, Any], **given: str) -> httpx.Response:
    """By each of the methods given, with a secret for it."""
    words = {"password": "password", "totp": "passcode"}
    identity: dict[str, Any] = {"methods": list(given)}
    for method, secret in given.items():
        identity[method] = {"user": {"id": user["id"], words[method]: secret}}
    return http.post(TOKENS, json={"auth": {"identity": identity}})


def set_options(admin: Connection, user: dict[str, Any], options: dict[str, Any]) -> None:
    answer = admin.identity.patch(f"/users/{user['id']}", json={"user": {"options": options}})
    assert answer.status_code == 200
    assert answer.json()["user"]["options"] == options


def test_a_passcode_is_good_for_its_time(
    cloud: RunningCloud, http: httpx.Client, user: dict[str, Any]
) -> None:
    answer = log_in(http, user, totp=passcode(cloud))
    assert answer.status_code == 201
    assert answer.json()["token"]["methods"] == ["totp"]
    assert log_in(http, user, totp=passcode(cloud, periods_ago=9)).status_code == 401


def test_a_passcode_is_of_one_user(
    cloud: RunningCloud, demo: Connection, http: httpx.Client
) -> None:
    assert log_in(http, {"id": demo.current_user_id}, totp=passcode(cloud)).status_code == 401
    assert log_in(http, {"id": "nobody"}, totp=passcode(cloud)).status_code == 401


def test_who_guesses_passcodes_waits_also_with_the_right_one(
    cloud: RunningCloud, http: httpx.Client, user: dict[str, Any]
) -> None:
    """Else all million of them would be tried in the minute that one is good for."""
    most = cloud.config.login_attempts_per_minute // HERE_FRACTION
    guesses = [log_in(http, user, totp="000000").status_code for _ in range(most + 1)]
    assert guesses == [401] * most + [429]
    assert log_in(http, user, totp=passcode(cloud)).status_code == 429


def test_who_needs_both_gets_in_with_neither_alone(
    cloud: RunningCloud, admin: Connection, http: httpx.Client, user: dict[str, Any]
) -> None:
    set_options(admin, user, BOTH)
    assert log_in(http, user, password=PASSWORD).status_code == 401
    assert log_in(http, user, totp=passcode(cloud)).status_code == 401
    assert log_in(http, user, password="wrong", totp=passcode(cloud)).status_code == 401
    answer = log_in(http, user, password=PASSWORD, totp=passcode(cloud))
    assert answer.status_code == 201
    assert sorted(answer.json()["token"]["methods"]) == ["password", "totp"]
    token = {"methods": ["token"], "token": {"id": answer.headers["X-Subject-Token"]}}
    again = http.post(TOKENS, json={"auth": {"identity": token}})
    assert again.status_code == 201


def test_two_methods_are_for_one_user(
    cloud: RunningCloud, admin: Connection, http: httpx.Client, user: dict[str, Any]
) -> None:
    other = {"name": f"u-{new_hex_id()[:8]}", "domain_id": "default", "password": PASSWORD}
    made = admin.identity.post("/users", json={"user": other}).json()["user"]
    identity = {
        "methods": ["password", "totp"],
        "password": {"user": {"id": made["id"], "password": PASSWORD}},
        "totp": {"user": {"id": user["id"], "passcode": passcode(cloud)}},
    }
    assert http.post(TOKENS, json={"auth": {"identity": identity}}).status_code == 401


def test_rules_that_are_off_or_that_nobody_could_meet_bind_nobody(
    admin: Connection, http: httpx.Client, user: dict[str, Any]
) -> None:
    for options in (
        {**BOTH, "multi_factor_auth_enabled": False},
        {"multi_factor_auth_enabled": True, "multi_factor_auth_rules": [["palm"]]},
    ):
        set_options(admin, user, options)
        assert log_in(http, user, password=PASSWORD).status_code == 201


def test_a_seed_that_is_no_seed_lets_nobody_in(
    admin: Connection, http: httpx.Client, user: dict[str, Any]
) -> None:
    for blob in ("", "not base32!", "AB"):
        admin.identity.create_credential(type="totp", blob=blob, user_id=user["id"])
    assert log_in(http, user, totp="000000").status_code == 401
