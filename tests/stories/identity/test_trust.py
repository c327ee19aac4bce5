from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from openstack.connection import Connection

from kumoi.base.ids import new_hex_id

pytestmark = pytest.mark.apis("image")

TRUSTS = "/OS-TRUST/trusts"
Trust = dict[str, Any]


@pytest.fixture
def trustee(admin: Connection) -> Any:
    return admin.identity.create_user(
        name=f"trustee-{new_hex_id()[:8]}", domain_id="default", password="secret"
    )


def ask(demo: Connection, trustee: Any, **given: Any) -> httpx.Response:
    body = {
        "trustor_user_id": demo.current_user_id,
        "trustee_user_id": trustee.id,
        "project_id": demo.current_project_id,
        "impersonation": True,
        "roles": [{"name": "reader"}],
        **given,
    }
    answer: httpx.Response = demo.identity.post(TRUSTS, json={"trust": body})
    return answer


def make(demo: Connection, trustee: Any, **given: Any) -> Trust:
    answer = ask(demo, trustee, **given)
    assert answer.status_code == 201, answer.text
    return dict(answer.json()["trust"])


def log_in(http: httpx.Client, trustee: Any, trust: Trust, **more: Any) -> httpx.Response:
    user = {"id": trustee.id, "password": "secret"}
    identity = {"methods": ["password"], "password": {"user": user}}
    scope = {"OS-TRUST:trust": {"id": trust["id"]}, **more}
    body = {"auth": {"identity": identity, "scope": scope}}
    return http.post("/identity/v3/auth/tokens", json=body)


def is_valid(http: httpx.Client, answer: httpx.Response) -> bool:
    token = {"X-Auth-Token": answer.headers["X-Subject-Token"]}
    return http.get("/identity/v3/auth/projects", headers=token).status_code == 200


def test_a_trust_is_shown_to_both_sides_and_to_nobody_else(
    admin: Connection, demo: Connection, trustee: Any, http: httpx.Client
) -> None:
    made = make(demo, trustee)
    assert [role["name"] for role in made["roles"]] == ["reader"]
    assert demo.identity.get(f"{TRUSTS}/{made['id']}").json()["trust"] == made
    by_trustor = f"{TRUSTS}?trustor_user_id={demo.current_user_id}"
    listed = demo.identity.get(by_trustor).json()["trusts"]
    assert made["id"] in {one["id"] for one in listed}
    assert demo.identity.get(f"{TRUSTS}?trustee_user_id={trustee.id}").status_code == 403
    assert demo.identity.get(f"{TRUSTS}/").status_code == 403
    assert made["id"] in {one["id"] for one in admin.identity.get(TRUSTS).json()["trusts"]}
    user = {"id": trustee.id, "password": "secret"}
    identity = {"methods": ["password"], "password": {"user": user}}
    answer = http.post("/identity/v3/auth/tokens", json={"auth": {"identity": identity}})
    token = {"X-Auth-Token": answer.headers["X-Subject-Token"]}
    path = f"/identity/v3{TRUSTS}/{made['id']}"
    assert http.get(path, headers=token).status_code == 200
    assert http.delete(path, headers=token).status_code == 403
    other = make(
        admin, trustee, trustor_user_id=admin.current_user_id, project_id=admin.current_project_id
    )
    assert demo.identity.get(f"{TRUSTS}/{other['id']}").status_code == 403
    assert other["id"] not in {one["id"] for one in listed}


def test_its_roles_have_paths_of_their_own(
    admin: Connection, demo: Connection, trustee: Any
) -> None:
    made = make(demo, trustee)
    path = f"{TRUSTS}/{made['id']}/roles"
    (role,) = demo.identity.get(path).json()["roles"]
    assert role["name"] == "reader"
    assert demo.identity.get(f"{path}/{role['id']}").json()["role"] == role
    assert demo.identity.head(f"{path}/{role['id']}").status_code == 200
    member = admin.identity.find_role("member", ignore_missing=False)
    assert demo.identity.get(f"{path}/{member.id}").status_code == 404


@pytest.mark.parametrize("impersonation", [True, False])
def test_the_trustee_gets_a_token_with_these_roles(
    demo: Connection, trustee: Any, http: httpx.Client, impersonation: bool
) -> None:
    made = make(demo, trustee, impersonation=impersonation)
    answer = log_in(http, trustee, made)
    token = answer.json()["token"]
    assert token["user"]["id"] == (demo.current_user_id if impersonation else trustee.id)
    assert [role["name"] for role in token["roles"]] == ["reader"]
    assert token["project"]["id"] == demo.current_project_id
    assert token["OS-TRUST:trust"] == {
        "id": made["id"],
        "trustor_user": {"id": demo.current_user_id},
        "trustee_user": {"id": trustee.id},
        "impersonation": impersonation,
    }
    headers = {"X-Auth-Token": answer.headers["X-Subject-Token"]}
    assert http.get("/image/v2/images", headers=headers).status_code == 200
    assert http.post("/image/v2/images", headers=headers, json={}).status_code == 403


