from __future__ import annotations

from typing import TYPE_CHECKING

import httpx
import pytest
from openstack import exceptions
from openstack.connection import Connection

from kumoi.base.ids import new_hex_id

pytestmark = pytest.mark.apis("compute")

if TYPE_CHECKING:
    from openstack.identity.v3.role import Role

    from tests.running_cloud import RunningCloud


@pytest.fixture
def role(admin: Connection) -> Role:
    return admin.identity.create_role(name=f"role-{new_hex_id()[:8]}", description="of a story")


def test_a_role_is_shown_and_found_by_its_name(admin: Connection, role: Role) -> None:
    shown = admin.identity.get_role(role.id)
    assert (shown.name, shown.description, shown.domain_id) == (role.name, "of a story", None)
    assert [item.id for item in admin.identity.roles(name=role.name)] == [role.id]
    assert admin.identity.get(f"/roles/{role.id}/implies").json()["role_inference"]["implies"] == []


def test_a_name_is_taken_once_also_by_a_role_of_a_domain(admin: Connection, role: Role) -> None:
    with pytest.raises(exceptions.ConflictException):
        admin.identity.create_role(name=role.name)
    with pytest.raises(exceptions.ConflictException):
        admin.identity.create_role(name=role.name, domain_id="default")
    with pytest.raises(exceptions.NotFoundException):
        admin.identity.get_role("nothing")


def test_a_renamed_role_ends_the_tokens_that_carry_the_old_name(
    cloud: RunningCloud, admin: Connection, demo: Connection, role: Role, http: httpx.Client
) -> None:
    project = admin.identity.create_project(name=f"p-{new_hex_id()[:8]}", domain_id="default")
    me = demo.identity.get_user(demo.current_user_id)
    admin.identity.assign_project_role_to_user(project, me, role)
    with cloud.connect(me.name, me.name, project.name) as before:
        token = before.auth_token
    renamed = f"{role.name}-renamed"
    admin.identity.update_role(role, name=renamed)
    answer = http.get("/identity/v3/auth/projects", headers={"X-Auth-Token": token})
    assert answer.status_code == 401
    with cloud.connect(me.name, me.name, project.name) as after:
        assert after.session.auth.get_access(after.session).role_names == [renamed]


def test_a_role_of_ones_own_gives_no_way_into_the_services(
    cloud: RunningCloud, admin: Connection, demo: Connection, role: Role
) -> None:
    project = admin.identity.create_project(name=f"p-{new_hex_id()[:8]}", domain_id="default")
    me = demo.identity.get_user(demo.current_user_id)
    admin.identity.assign_project_role_to_user(project, me, role)
    with (
        cloud.connect(me.name, me.name, project.name) as there,
        pytest.raises(exceptions.ForbiddenException),
    ):
        list(there.image.images())
