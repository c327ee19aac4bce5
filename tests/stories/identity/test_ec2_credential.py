from __future__ import annotations

import base64
import hashlib
import hmac
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from openstack.connection import Connection

from kumoi.base.ids import new_hex_id

Pair = dict[str, Any]


@pytest.fixture
def pair(demo: Connection) -> Pair:
    return make(demo)


def path(user: Connection) -> str:
    return f"/users/{user.current_user_id}/credentials/OS-EC2"


def make(user: Connection) -> Pair:
    answer = user.identity.post(path(user), json={"tenant_id": user.current_project_id})
    assert answer.status_code == 201
    return dict(answer.json()["credential"])


def signed(pair: Pair, *, at: datetime | None = None, secret: str = "") -> dict[str, Any]:
    """A request as version 2 has it, and its signature over a host without its port."""
    moment = at or datetime.now(UTC)
    params = {
        "AWSAccessKeyId": pair["access"],
        "Action": "DescribeInstances",
        "SignatureMethod": "HmacSHA256",
        "SignatureVersion": "2",
        "Timestamp": moment.strftime("%Y-%m-%dT%H:%M:%SZ"),
    }
    query = "&".join(f"{key}={quote(params[key], safe='-_.~')}" for key in sorted(params))
    text = f"GET\nec2.example\n/services/Cloud\n{query}"
    digest = hmac.new((secret or pair["secret"]).encode(), text.encode(), hashlib.sha256).digest()
    return {
        "access": pair["access"],
        "signature": base64.b64encode(digest).decode(),
        "host": "ec2.example:8773",
        "verb": "GET",
        "path": "/services/Cloud",
        "params": params,
    }


def test_a_pair_of_keys_is_made_shown_and_deleted_by_its_user(
    admin: Connection, demo: Connection, pair: Pair
) -> None:
    assert pair["tenant_id"] == demo.current_project_id
    one = f"{path(demo)}/{pair['access']}"
    assert demo.identity.get(one).json()["credential"] == pair
    listed = demo.identity.get(path(demo)).json()["credentials"]
    assert pair in listed
    assert demo.identity.get(path(admin)).status_code == 403
    wrong = f"{path(admin)}/{pair['access']}"
    assert demo.identity.get(wrong).status_code == 200  # Whose it is decides, as at Keystone.
    assert demo.identity.delete(one).status_code == 204
    assert admin.identity.get(one).status_code == 404


@pytest.mark.parametrize("name", ["credentials", "credential", "ec2Credentials"])
def test_who_has_signed_gets_a_token_for_the_project(
    admin: Connection, demo: Connection, http: httpx.Client, pair: Pair, name: str
) -> None:
    answer = admin.identity.post("/ec2tokens", json={name: signed(pair)})
    assert answer.status_code == 200
    token = answer.json()["token"]
    assert token["user"]["id"] == demo.current_user_id
    assert token["project"]["id"] == demo.current_project_id
    assert token["methods"] == ["ec2credential"]
    headers = {"X-Auth-Token": answer.headers["X-Subject-Token"]}
    assert http.get("/identity/v3/auth/projects", headers=headers).status_code == 200


def test_a_wrong_signature_an_old_one_and_none_are_refused(
    admin: Connection, demo: Connection, pair: Pair
) -> None:
    def status(given: dict[str, Any]) -> int:
        return int(admin.identity.post("/ec2tokens", json={"credentials": given}).status_code)

    assert status(signed(pair, secret="other")) == 401
    assert status(signed(pair, at=datetime.now(UTC) - timedelta(minutes=16))) == 401
    assert status({**signed(pair), "access": "unknown"}) == 404
    assert admin.identity.post("/ec2tokens", json={}).status_code == 401
    assert demo.identity.post("/ec2tokens", json={"credentials": signed(pair)}).status_code == 403


def test_keys_made_with_an_application_credential_are_bound_to_it(
    admin: Connection, demo: Connection, http: httpx.Client
) -> None:
    made = demo.identity.create_application_credential(
        demo.current_user_id, f"ac-{new_hex_id()[:8]}", unrestricted=True
    )
    other = admin.identity.create_project(name=f"p-{new_hex_id()[:8]}", domain_id="default")
    credential = {"id": made.id, "secret": made.secret}
    methods = {"methods": ["application_credential"], "application_credential": credential}
    login = http.post("/identity/v3/auth/tokens", json={"auth": {"identity": methods}})
    token = {"X-Auth-Token": login.headers["X-Subject-Token"]}
    url = f"/identity/v3{path(demo)}"
    wanted = {"tenant_id": demo.current_project_id}
    pair = http.post(url, json=wanted, headers=token).json()["credential"]
    assert http.post(url, json={"tenant_id": other.id}, headers=token).status_code == 403
    shown = admin.identity.post("/ec2tokens", json={"credentials": signed(pair)}).json()["token"]
    assert shown["application_credential"]["id"] == made.id
    demo.identity.delete_application_credential(demo.current_user_id, made)
    gone = admin.identity.post("/ec2tokens", json={"credentials": signed(pair)})
    assert gone.status_code == 404
