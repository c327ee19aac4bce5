from __future__ import annotations

from typing import Any

import pytest
from openstack.connection import Connection

from kumoi.base.ids import new_hex_id

pytestmark = pytest.mark.apis("image")

GROUPS = "/OS-EP-FILTER/endpoint_groups"


def make(admin: Connection, **filters: Any) -> dict[str, Any]:
    body = {"name": f"group-{new_hex_id()[:8]}", "description": "of a story", "filters": filters}
    answer = admin.identity.post(GROUPS, json={"endpoint_group": body})
    assert answer.status_code == 201
    return dict(answer.json()["endpoint_group"])


def test_a_group_is_shown_changed_and_deleted(admin: Connection, demo: Connection) -> None:
    made = make(admin, interface="public")
    path = f"{GROUPS}/{made['id']}"
    assert admin.identity.get(path).json()["endpoint_group"] == made
    listed = admin.identity.get(f"{GROUPS}?name={made['name']}").json()["endpoint_groups"]
    assert listed == [made]
    changed = admin.identity.patch(path, json={"endpoint_group": {"description": "new"}}).json()
    assert changed["endpoint_group"] == {**made, "description": "new"}
    filters = {"filters": {"interface": "admin"}}
    changed = admin.identity.patch(path, json={"endpoint_group": filters}).json()
    assert changed["endpoint_group"]["filters"] == {"interface": "admin"}
    assert demo.identity.get(path).status_code == 403
    assert admin.identity.delete(path).status_code == 204
    assert admin.identity.get(path).status_code == 404


def test_its_endpoints_are_those_that_fit_all_filters(admin: Connection) -> None:
    image = admin.identity.find_service("glance", ignore_missing=False)
    made = make(admin, interface="public", service_id=image.id)
    found = admin.identity.get(f"{GROUPS}/{made['id']}/endpoints").json()["endpoints"]
    assert [(one["interface"], one["service_id"]) for one in found] == [("public", image.id)]


@pytest.mark.parametrize(
    "body",
    [
        {"name": "a"},
        {"filters": {}},
        {"name": "a", "filters": {"interface": "none"}},
        {"name": "a", "filters": {"colour": "blue"}},
    ],
)
def test_a_bad_group_is_refused(admin: Connection, body: dict[str, Any]) -> None:
    assert admin.identity.post(GROUPS, json={"endpoint_group": body}).status_code == 400
