"""Roles that projects inherit from the domain or from a project above them."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from openstack import exceptions
from openstack.connection import Connection

from kumoi.base.ids import new_hex_id


@pytest.fixture
def tree(admin: Connection) -> dict[str, Any]:
    domain = admin.identity.create_domain(name=f"domain-{new_hex_id()[:8]}")
    above = admin.identity.create_project(name="above", domain_id=domain.id)
    below = admin.identity.create_project(name="below", domain_id=domain.id, parent_id=above.id)
    role = admin.identity.create_role(name=f"role-{new_hex_id()[:8]}")
    user = admin.identity.create_user(
        name=f"user-{new_hex_id()[:8]}", domain_id="default", password="secret"
    )
    return {"domain": domain, "above": above, "below": below, "role": role, "user": user}


def path(tree: dict[str, Any], target: str) -> str:
    kind = "domains" if target == "domain" else "projects"
    ids = tree[target].id, tree["user"].id, tree["role"].id
    return f"/OS-INHERIT/{kind}/{ids[0]}/users/{ids[1]}/roles/{ids[2]}/inherited_to_projects"


def log_in(http: httpx.Client, tree: dict[str, Any], project: str) -> httpx.Response:
    """Of the user, for this project."""
    user = {"id": tree["user"].id, "password": "secret"}
    body = {
        "identity": {"methods": ["password"], "password": {"user": user}},
        "scope": {"project": {"id": tree[project].id}},
    }
    return http.post("/identity/v3/auth/tokens", json={"auth": body})


def roles_on(http: httpx.Client, tree: dict[str, Any], project: str) -> list[str]:
    """Of the user; none where it cannot log in."""
    answer = log_in(http, tree, project)
    if answer.status_code == 401:
        return []
    return [role["name"] for role in answer.json()["token"]["roles"]]


def test_all_projects_of_a_domain_inherit_and_the_domain_itself_does_not(
    admin: Connection, http: httpx.Client, tree: dict[str, Any]
) -> None:
    assert admin.identity.put(path(tree, "domain")).status_code == 204
    assert admin.identity.head(path(tree, "domain")).status_code == 204
    name = tree["role"].name
    assert (roles_on(http, tree, "above"), roles_on(http, tree, "below")) == ([name], [name])
    direct = f"/domains/{tree['domain'].id}/users/{tree['user'].id}/roles"
    assert admin.identity.get(direct).json()["roles"] == []
    listed = admin.identity.get(path(tree, "domain").replace(f"/{tree['role'].id}", ""))
    assert [one["id"] for one in listed.json()["roles"]] == [tree["role"].id]
    own = admin.identity.get(f"/users/{tree['user'].id}/projects").json()["projects"]
    assert sorted(one["name"] for one in own) == ["above", "below"]


def test_a_project_gives_to_those_below_it_only(
    admin: Connection, http: httpx.Client, tree: dict[str, Any]
) -> None:
    admin.identity.put(path(tree, "above"))
    assert roles_on(http, tree, "above") == []
    assert roles_on(http, tree, "below") == [tree["role"].name]


@pytest.mark.parametrize("target", ["domain", "above"])
@pytest.mark.parametrize("actor", ["user", "group"])
def test_whoever_gets_a_role_to_be_inherited_is_shown_it_and_loses_it(
    admin: Connection, tree: dict[str, Any], target: str, actor: str
) -> None:
    group = admin.identity.create_group(name=f"group-{new_hex_id()[:8]}", domain_id="default")
    assignment = path(tree, target)
    if actor == "group":
        assignment = assignment.replace(f"/users/{tree['user'].id}", f"/groups/{group.id}")
    listed = assignment.replace(f"/{tree['role'].id}", "")
    assert admin.identity.put(assignment).status_code == 204
    assert admin.identity.head(assignment).status_code == 204
    assert [role["id"] for role in admin.identity.get(listed).json()["roles"]] == [tree["role"].id]
    assert admin.identity.delete(assignment).status_code == 204
    assert admin.identity.head(assignment).status_code == 404
    assert admin.identity.get(listed).json()["roles"] == []


def test_what_is_no_longer_inherited_ends_its_tokens(
    admin: Connection, http: httpx.Client, tree: dict[str, Any]
) -> None:
    admin.identity.put(path(tree, "domain"))
    made = log_in(http, tree, "below")
    token = {"X-Auth-Token": made.headers["X-Subject-Token"]}
    assert http.get("/identity/v3/auth/projects", headers=token).status_code == 200
    assert admin.identity.delete(path(tree, "domain")).status_code == 204
    assert http.get("/identity/v3/auth/projects", headers=token).status_code == 401
    assert admin.identity.head(path(tree, "domain")).status_code == 404


def test_assignments_show_what_is_inherited_and_what_it_comes_to(
    admin: Connection, tree: dict[str, Any]
) -> None:
    admin.identity.put(path(tree, "domain"))
    by_user = f"/role_assignments?user.id={tree['user'].id}"

    def scopes(more: str) -> list[dict[str, Any]]:
        found = admin.identity.get(by_user + more).json()["role_assignments"]
        return [one["scope"] for one in found]

    inherited = {
        "domain": {"id": tree["domain"].id},
        "OS-INHERIT:inherited_to": "projects",
    }
    assert scopes("") == scopes("&scope.OS-INHERIT:inherited_to=projects") == [inherited]
    effective = {one["project"]["id"] for one in scopes("&effective")}
    assert effective == {tree["above"].id, tree["below"].id}
    project = f"&scope.project.id={tree['above'].id}"
    assert len(scopes(f"&effective{project}")) == 1
    assert len(scopes(f"&effective{project}&include_subtree=true")) == 2


def test_who_and_what_must_exist(admin: Connection, tree: dict[str, Any]) -> None:
    for part in ("domain", "user", "role"):
        wrong = path(tree, "domain").replace(tree[part].id, "nothing")
        assert admin.identity.put(wrong).status_code == 404
    admin.identity.put(path(tree, "domain"))
    admin.identity.delete_role(tree["role"])
    with pytest.raises(exceptions.NotFoundException):
        admin.identity.get_role(tree["role"].id)
