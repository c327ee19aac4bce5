"""Credentials that users keep here."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa
from openstack import exceptions
from openstack.connection import Connection

from kumoi.base.ids import new_hex_id
from kumoi.cloud.store.identity.credential import credential

if TYPE_CHECKING:
    from tests.running_cloud import RunningCloud


def body(user: Connection, **given: Any) -> dict[str, Any]:
    made = {
        "type": "totp",
        "blob": "SECRET",
        "user_id": user.current_user_id,
        "project_id": user.current_project_id,
    }
    return {"credential": {**made, **given}}


def test_a_user_keeps_credentials_and_sees_no_others(admin: Connection, demo: Connection) -> None:
    mine = demo.identity.create_credential(**body(demo)["credential"])
    theirs = admin.identity.create_credential(**body(admin)["credential"])
    assert demo.identity.get_credential(mine.id).blob == "SECRET"
    assert [one.id for one in demo.identity.credentials()] == [mine.id]
    assert {mine.id, theirs.id} <= {one.id for one in admin.identity.credentials()}
    listed = admin.identity.credentials(user_id=demo.current_user_id, type="totp")
    assert [one.id for one in listed] == [mine.id]
    for key in (theirs.id, "nothing"):
        with pytest.raises(exceptions.ForbiddenException):
            demo.identity.get_credential(key)
    with pytest.raises(exceptions.ForbiddenException):
        demo.identity.create_credential(**body(admin)["credential"])
    demo.identity.delete_credential(mine)
    assert list(demo.identity.credentials()) == []


def test_a_blob_cannot_be_read_in_the_database(cloud: RunningCloud, demo: Connection) -> None:
    made = demo.identity.create_credential(**body(demo, blob="FIRST-SECRET")["credential"])
    demo.identity.update_credential(made, blob="SECOND-SECRET")
    pair = {"tenant_id": demo.current_project_id}
    path = f"/users/{demo.current_user_id}/credentials/OS-EC2"
    keys = demo.identity.post(path, json=pair).json()["credential"]
    with cloud.database.read() as connection:
        kept = [row.blob for row in connection.execute(sa.select(credential))]
    for secret in ("FIRST-SECRET", "SECOND-SECRET", keys["secret"], keys["access"]):
        assert not [blob for blob in kept if secret in blob]
    assert demo.identity.get_credential(made.id).blob == "SECOND-SECRET"


def test_only_the_blob_is_changed(demo: Connection) -> None:
    made = demo.identity.create_credential(**body(demo)["credential"])
    path = f"/credentials/{made.id}"
    changed = demo.identity.patch(path, json={"credential": {"blob": "NEW"}}).json()["credential"]
    assert (changed["blob"], changed["type"], changed["id"]) == ("NEW", "totp", made.id)
    same = demo.identity.patch(path, json={"credential": {"type": "totp"}})
    assert same.json()["credential"]["blob"] == "NEW"
    for name in ("type", "user_id", "project_id"):
        assert demo.identity.patch(path, json={"credential": {name: "other"}}).status_code == 400


def test_one_for_ec2_is_known_by_its_access_key(demo: Connection) -> None:
    access = new_hex_id()
    blob = json.dumps({"access": access, "secret": "s"})
    made = demo.identity.post("/credentials", json=body(demo, type="ec2", blob=blob))
    assert made.json()["credential"]["id"] == hashlib.sha256(access.encode()).hexdigest()
    again = demo.identity.post("/credentials", json=body(demo, type="ec2", blob=blob))
    assert again.status_code == 409


@pytest.mark.parametrize(
    "given",
    [
        {"type": "ec2", "blob": "no JSON"},
        {"type": "ec2", "blob": "[]"},
        {"type": "ec2", "blob": "{}"},
        {"type": "ec2", "blob": '{"access": "\\ud800"}'},
        {"type": "ec2", "blob": '{"access": "a", "secret": "\\ud83d"}'},
        {"type": "ec2", "blob": "[" * 20_000},
        {"type": "ec2", "blob": '{"access": "a"}', "project_id": None},
        {"blob": {}},
        {"type": ""},
    ],
)
def test_a_bad_credential_is_refused(demo: Connection, given: dict[str, Any]) -> None:
    assert demo.identity.post("/credentials", json=body(demo, **given)).status_code == 400


def test_they_go_with_their_user_and_with_their_project(admin: Connection) -> None:
    user = admin.identity.create_user(name=f"u-{new_hex_id()[:8]}", domain_id="default")
    project = admin.identity.create_project(name=f"p-{new_hex_id()[:8]}", domain_id="default")
    kept = []
    for project_id in (project.id, None):
        wanted = body(admin, user_id=user.id, project_id=project_id)
        kept.append(admin.identity.post("/credentials", json=wanted).json()["credential"]["id"])
    admin.identity.delete_project(project)
    assert [one.id for one in admin.identity.credentials(user_id=user.id)] == kept[1:]
    admin.identity.delete_user(user)
    assert list(admin.identity.credentials(user_id=user.id)) == []
