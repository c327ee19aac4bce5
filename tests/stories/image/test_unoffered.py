"""What is not offered says so, and what to do instead."""

from __future__ import annotations

import pytest
from openstack.connection import Connection

IMAGE = "5718c053-d58b-47c4-8e41-3113cba1a77e"


@pytest.mark.parametrize(
    ("method", "path", "instead"),
    [
        ("GET", "/cache", "each host keeps"),
        ("DELETE", "/cache", "each host keeps"),
        ("PUT", f"/cache/{IMAGE}", "each host keeps"),
        ("DELETE", f"/cache/{IMAGE}", "each host keeps"),
    ],
)
def test_it_says_what_to_do_instead(
    admin: Connection, method: str, path: str, instead: str
) -> None:
    answer = admin.image.request(path, method, json={}, headers={"Accept": "application/json"})
    assert answer.status_code == 501
    assert instead in answer.json()["message"]


def test_there_is_one_store(demo: Connection) -> None:
    (store,) = demo.image.get("/info/stores").json()["stores"]
    assert store["default"] == "true"


def test_a_property_may_be_named_properties(demo: Connection) -> None:
    made = demo.image.post("/images", json={"name": "a", "properties": "of a house"}).json()
    assert made["properties"] == "of a house"
    assert demo.image.get(f"/images/{made['id']}").json() == made
    assert [
        one["id"] for one in demo.image.get("/images?properties=of a house").json()["images"]
    ] == [made["id"]]
    patch = [{"op": "replace", "path": "/properties", "value": "of a garden"}]
    kind = {"Content-Type": "application/openstack-images-v2.1-json-patch"}
    changed = demo.image.patch(f"/images/{made['id']}", json=patch, headers=kind).json()
    assert changed["properties"] == "of a garden"


def test_an_image_that_was_not_imported_has_no_tasks(
    tenant: Connection, neighbour: Connection
) -> None:
    made = tenant.image.create_image("own", disk_format="raw", container_format="bare")
    assert tenant.image.get(f"/images/{made.id}/tasks").json() == {"tasks": []}
    assert neighbour.image.get(f"/images/{made.id}/tasks").status_code == 404
