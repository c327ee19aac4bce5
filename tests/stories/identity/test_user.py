from __future__ import annotations

from typing import TYPE_CHECKING

import httpx
import pytest
from openstack import exceptions
from openstack.connection import Connection

from kumoi.base.ids import new_hex_id

if TYPE_CHECKING:
    from openstack.identity.v3.user import User

    from tests.running_cloud import RunningCloud


@pytest.fixture
def user(admin: Connection) -> User:
    """A user with a password and no role."""
    name = f"user-{new_hex_id()[:8]}"
    return admin.identity.create_user(name=name, password=name, domain_id="default")


def test_a_user_is_shown_as_it_was_made(admin: Connection) -> None:
    name = f"user-{new_hex_id()[:8]}"
    made = admin.identity.create_user(
        name=name, domain_id="default", email="a@example.org", description="of a story"
    )
    shown = admin.identity.get_user(made.id)
    assert (shown.name, shown.email, shown.description) == (name, "a@example.org", "of a story")
    assert shown.is_enabled
    assert shown.password is None
    assert [item.id for item in admin.identity.users(name=name)] == [made.id]
    assert [item.id for item in admin.identity.users(name=name, is_enabled=False)] == []


def test_a_name_is_taken_once_in_a_domain(admin: Connection, user: User) -> None:
    with pytest.raises(exceptions.ConflictException):
        admin.identity.create_user(name=user.name, domain_id="default")


def test_nothing_is_made_in_a_domain_that_is_not_there(admin: Connection) -> None:
    for noun in ("user", "group", "project"):
        answer = admin.identity.post(f"/{noun}s", json={noun: {"name": "x", "domain_id": "no"}})
        assert answer.status_code == 404


def test_users_see_themselves_and_nobody_else(demo: Connection, user: User) -> None:
    assert demo.identity.get_user(demo.current_user_id).id == demo.current_user_id
    for key in (user.id, "nothing"):
        with pytest.raises(exceptions.ForbiddenException):
            demo.identity.get_user(key)
    with pytest.raises(exceptions.ForbiddenException):
        list(demo.identity.users())
    with pytest.raises(exceptions.ForbiddenException):
        demo.identity.create_user(name="x", domain_id="default")


def test_changing_the_own_password_ends_the_old_one_and_every_token(
    cloud: RunningCloud, demo: Connection
) -> None:
    me = demo.identity.get_user(demo.current_user_id)
    token = demo.auth_token
    demo.identity.post(
        f"/users/{me.id}/password",
        json={"user": {"password": "new-secret", "original_password": me.name}},
    ).raise_for_status()
    with httpx.Client(base_url=cloud.url, headers={"X-Auth-Token": token}) as http:
        assert http.get(f"/identity/v3/users/{me.id}").status_code == 401
    with cloud.connect(me.name, "new-secret", me.name) as again:
        assert again.current_user_id == me.id
    with (
        cloud.connect(me.name, me.name, me.name) as old,
        pytest.raises(exceptions.SDKException),
    ):
        old.authorize()


def test_without_the_old_password_the_own_is_not_changed(demo: Connection) -> None:
    answer = demo.identity.post(
        f"/users/{demo.current_user_id}/password",
        json={"user": {"password": "new", "original_password": "wrong"}},
    )
    assert answer.status_code == 401


@pytest.mark.parametrize(
    "change", [{"is_enabled": False}, {"password": "reset-by-an-administrator"}]
)
def test_disabling_a_user_or_resetting_its_password_ends_its_tokens_at_once(
    admin: Connection, demo: Connection, http: httpx.Client, change: dict[str, object]
) -> None:
    me, token = demo.current_user_id, demo.auth_token
    admin.identity.update_user(me, **change)
    answer = http.get(f"/identity/v3/users/{me}", headers={"X-Auth-Token": token})
    assert answer.status_code == 401


def test_a_disabled_user_does_not_get_in_until_enabled_again(
    cloud: RunningCloud, admin: Connection, demo: Connection
) -> None:
    me = demo.identity.get_user(demo.current_user_id)
    admin.identity.update_user(me, is_enabled=False)
    with (
        cloud.connect(me.name, me.name, me.name) as refused,
        pytest.raises(exceptions.SDKException),
    ):
        refused.authorize()
    admin.identity.update_user(me, is_enabled=True)
    with cloud.connect(me.name, me.name, me.name) as again:
        assert again.authorize()


def test_a_deleted_user_is_gone_with_its_tokens_and_memberships(
    admin: Connection, demo: Connection, http: httpx.Client
) -> None:
    me, token = demo.current_user_id, demo.auth_token
    group = admin.identity.create_group(name=f"group-{new_hex_id()[:8]}", domain_id="default")
    admin.identity.add_user_to_group(me, group)
    admin.identity.delete_user(me)
    answer = http.get("/identity/v3/auth/projects", headers={"X-Auth-Token": token})
    assert answer.status_code == 401
    assert list(admin.identity.group_users(group)) == []
    assert list(admin.identity.role_assignments(user_id=me)) == []


def test_users_list_their_own_projects_and_groups(admin: Connection, demo: Connection) -> None:
    me = demo.current_user_id
    group = admin.identity.create_group(name=f"group-{new_hex_id()[:8]}", domain_id="default")
    admin.identity.add_user_to_group(me, group)
    assert [project.id for project in demo.identity.user_projects(me)] == [demo.current_project_id]
    assert [item.id for item in demo.identity.user_groups(me)] == [group.id]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"user": {}}, "name"),
        ({"user": {"name": ""}}, "name"),
        ({"user": {"name": 7}}, "name"),
        ({"user": {"name": "a", "enabled": "yes"}}, "enabled"),
        ({"user": {"name": "a", "options": {"lock_password": "yes"}}}, "lock_password"),
    ],
)
def test_a_bad_user_is_refused_by_the_field_that_is_wrong(
    admin: Connection, body: dict[str, object], field: str
) -> None:
    answer = admin.identity.post("/users", json=body)
    assert answer.status_code == 400
    assert field in answer.json()["error"]["message"]
