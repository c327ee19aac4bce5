from __future__ import annotations

from typing import Any

import pytest
from openstack.connection import Connection

from kumoi.base.ids import new_hex_id


def body(admin: Connection, **given: Any) -> dict[str, Any]:
    service = admin.identity.find_service("keystone", ignore_missing=False)
    made = {"service_id": service.id, "resource_name": new_hex_id(), "default_limit": 10}
    return {"registered_limits": [{**made, **given}]}


def test_a_limit_is_registered_once_shown_and_changed(admin: Connection, demo: Connection) -> None:
    wanted = body(admin)
    answer = admin.identity.post("/registered_limits", json=wanted)
    assert answer.status_code == 201
    (made,) = answer.json()["registered_limits"]
    assert admin.identity.post("/registered_limits", json=wanted).status_code == 409
    path = f"/registered_limits/{made['id']}"
    assert demo.identity.get(path).json()["registered_limit"] == made
    name = made["resource_name"]
    listed = demo.identity.get(f"/registered_limits?resource_name={name}").json()
    assert listed["registered_limits"] == [made]
    change = {"registered_limit": {"default_limit": -1}}
    assert admin.identity.patch(path, json=change).json()["registered_limit"] == {
        **made,
        "default_limit": -1,
    }
    assert demo.identity.patch(path, json=change).status_code == 403
    assert admin.identity.delete(path).status_code == 204
    assert admin.identity.get(path).status_code == 404


def test_limits_are_registered_all_or_none(admin: Connection) -> None:
    (first,) = body(admin)["registered_limits"]
    answer = admin.identity.post("/registered_limits", json={"registered_limits": [first, first]})
    assert answer.status_code == 409
    name = first["resource_name"]
    listed = admin.identity.get(f"/registered_limits?resource_name={name}").json()
    assert listed["registered_limits"] == []


@pytest.mark.parametrize(
    "given",
    [{"service_id": "none"}, {"region_id": "none"}, {"default_limit": -2}, {"colour": "blue"}],
)
def test_a_bad_one_is_refused(admin: Connection, given: dict[str, Any]) -> None:
    assert admin.identity.post("/registered_limits", json=body(admin, **given)).status_code == 400
