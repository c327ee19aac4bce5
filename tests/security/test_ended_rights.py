"""Whoever is shut out is out: by each way in which rights end, every token that rests on them ends at once."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from tests.security.in_process import InProcessCloud

IDENTITY = "/identity/v3"
PASSWORD = "a-secret"
NUMBERS = itertools.count()
Json = dict[str, Any]


class Tenants:
    """A domain with a project, a user whose role a group gives on all that the domain has, one who has a role
    of his own there, and one without any whom they may trust.
    """

    def __init__(self, cloud: InProcessCloud) -> None:
        self.cloud = cloud
        self.domain = self.make("domain", {})
        at_home = {"domain_id": self.domain}
        self.project = self.make("project", at_home)
        self.member, self.trustor, self.trustee = (
            self.make("user", {**at_home, "password": PASSWORD}) for _ in range(3)
        )
        self.group = self.make("group", at_home)
        self.role, self.implied = self.make("role", {}), self.make("role", {})
        self.joined = f"/groups/{self.group}/users/{self.member}"
        self.given = f"/projects/{self.project}/users/{self.trustor}/roles/{self.role}"
        self.inherited = f"/OS-INHERIT/domains/{self.domain}/groups/{self.group}/roles/{self.role}"
        self.implies = f"/roles/{self.role}/implies/{self.implied}"
        for path in (self.joined, self.given, f"{self.inherited}/inherited_to_projects"):
            self.change("PUT", path)
        self.change("PUT", self.implies)

    def make(self, kind: str, body: Json) -> str:
        named = {kind: {"name": f"{kind}-{next(NUMBERS)}", **body}}
        return str(self.change("POST", f"/{kind}s", named).json()[kind]["id"])

    def change(self, method: str, path: str, body: Json | None = None) -> httpx.Response:
        answer = self.cloud.ask(method, f"{IDENTITY}{path}", body)
        assert answer.is_success, answer.text
        return answer

    def log_in(self, user: str, scope: Json | None = None) -> httpx.Response:
        return self.auth(
            {"methods": ["password"], "password": {"user": {"id": user, "password": PASSWORD}}},
            scope or {"project": {"id": self.project}},
        )

    def auth(self, identity: Json, scope: Json | None) -> httpx.Response:
        body = {"auth": {"identity": identity, **({"scope": scope} if scope else {})}}
        return self.cloud.client.request("POST", f"{IDENTITY}/auth/tokens", json=body)

    def rescope(self, token: str) -> httpx.Response:
        identity = {"methods": ["token"], "token": {"id": token}}
        return self.auth(identity, {"project": {"id": self.project}})

    def credential_of(self, user: str) -> Callable[[], httpx.Response]:
        new = {"application_credential": {"name": f"c{next(NUMBERS)}"}}
        path = f"{IDENTITY}/users/{user}/application_credentials"
        made = self.cloud.ask("POST", path, new, token=token_of(self.log_in(user))).json()
        by = {name: made["application_credential"][name] for name in ("id", "secret")}
        identity = {"methods": ["application_credential"], "application_credential": by}
        return lambda: self.auth(identity, None)

    def trust_of(self, user: str, *, impersonation: bool) -> Callable[[], httpx.Response]:
        trust = {
            "trustor_user_id": user,
            "trustee_user_id": self.trustee,
            "project_id": self.project,
            "impersonation": impersonation,
            "roles": [{"id": self.role}],
        }
        path, token = f"{IDENTITY}/OS-TRUST/trusts", token_of(self.log_in(user))
        made = self.cloud.ask("POST", path, {"trust": trust}, token=token).json()["trust"]
        return lambda: self.log_in(self.trustee, {"OS-TRUST:trust": {"id": made["id"]}})

    def is_valid(self, token: str) -> bool:
        return self.cloud.ask("GET", f"{IDENTITY}/auth/projects", token=token).status_code == 200


def token_of(answer: httpx.Response) -> str:
    assert answer.status_code == 201, answer.text
    return str(answer.headers["X-Subject-Token"])


@pytest.fixture
def tenants(on_each: InProcessCloud) -> Tenants:
    return Tenants(on_each)


def patch(kind: str, **changes: Any) -> Callable[[Tenants, str], None]:
    def end(tenants: Tenants, user: str) -> None:
        key = user if kind == "user" else getattr(tenants, kind)
        tenants.change("PATCH", f"/{kind}s/{key}", {kind: changes})

    return end


def delete(path: Callable[[Tenants, str], str]) -> Callable[[Tenants, str], None]:
    def end(tenants: Tenants, user: str) -> None:
        tenants.change("DELETE", path(tenants, user))

    return end


ANYBODYS = {
    "the user is disabled": patch("user", enabled=False),
    "the user is deleted": delete(lambda _, user: f"/users/{user}"),
    "the project is disabled": patch("project", enabled=False),
    "the project is deleted": delete(lambda tenants, _: f"/projects/{tenants.project}"),
    "the domain is disabled": patch("domain", enabled=False),
    "the role is deleted": delete(lambda tenants, _: f"/roles/{tenants.role}"),
}
THE_MEMBERS = {
    "the group is deleted": delete(lambda tenants, _: f"/groups/{tenants.group}"),
    "the user leaves the group": delete(lambda tenants, _: tenants.joined),
    "nothing is inherited any more": delete(
        lambda tenants, _: f"{tenants.inherited}/inherited_to_projects"
    ),
}
THE_TRUSTORS = {"the role is taken away": delete(lambda tenants, _: tenants.given)}
WAYS = [
    *((whose, way) for whose in ("member", "trustor") for way in ANYBODYS.items()),
    *(("member", way) for way in THE_MEMBERS.items()),
    *(("trustor", way) for way in THE_TRUSTORS.items()),
]


@pytest.mark.parametrize(
    ("whose", "end"),
    [pytest.param(whose, end, id=f"{whose}: {words}") for whose, (words, end) in WAYS],
)
def test_whoever_loses_his_rights_loses_all_tokens_that_rest_on_them(
    tenants: Tenants, whose: str, end: Callable[[Tenants, str], None]
) -> None:
    user = getattr(tenants, whose)
    ways = {
        "password": lambda: tenants.log_in(user),
        "credential": tenants.credential_of(user),
        "trust": tenants.trust_of(user, impersonation=False),
        "impersonating trust": tenants.trust_of(user, impersonation=True),
    }
    tokens = {name: token_of(log_in()) for name, log_in in ways.items()}
    tokens["token"] = token_of(tenants.rescope(tokens["password"]))
    assert all(map(tenants.is_valid, tokens.values()))
    end(tenants, user)
    assert [name for name, token in tokens.items() if tenants.is_valid(token)] == []
    assert [name for name, token in tokens.items() if tenants.rescope(token).is_success] == []
    assert [name for name, log_in in ways.items() if log_in().is_success] == []


@pytest.mark.parametrize("impersonation", [True, False])
@pytest.mark.parametrize("end", ["disabled", "deleted", "password"])
def test_a_trustee_who_is_shut_out_acts_for_nobody(
    tenants: Tenants, impersonation: bool, end: str
) -> None:
    """Also where his token is in the trustor's name."""
    log_in = tenants.trust_of(tenants.trustor, impersonation=impersonation)
    token = token_of(log_in())
    assert tenants.is_valid(token)
    path = f"/users/{tenants.trustee}"
    if end == "deleted":
        tenants.change("DELETE", path)
    else:
        values = {"enabled": False} if end == "disabled" else {"password": "another"}
        tenants.change("PATCH", path, {"user": values})
    assert not tenants.is_valid(token)
    assert not log_in().is_success


