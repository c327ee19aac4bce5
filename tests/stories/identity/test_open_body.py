"""What a user keeps with a resource of the identity service stays with it, and options are obeyed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import httpx
import pytest
from openstack import exceptions
from openstack.connection import Connection

from kumoi.base.ids import new_hex_id
from tests.running_cloud import RunningCloud

MAKES: Mapping[str, Mapping[str, Any]] = {
    "users": {},
    "projects": {},
    "groups": {},
    "domains": {},
    "roles": {},
    "regions": {"description": "of a story"},
    "services": {"type": "of-a-story"},
}


def make(admin: Connection, kind: str, **given: Any) -> dict[str, Any]:
    noun = kind.removesuffix("s")
    body = {**MAKES[kind], **given}
    if kind != "regions":
        body = {"name": f"{noun}-{new_hex_id()[:8]}", **body}
    answer = admin.identity.post(f"/{kind}", json={noun: body})
    assert answer.status_code == 201, answer.text
    return dict(answer.json()[noun])


def change(admin: Connection, kind: str, key: str, **values: Any) -> httpx.Response:
    noun = kind.removesuffix("s")
    answer: httpx.Response = admin.identity.patch(f"/{kind}/{key}", json={noun: values})
    return answer


@pytest.mark.parametrize("kind", MAKES)
def test_attributes_of_ones_own_are_kept_shown_and_changed_one_by_one(
    admin: Connection, kind: str
) -> None:
    noun = kind.removesuffix("s")
    made = make(admin, kind, phone="123", address={"city": "Kyoto"})
    assert (made["phone"], made["address"]) == ("123", {"city": "Kyoto"})
    changed = change(admin, kind, made["id"], phone="456", note=None).json()[noun]
    shown = admin.identity.get(f"/{kind}/{made['id']}").json()[noun]
    assert shown == changed == {**made, "phone": "456", "note": None, "links": shown["links"]}
    listed = admin.identity.get(f"/{kind}").json()[kind]
    assert [one["phone"] for one in listed if one["id"] == made["id"]] == ["456"]


def test_an_endpoint_keeps_attributes_of_ones_own_too(admin: Connection) -> None:
    service = make(admin, "services")
    body = {"service_id": service["id"], "interface": "public", "url": "http://a.example"}
    answer = admin.identity.post("/endpoints", json={"endpoint": {**body, "rack": 3}})
    made = answer.json()["endpoint"]
    changed = change(admin, "endpoints", made["id"], url="http://b.example").json()["endpoint"]
    assert changed == {**made, "url": "http://b.example"}
    assert changed["rack"] == 3


@pytest.mark.parametrize("kind", ["users", "projects", "groups", "domains", "roles", "services"])
def test_an_update_leaves_what_it_does_not_name(admin: Connection, kind: str) -> None:
    noun = kind.removesuffix("s")
    option = {"lock_password": True} if kind == "users" else {"immutable": False}
    given = {} if kind in ("groups", "services") else {"options": option}
    made = make(admin, kind, description="before", phone="123", **given)
    name = f"renamed-{new_hex_id()[:8]}"
    renamed = change(admin, kind, made["id"], name=name).json()[noun]
    assert renamed == {**made, "name": name}
    described = change(admin, kind, made["id"], description="after").json()[noun]
    assert described == {**renamed, "description": "after"}


@pytest.mark.parametrize("kind", ["users", "projects", "groups", "domains", "roles", "regions"])
def test_an_id_cannot_be_changed(admin: Connection, kind: str) -> None:
    made = make(admin, kind)
    assert change(admin, kind, made["id"], id="another").status_code == 400
    same = change(admin, kind, made["id"], id=made["id"], description="with its own id")
    assert same.status_code == 200


@pytest.mark.parametrize("kind", ["projects", "domains", "roles"])
def test_what_is_immutable_is_neither_changed_nor_deleted_until_it_is_no_longer(
    admin: Connection, kind: str
) -> None:
    made = make(admin, kind, options={"immutable": True})
    assert made["options"] == {"immutable": True}
    assert change(admin, kind, made["id"], description="x").status_code == 403
    both = change(admin, kind, made["id"], description="x", options={"immutable": False})
    assert both.status_code == 403
    assert admin.identity.delete(f"/{kind}/{made['id']}").status_code == 403
    freed = change(admin, kind, made["id"], options={"immutable": None})
    assert freed.json()[kind.removesuffix("s")]["options"] == {}
    assert change(admin, kind, made["id"], enabled=False).status_code == 200
    assert admin.identity.delete(f"/{kind}/{made['id']}").status_code == 204


def test_a_user_whose_password_is_locked_cannot_change_it(
    cloud: RunningCloud, admin: Connection
) -> None:
    made = make(admin, "users", password="first", options={"lock_password": True})
    project = make(admin, "projects")
    role = admin.identity.find_role("member", ignore_missing=False)
    admin.identity.assign_project_role_to_user(project["id"], made["id"], role)
    body = {"user": {"password": "second", "original_password": "first"}}
    with cloud.connect(made["name"], "first", project["name"]) as own:
        path = f"/users/{made['id']}/password"
        assert own.identity.post(path, json=body).status_code == 400
        change(admin, "users", made["id"], options={"lock_password": False})
        assert own.identity.post(path, json=body).status_code == 204


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("users", {"unheard_of": True}),
        ("users", {"lock_password": "yes"}),
        ("users", {"multi_factor_auth_enabled": "yes"}),
        ("users", {"multi_factor_auth_rules": ["password"]}),
        ("users", {"multi_factor_auth_rules": [[]]}),
        ("projects", {"lock_password": True}),
        ("roles", {"immutable": 1}),
    ],
)
def test_an_option_that_would_not_be_obeyed_is_refused(
    admin: Connection, kind: str, options: dict[str, Any]
) -> None:
    body = {kind.removesuffix("s"): {"name": f"o-{new_hex_id()[:8]}", "options": options}}
    answer = admin.identity.post(f"/{kind}", json=body)
    assert answer.status_code == 400
    assert next(iter(options)) in answer.json()["error"]["message"]


def test_a_project_that_acts_as_a_domain_is_one(admin: Connection) -> None:
    made = make(admin, "projects", is_domain=True, note="kept")
    assert (made["is_domain"], made["domain_id"], made["parent_id"]) == (True, None, None)
    domain = admin.identity.get_domain(made["id"])
    assert domain.name == made["name"]
    assert admin.identity.get(f"/projects/{made['id']}").json()["project"] == made
    listed = admin.identity.get("/projects?is_domain=true").json()["projects"]
    assert {"default", made["id"]} <= {one["id"] for one in listed}
    within = admin.identity.create_project(name="within", domain_id=made["id"])
    assert within.parent_id == made["id"]
    assert change(admin, "projects", made["id"], is_domain=False).status_code == 400
    with pytest.raises(exceptions.ForbiddenException):
        admin.identity.delete_domain(made["id"])
    assert change(admin, "projects", made["id"], enabled=False).json()["project"]["note"] == "kept"
    assert admin.identity.delete(f"/projects/{made['id']}").status_code == 204
    with pytest.raises(exceptions.NotFoundException):
        admin.identity.get_domain(made["id"])


@pytest.mark.parametrize("given", [{"parent_id": "default"}, {"domain_id": "default"}])
def test_a_project_that_acts_as_a_domain_is_below_nothing(
    admin: Connection, given: dict[str, str]
) -> None:
    body = {"project": {"name": f"p-{new_hex_id()[:8]}", "is_domain": True, **given}}
    assert admin.identity.post("/projects", json=body).status_code == 400
