from __future__ import annotations

from typing import TYPE_CHECKING

import httpx
import pytest
from openstack import exceptions
from openstack.connection import Connection

from kumoi.base.ids import new_hex_id

if TYPE_CHECKING:
    from tests.running_cloud import RunningCloud


def is_in(http: httpx.Client, token: str) -> bool:
    answer = http.get("/identity/v3/auth/projects", headers={"X-Auth-Token": token})
    return answer.status_code == 200


def test_a_role_taken_away_ends_the_tokens_that_carry_it(
    admin: Connection, demo: Connection, http: httpx.Client
) -> None:
    member = admin.identity.find_role("member")
    token = demo.auth_token
    assert is_in(http, token)
    admin.identity.unassign_project_role_from_user(
        demo.current_project_id, demo.current_user_id, member
    )
    assert not is_in(http, token)


def test_tokens_for_other_projects_go_on(
    cloud: RunningCloud, admin: Connection, demo: Connection, http: httpx.Client
) -> None:
    member, me = admin.identity.find_role("member"), demo.current_user_id
    project = admin.identity.create_project(name=f"p-{new_hex_id()[:8]}", domain_id="default")
    admin.identity.assign_project_role_to_user(project, me, member)
    name = demo.identity.get_user(me).name
    with cloud.connect(name, name, project.name) as second:
        token = second.auth_token
        admin.identity.unassign_project_role_from_user(demo.current_project_id, me, member)
        assert is_in(http, token)


def test_a_group_gives_its_roles_to_members_and_takes_them_back(
    cloud: RunningCloud, admin: Connection, demo: Connection, http: httpx.Client
) -> None:
    group = admin.identity.create_group(name=f"group-{new_hex_id()[:8]}", domain_id="default")
    project = admin.identity.create_project(name=f"p-{new_hex_id()[:8]}", domain_id="default")
    reader = admin.identity.find_role("reader")
    admin.identity.assign_project_role_to_group(project, group, reader)
    me = demo.identity.get_user(demo.current_user_id)
    admin.identity.add_user_to_group(me, group)
    assert admin.identity.check_user_in_group(me, group)
    with cloud.connect(me.name, me.name, project.name) as joined:
        token = joined.auth_token
        assert joined.session.auth.get_access(joined.session).role_names == ["reader"]
    admin.identity.remove_user_from_group(me, group)
    assert not is_in(http, token)
    assert not admin.identity.check_user_in_group(me, group)


def test_a_deleted_group_or_role_ends_tokens_too(
    cloud: RunningCloud, admin: Connection, demo: Connection, http: httpx.Client
) -> None:
    role = admin.identity.create_role(name=f"role-{new_hex_id()[:8]}")
    project = admin.identity.create_project(name=f"p-{new_hex_id()[:8]}", domain_id="default")
    me = demo.identity.get_user(demo.current_user_id)
    admin.identity.assign_project_role_to_user(project, me, role)
    with cloud.connect(me.name, me.name, project.name) as joined:
        token = joined.auth_token
    admin.identity.delete_role(role)
    assert not is_in(http, token)


def test_assignments_are_listed_as_made_and_as_they_take_effect(
    admin: Connection, demo: Connection
) -> None:
    me = demo.current_user_id
    made = list(admin.identity.role_assignments(user_id=me))
    assert [(item.role["id"], item.scope["project"]["id"]) for item in made] == [
        (admin.identity.find_role("member").id, demo.current_project_id)
    ]
    effective = admin.identity.role_assignments(user_id=me, effective=True, include_names=True)
    assert sorted(item.role["name"] for item in effective) == ["member", "reader"]


def test_names_stand_beside_ids_with_their_domains(admin: Connection, demo: Connection) -> None:
    project = demo.current_project_id
    (assignment,) = admin.identity.role_assignments(scope_project_id=project, include_names=True)
    assert assignment.user["domain"] == {"id": "default", "name": "Default"}
    assert assignment.scope["project"]["domain"]["name"] == "Default"
    assert assignment.role["name"] == "member"


