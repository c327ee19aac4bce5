from __future__ import annotations

import pytest
from openstack import exceptions
from openstack.connection import Connection

from tests.stories.image.test_image import change, names, queued


def sees(caller: Connection, image_id: str) -> bool:
    return bool(caller.image.get(f"/images/{image_id}").status_code == 200)


def test_another_tenants_image_is_not_there(demo: Connection, other: Connection) -> None:
    for visibility in ("shared", "private"):
        key = queued(demo, visibility=visibility)["id"]
        assert not sees(other, key)
        assert change(other, key).status_code == 404
        assert other.image.delete(f"/images/{key}").status_code == 404
        assert other.image.get(f"/images/{key}/file").status_code == 404


def test_a_community_image_is_used_by_whoever_knows_it_and_listed_on_request(
    demo: Connection, other: Connection
) -> None:
    made = queued(demo, visibility="community")
    assert sees(other, made["id"])
    assert made["name"] not in names(other, "limit=1000")
    assert made["name"] in names(other, "limit=1000&visibility=community")
    assert made["name"] in names(other, "limit=1000&visibility=all")
    assert other.image.delete(f"/images/{made['id']}").status_code == 403


def test_an_administrators_public_image_shows_to_all_and_is_nobody_elses(
    admin: Connection, demo: Connection
) -> None:
    made = queued(admin, visibility="public")
    assert made["name"] in names(demo, "limit=1000")
    assert change(demo, made["id"]).status_code == 403
    assert demo.image.put(f"/images/{made['id']}/tags/x").status_code == 403


def test_a_shared_image_is_listed_once_it_is_accepted(demo: Connection, other: Connection) -> None:
    made, project = queued(demo), other.current_project_id
    demo.image.add_member(made["id"], member_id=project)
    assert sees(other, made["id"])
    assert made["name"] not in names(other, "limit=1000")
    assert names(other, "limit=1000&visibility=shared&member_status=pending") == [made["name"]]
    member = other.image.update_member(project, made["id"], status="accepted")
    assert member.status == "accepted"
    assert made["name"] in names(other, "limit=1000")
    demo.image.remove_member(project, made["id"])
    assert not sees(other, made["id"])


def test_the_owner_shares_and_the_member_answers(
    demo: Connection, other: Connection, neighbour: Connection
) -> None:
    key, project = queued(demo)["id"], other.current_project_id
    members = f"/images/{key}/members"
    body = {"member": project}
    assert other.image.post(members, json=body).status_code == 404
    assert demo.image.post(members, json=body).json()["status"] == "pending"
    assert demo.image.post(members, json=body).status_code == 409
    for owner_or_member in (demo, other):
        assert owner_or_member.image.get_member(project, key).status == "pending"
    assert neighbour.image.get(f"{members}/{project}").status_code == 404
    assert demo.image.get(f"{members}/nobody").status_code == 404
    assert other.image.post(members, json={"member": "x"}).status_code == 403
    accept = {"status": "accepted"}
    assert demo.image.put(f"{members}/{project}", json=accept).status_code == 403
    assert other.image.put(f"{members}/{project}", json={"status": "maybe"}).status_code == 400
    assert other.image.put(f"{members}/nobody", json=accept).status_code == 404
    assert [member.member_id for member in demo.image.members(key)] == [project]
    assert demo.image.delete(f"{members}/nobody").status_code == 404


def test_only_shared_images_have_members(demo: Connection) -> None:
    key = queued(demo, visibility="private")["id"]
    assert demo.image.post(f"/images/{key}/members", json={"member": "x"}).status_code == 403
    assert demo.image.get(f"/images/{key}/members").status_code == 403


def test_a_reader_looks_and_changes_nothing(
    admin: Connection, demo: Connection, other: Connection
) -> None:
    """With the role of reader alone, in another's project."""
    made, me = queued(demo), other.current_user_id
    reader = admin.identity.find_role("reader")
    admin.identity.assign_project_role_to_user(demo.current_project_id, me, reader)
    with other.connect_as(project_id=demo.current_project_id, project_name=None) as reading:
        assert sees(reading, made["id"])
        assert reading.image.delete(f"/images/{made['id']}").status_code == 403
        assert reading.image.post("/images", json={"name": "x"}).status_code == 403


def test_an_owner_cannot_give_an_image_away(demo: Connection, other: Connection) -> None:
    made = demo.image.create_image("mine", allow_duplicates=True)
    with pytest.raises(exceptions.ForbiddenException, match="owner"):
        demo.image.update_image(made, owner_id=other.current_project_id)
