from __future__ import annotations

from typing import Any

import pytest
from openstack.connection import Connection

from kumoi.base.ids import new_hex_id


@pytest.fixture
def registered(admin: Connection) -> dict[str, Any]:
    service = admin.identity.find_service("keystone", ignore_missing=False)
    wanted = {"service_id": service.id, "resource_name": new_hex_id(), "default_limit": 10}
    answer = admin.identity.post("/registered_limits", json={"registered_limits": [wanted]})
    (made,) = answer.json()["registered_limits"]
    return dict(made)


def ask(admin: Connection, registered: dict[str, Any], **given: Any) -> Any:
    wanted = {
        "service_id": registered["service_id"],
        "resource_name": registered["resource_name"],
        "resource_limit": 5,
        **given,
    }
    return admin.identity.post("/limits", json={"limits": [wanted]})


def test_a_project_has_a_limit_of_its_own_and_sees_no_others(
    admin: Connection, demo: Connection, registered: dict[str, Any]
) -> None:
    answer = ask(admin, registered, project_id=demo.current_project_id)
    assert answer.status_code == 201
    (made,) = answer.json()["limits"]
    assert ask(admin, registered, project_id=demo.current_project_id).status_code == 409
    (other,) = ask(admin, registered, domain_id="default").json()["limits"]
    assert demo.identity.get("/limits").json()["limits"] == [made]
    path = f"/limits/{made['id']}"
    assert demo.identity.get(path).json()["limit"] == made
    for key in (other["id"], "nothing"):
        assert demo.identity.get(f"/limits/{key}").status_code == 403
    name = registered["resource_name"]
    listed = admin.identity.get(f"/limits?resource_name={name}").json()["limits"]
    assert {one["id"] for one in listed} == {made["id"], other["id"]}
    change = {"limit": {"resource_limit": 7}}
    changed = admin.identity.patch(path, json=change).json()["limit"]
    assert changed == {**made, "resource_limit": 7}
    assert demo.identity.patch(path, json=change).status_code == 403
    assert admin.identity.delete(path).status_code == 204
    assert admin.identity.get(path).status_code == 404


def test_what_limits_rest_on_stays(admin: Connection, registered: dict[str, Any]) -> None:
    domain = admin.identity.create_domain(name=f"d-{new_hex_id()[:8]}")
    ask(admin, registered, domain_id=domain.id)
    path = f"/registered_limits/{registered['id']}"
    assert admin.identity.delete(path).status_code == 403
    change = {"registered_limit": {"resource_name": "other"}}
    assert admin.identity.patch(path, json=change).status_code == 403
    admin.identity.update_domain(domain, is_enabled=False)
    admin.identity.delete_domain(domain)
    assert admin.identity.delete(path).status_code == 204


@pytest.mark.parametrize(
    ("given", "status"),
    [
        ({}, 400),
        ({"project_id": "a", "domain_id": "b"}, 400),
        ({"project_id": "nowhere"}, 404),
        ({"domain_id": "nowhere"}, 404),
        ({"domain_id": "default", "resource_name": "unregistered"}, 403),
        ({"domain_id": "default", "resource_limit": "many"}, 400),
    ],
)
def test_a_limit_that_cannot_be_is_refused(
    admin: Connection, registered: dict[str, Any], given: dict[str, Any], status: int
) -> None:
    assert ask(admin, registered, **given).status_code == status


def test_the_model_is_flat(demo: Connection) -> None:
    assert demo.identity.get("/limits/model").json()["model"]["name"] == "flat"
