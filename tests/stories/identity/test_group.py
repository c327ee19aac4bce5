from __future__ import annotations

from typing import TYPE_CHECKING

import httpx
import pytest
from openstack import exceptions
from openstack.connection import Connection

from kumoi.base.ids import new_hex_id

if TYPE_CHECKING:
    from openstack.identity.v3.group import Group

    from tests.running_cloud import RunningCloud


@pytest.fixture
def group(admin: Connection) -> Group:
    return admin.identity.create_group(name=f"group-{new_hex_id()[:8]}", domain_id="default")


def test_a_group_is_shown_and_changed(admin: Connection, group: Group) -> None:
    assert admin.identity.get_group(group.id).name == group.name
    assert [item.id for item in admin.identity.groups(name=group.name)] == [group.id]
    renamed = f"{group.name}-renamed"
    admin.identity.update_group(group.id, name=renamed, description="of a story")
    shown = admin.identity.get_group(group.id)
    assert (shown.name, shown.description) == (renamed, "of a story")


def test_a_name_is_taken_once_in_a_domain(admin: Connection, group: Group) -> None:
    second = admin.identity.create_group(name=f"{group.name}-2", domain_id="default")
    with pytest.raises(exceptions.ConflictException):
        admin.identity.create_group(name=group.name, domain_id="default")
    with pytest.raises(exceptions.ConflictException):
        admin.identity.update_group(second.id, name=group.name)
    domain = admin.identity.create_domain(name=f"domain-{new_hex_id()[:8]}")
    with pytest.raises(exceptions.ForbiddenException):
        admin.identity.update_group(group.id, domain_id=domain.id)


def test_members_come_and_go(admin: Connection, demo: Connection, group: Group) -> None:
    me = demo.current_user_id
    for _ in range(2):
        admin.identity.add_user_to_group(me, group)
    assert [user.id for user in admin.identity.group_users(group)] == [me]
    assert admin.identity.get(f"/groups/{group.id}/users/{me}").status_code == 204
    assert admin.identity.get(f"/groups/{group.id}/users/nobody").status_code == 404
    admin.identity.remove_user_from_group(me, group)
    assert admin.identity.delete(f"/groups/{group.id}/users/{me}").status_code == 404
    assert admin.identity.put(f"/groups/{group.id}/users/nobody").status_code == 404
    assert admin.identity.put(f"/groups/nothing/users/{me}").status_code == 404
    assert list(admin.identity.group_users(group)) == []


def test_a_deleted_group_takes_its_roles_and_the_tokens_that_carry_them(
    cloud: RunningCloud, admin: Connection, demo: Connection, group: Group, http: httpx.Client
) -> None:
    project = admin.identity.create_project(name=f"p-{new_hex_id()[:8]}", domain_id="default")
    role = admin.identity.find_role("reader")
    admin.identity.assign_project_role_to_group(project, group, role)
    assert admin.identity.validate_group_has_project_role(project, group, role)
    me = demo.identity.get_user(demo.current_user_id)
    admin.identity.add_user_to_group(me, group)
    effective = admin.identity.role_assignments(scope_project_id=project.id, effective=True)
    assert [item.user["id"] for item in effective] == [me.id]
    with cloud.connect(me.name, me.name, project.name) as joined:
        token = joined.auth_token
    admin.identity.delete_group(group)
    answer = http.get("/identity/v3/auth/projects", headers={"X-Auth-Token": token})
    assert answer.status_code == 401
    assert list(admin.identity.role_assignments(scope_project_id=project.id)) == []
    with pytest.raises(exceptions.NotFoundException):
        admin.identity.get_group(group.id)


def test_groups_are_managed_by_administrators(demo: Connection, group: Group) -> None:
    assert demo.identity.get("/groups").status_code == 403
    assert demo.identity.get(f"/groups/{group.id}/users/nobody").status_code == 403
    assert demo.identity.put(f"/groups/{group.id}/users/{demo.current_user_id}").status_code == 403