def test_a_role_on_a_domain_is_assigned_checked_and_taken(
    admin: Connection, demo: Connection
) -> None:
    reader, me = admin.identity.find_role("reader"), demo.current_user_id
    admin.identity.assign_domain_role_to_user("default", me, reader)
    assert admin.identity.validate_user_has_domain_role("default", me, reader)
    listed = demo.identity.get("/auth/domains").json()["domains"]
    assert [item["id"] for item in listed] == ["default"]
    admin.identity.unassign_domain_role_from_user("default", me, reader)
    assert not admin.identity.validate_user_has_domain_role("default", me, reader)


def test_a_role_on_the_system_is_assigned_listed_and_taken(
    admin: Connection, demo: Connection
) -> None:
    reader, me = admin.identity.find_role("reader"), demo.current_user_id
    admin.identity.assign_system_role_to_user(me, reader, "all")
    assert admin.identity.validate_user_has_system_role(me, reader, "all")
    path = f"/role_assignments?scope.system=all&user.id={me}&include_names"
    (assignment,) = admin.identity.get(path).json()["role_assignments"]
    assert (assignment["scope"], assignment["role"]["name"]) == (
        {"system": {"all": True}},
        "reader",
    )
    admin.identity.unassign_system_role_from_user(me, reader, "all")
    assert not admin.identity.validate_user_has_system_role(me, reader, "all")


@pytest.mark.parametrize("target", ["projects", "domains", "system"])
@pytest.mark.parametrize("actor", ["users", "groups"])
def test_a_role_is_given_found_and_taken_wherever_it_may_be(
    admin: Connection, tenant: Connection, target: str, actor: str
) -> None:
    name = f"actor-{new_hex_id()[:8]}"
    create = {"users": admin.identity.create_user, "groups": admin.identity.create_group}[actor]
    key = create(name=name, domain_id="default").id
    where = {
        "projects": f"/projects/{tenant.current_project_id}",
        "domains": "/domains/default",
        "system": "/system",
    }[target]
    listed = f"{where}/{actor}/{key}/roles"
    path = f"{listed}/{admin.identity.find_role('reader').id}"

    def roles() -> list[str]:
        return [role["name"] for role in admin.identity.get(listed).json()["roles"]]

    assert admin.identity.get(path).status_code == 404
    assert admin.identity.put(path).status_code == 204
    assert admin.identity.get(path).status_code == 204
    assert roles() == ["reader"]
    for method, place in (("GET", listed), ("GET", path), ("PUT", path), ("DELETE", path)):
        assert tenant.identity.request(place, method).status_code == 403
    assert admin.identity.delete(path).status_code == 204
    assert admin.identity.delete(path).status_code == 404
    assert roles() == []


def test_what_is_not_there_cannot_be_assigned(admin: Connection, demo: Connection) -> None:
    member, me = admin.identity.find_role("member"), demo.current_user_id
    for path in (
        f"/projects/nowhere/users/{me}/roles/{member.id}",
        f"/projects/{demo.current_project_id}/users/nobody/roles/{member.id}",
        f"/projects/{demo.current_project_id}/users/{me}/roles/nothing",
    ):
        assert admin.identity.put(path).status_code == 404


def test_the_roles_that_policies_know_stay(admin: Connection) -> None:
    role = admin.identity.find_role("member")
    with pytest.raises(exceptions.ForbiddenException):
        admin.identity.delete_role(role)
    with pytest.raises(exceptions.ForbiddenException):
        admin.identity.update_role(role, name="other")
    implied = admin.identity.get("/role_inferences").json()["role_inferences"]
    assert {item["prior_role"]["name"]: item["implies"][0]["name"] for item in implied} == {
        "admin": "manager",
        "manager": "member",
        "member": "reader",
    }


def test_only_administrators_assign(demo: Connection, admin: Connection) -> None:
    role, me = admin.identity.find_role("admin"), demo.current_user_id
    path = f"/projects/{demo.current_project_id}/users/{me}/roles/{role.id}"
    assert demo.identity.put(path).status_code == 403
    assert demo.identity.get("/role_assignments").status_code == 403