@pytest.mark.parametrize("whose", ["member", "trustor"])
@pytest.mark.parametrize("end", ["deleted", "renamed", "implied no more"])
def test_a_role_that_another_implied_is_in_no_token_once_it_is_gone(
    tenants: Tenants, whose: str, end: str
) -> None:
    token = token_of(tenants.log_in(getattr(tenants, whose)))
    assert tenants.is_valid(token)
    path = f"/roles/{tenants.implied}"
    if end == "renamed":
        tenants.change("PATCH", path, {"role": {"name": f"role-{next(NUMBERS)}"}})
    else:
        tenants.change("DELETE", path if end == "deleted" else tenants.implies)
    assert not tenants.is_valid(token)


def test_a_new_password_ends_the_tokens_of_the_old_one(tenants: Tenants) -> None:
    token = token_of(tenants.log_in(tenants.member))
    by_credential = token_of(tenants.credential_of(tenants.member)())
    values = {"user": {"password": "another"}}
    tenants.change("PATCH", f"/users/{tenants.member}", values)
    assert not tenants.is_valid(token)
    assert not tenants.is_valid(by_credential)
    assert not tenants.rescope(token).is_success
    assert not tenants.log_in(tenants.member).is_success


@pytest.mark.parametrize("end", ["taken away", "disabled domain", "disabled user"])
def test_a_token_for_a_domain_or_the_system_ends_with_the_role_there(
    tenants: Tenants, end: str
) -> None:
    user, domain = tenants.trustor, tenants.domain
    of_domain = f"/domains/{domain}/users/{user}/roles/{tenants.role}"
    of_system = f"/system/users/{user}/roles/{tenants.role}"
    tokens = []
    for path, scope in (
        (of_domain, {"domain": {"id": domain}}),
        (of_system, {"system": {"all": True}}),
    ):
        tenants.change("PUT", path)
        tokens.append(token_of(tenants.log_in(user, scope)))
    assert all(map(tenants.is_valid, tokens))
    if end == "taken away":
        tenants.change("DELETE", of_domain)
        tenants.change("DELETE", of_system)
    elif end == "disabled domain":
        tenants.change("PATCH", f"/domains/{domain}", {"domain": {"enabled": False}})
    else:
        tenants.change("PATCH", f"/users/{user}", {"user": {"enabled": False}})
    assert not any(map(tenants.is_valid, tokens))
