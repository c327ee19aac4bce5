"""Objects, properties and tags of a namespace of metadata definitions."""

from __future__ import annotations

from typing import Any

import pytest
from openstack.connection import Connection

from kumoi.base.ids import new_hex_id

BODIES: dict[str, dict[str, Any]] = {
    "objects": {"description": "before", "properties": {}},
    "properties": {"title": "Before", "type": "string", "enum": ["a"]},
    "tags": {},
}


@pytest.fixture
def path(admin: Connection) -> str:
    name = f"OS::Story::{new_hex_id()[:8]}"
    admin.image.create_metadef_namespace(namespace=name, visibility="public")
    return f"/metadefs/namespaces/{name}"


def make(admin: Connection, path: str, kind: str, name: str) -> Any:
    if kind == "tags":
        return admin.image.post(f"{path}/tags/{name}")
    return admin.image.post(f"{path}/{kind}", json={"name": name, **BODIES[kind]})


def names(admin: Connection, path: str, kind: str) -> list[str]:
    found = admin.image.get(f"{path}/{kind}").json()[kind]
    return sorted(found if kind == "properties" else (one["name"] for one in found))


@pytest.mark.parametrize("kind", BODIES)
def test_what_is_in_a_namespace_is_made_shown_renamed_and_deleted(
    admin: Connection, demo: Connection, path: str, kind: str
) -> None:
    made = make(admin, path, kind, "first")
    assert (made.status_code, made.json()["name"]) == (201, "first")
    assert make(admin, path, kind, "first").status_code == 409
    make(admin, path, kind, "second")
    assert demo.image.get(f"{path}/{kind}/first").json() == made.json()
    assert names(demo, path, kind) == ["first", "second"]
    body = {**BODIES[kind], "name": "third"}
    changed = admin.image.put(f"{path}/{kind}/first", json=body)
    assert (changed.status_code, changed.json()["name"]) == (200, "third")
    taken = admin.image.put(f"{path}/{kind}/third", json={**body, "name": "second"})
    assert taken.status_code == 409
    assert demo.image.delete(f"{path}/{kind}/third").status_code == 403
    assert admin.image.delete(f"{path}/{kind}/third").status_code == 204
    assert admin.image.get(f"{path}/{kind}/third").status_code == 404
    assert admin.image.delete(f"{path}/{kind}").status_code == 204
    assert names(admin, path, kind) == []


@pytest.mark.parametrize("kind", BODIES)
def test_nothing_of_a_protected_namespace_is_deleted(
    admin: Connection, path: str, kind: str
) -> None:
    make(admin, path, kind, "first")
    name = path.rsplit("/", 1)[1]
    admin.image.put(path, json={"namespace": name, "protected": True})
    assert admin.image.delete(f"{path}/{kind}/first").status_code == 403
    assert admin.image.delete(f"{path}/{kind}").status_code == 403
    assert names(admin, path, kind) == ["first"]


def test_tags_come_in_place_of_those_there_or_beside_them(admin: Connection, path: str) -> None:
    def put(*given: str, **headers: str) -> int:
        body = {"tags": [{"name": name} for name in given]}
        return int(admin.image.post(f"{path}/tags", json=body, headers=headers).status_code)

    assert put("a", "b", "b") == 201
    assert put("c", **{"X-Openstack-Append": "True"}) == 201
    assert names(admin, path, "tags") == ["a", "b", "c"]
    assert put("a", **{"X-Openstack-Append": "True"}) == 409
    assert put("d") == 201
    assert names(admin, path, "tags") == ["d"]


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("objects", {}),
        ("objects", {"name": "a", "properties": {"b": {}}}),
        ("properties", {"title": "A", "type": "string"}),
        ("properties", {"name": "a", "title": "A"}),
        ("properties", {"name": "a", "title": "A", "type": "string", "maxLength": -1}),
        ("tags", {"tags": [{"name": ""}]}),
    ],
)
def test_a_bad_body_is_refused(
    admin: Connection, path: str, kind: str, body: dict[str, Any]
) -> None:
    assert admin.image.post(f"{path}/{kind}", json=body).status_code == 400


def test_a_tag_too_long_is_refused(admin: Connection, path: str) -> None:
    assert admin.image.post(f"{path}/tags/{'a' * 81}").status_code == 400
