from __future__ import annotations

import pytest
from openstack import exceptions
from openstack.connection import Connection


def test_a_policy_is_kept_changed_and_deleted(admin: Connection, demo: Connection) -> None:
    made = admin.identity.create_policy(blob="{}", type="application/json")
    assert admin.identity.get_policy(made.id).blob == "{}"
    path = f"/policies/{made.id}"
    body = {"policy": {"type": "text/plain", "note": "kept"}}
    changed = admin.identity.patch(path, json=body).json()["policy"]
    assert (changed["type"], changed["blob"], changed["note"]) == ("text/plain", "{}", "kept")
    assert [one.id for one in admin.identity.policies(type="text/plain")] == [made.id]
    with pytest.raises(exceptions.ForbiddenException):
        list(demo.identity.policies())
    admin.identity.delete_policy(made)
    with pytest.raises(exceptions.NotFoundException):
        admin.identity.get_policy(made.id)
    assert admin.identity.post("/policies", json={"policy": {"type": "a"}}).status_code == 400