def test_the_token_of_a_trust_makes_neither_another_nor_a_trust_nor_keys(
    demo: Connection, trustee: Any, http: httpx.Client
) -> None:
    made = make(demo, trustee)
    answer = log_in(http, trustee, made)
    token = answer.headers["X-Subject-Token"]
    headers = {"X-Auth-Token": token}
    identity = {"methods": ["token"], "token": {"id": token}}
    for scope in (None, {"project": {"id": demo.current_project_id}}):
        body = {"auth": {"identity": identity, **({"scope": scope} if scope else {})}}
        assert http.post("/identity/v3/auth/tokens", json=body).status_code == 401
    trust = {**made, "roles": [{"name": "reader"}]}
    names = ("trustor_user_id", "trustee_user_id", "project_id", "impersonation", "roles")
    body = {"trust": {name: trust[name] for name in names}}
    assert http.post(f"/identity/v3{TRUSTS}", json=body, headers=headers).status_code == 403
    ec2 = f"/identity/v3/users/{demo.current_user_id}/credentials/OS-EC2"
    wanted = {"tenant_id": demo.current_project_id}
    assert http.post(ec2, json=wanted, headers=headers).status_code == 403


@pytest.mark.parametrize("end", ["delete", "role", "trustor"])
def test_a_trust_that_ends_takes_its_tokens_with_it(
    admin: Connection, demo: Connection, trustee: Any, http: httpx.Client, end: str
) -> None:
    made = make(demo, trustee, impersonation=False)
    answer = log_in(http, trustee, made)
    assert is_valid(http, answer)
    if end == "delete":
        assert demo.identity.delete(f"{TRUSTS}/{made['id']}").status_code == 204
        assert demo.identity.get(f"{TRUSTS}/{made['id']}").status_code == 404
    elif end == "role":
        member = admin.identity.find_role("member", ignore_missing=False)
        admin.identity.unassign_project_role_from_user(
            demo.current_project_id, demo.current_user_id, member
        )
    else:
        admin.identity.update_user(demo.current_user_id, is_enabled=False)
    assert not is_valid(http, answer)
    assert log_in(http, trustee, made).status_code == 401


def test_a_trust_may_be_for_so_many_logins(
    demo: Connection, trustee: Any, http: httpx.Client
) -> None:
    made = make(demo, trustee, remaining_uses=2)
    assert [log_in(http, trustee, made).status_code for _ in range(3)] == [201, 201, 401]
    assert demo.identity.get(f"{TRUSTS}/{made['id']}").status_code == 404


def test_a_trust_may_end_by_itself(demo: Connection, trustee: Any, http: httpx.Client) -> None:
    at = datetime.now(UTC) + timedelta(minutes=5)
    made = make(demo, trustee, expires_at=at.strftime("%Y-%m-%dT%H:%M:%SZ"))
    token = log_in(http, trustee, made).json()["token"]
    assert token["expires_at"][:19] == made["expires_at"][:19] == f"{at.isoformat()[:19]}"


def test_nobody_else_logs_in_with_it(
    admin: Connection, demo: Connection, trustee: Any, http: httpx.Client
) -> None:
    made = make(demo, trustee)
    other = admin.identity.create_user(
        name=f"other-{new_hex_id()[:8]}", domain_id="default", password="secret"
    )
    assert log_in(http, other, made).status_code == 401
    assert log_in(http, trustee, {"id": "nothing"}).status_code == 401
    project = {"id": demo.current_project_id}
    assert log_in(http, trustee, made, project=project).status_code == 400


@pytest.mark.parametrize(
    ("given", "status"),
    [
        ({"trustor_user_id": "somebody"}, 403),
        ({"roles": []}, 403),
        ({"project_id": None}, 403),
        ({"roles": [{"name": "admin"}]}, 404),
        ({"project_id": "nowhere"}, 404),
        ({"trustee_user_id": "nobody"}, 404),
        ({"expires_at": "bad.123Z"}, 400),
        ({"expires_at": "2020-01-01T00:00:00Z"}, 400),
        ({"remaining_uses": 0}, 400),
        ({"impersonation": "yes"}, 400),
        ({"allow_redelegation": True}, 501),
    ],
)
def test_a_trust_that_cannot_be_is_refused(
    demo: Connection, trustee: Any, given: dict[str, Any], status: int
) -> None:
    assert ask(demo, trustee, **given).status_code == status


def test_trusts_go_with_their_users_and_their_project(
    admin: Connection, demo: Connection, trustee: Any
) -> None:
    by_trustee = f"{TRUSTS}?trustee_user_id={trustee.id}"
    make(demo, trustee)
    admin.identity.delete_user(trustee)
    assert admin.identity.get(by_trustee).json()["trusts"] == []


def test_the_token_of_a_trust_shows_no_credentials_but_those_for_its_project(
    admin: Connection, demo: Connection, trustee: Any, http: httpx.Client
) -> None:
    """By the list or by their ids: with impersonation they are the trustor's own."""
    me, project = demo.current_user_id, demo.current_project_id
    elsewhere = admin.identity.create_project(name=f"p-{new_hex_id()[:8]}", domain_id="default").id
    kept = {
        project_id: demo.identity.create_credential(
            type="other", blob="SECRET", user_id=me, project_id=project_id
        ).id
        for project_id in (project, elsewhere, None)
    }
    answer = log_in(http, trustee, make(demo, trustee, impersonation=True))
    token = {"X-Auth-Token": answer.headers["X-Subject-Token"]}
    listed = http.get("/identity/v3/credentials", headers=token).json()["credentials"]
    assert [one["id"] for one in listed] == [kept[project]]
    for project_id, key in kept.items():
        shown = http.get(f"/identity/v3/credentials/{key}", headers=token)
        assert shown.status_code == (200 if project_id == project else 403)
