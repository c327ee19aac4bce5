from __future__ import annotations

from typing import Any

import pytest
from openstack import exceptions
from openstack.connection import Connection

from kumoi.base.ids import new_hex_id, new_id

PATCH = {"Content-Type": "application/openstack-images-v2.1-json-patch"}


def queued(owner: Connection, **attributes: Any) -> Any:
    """An image without content."""
    wanted = {"name": f"image-{new_hex_id()[:8]}", "disk_format": "raw", "container_format": "bare"}
    answer = owner.image.post("/images", json={**wanted, **attributes})
    assert answer.status_code == 201, answer.text
    return answer.json()


def change(owner: Connection, image_id: str, *steps: dict[str, Any]) -> Any:
    return owner.image.patch(f"/images/{image_id}", json=list(steps), headers=PATCH)


def names(owner: Connection, query: str) -> list[str]:
    answer = owner.image.get(f"/images?{query}")
    assert answer.status_code == 200, answer.text
    return [image["name"] for image in answer.json()["images"]]


def test_an_image_is_shown_as_it_was_registered(demo: Connection) -> None:
    key = new_id()
    made = queued(
        demo, id=key, name="first", min_disk=2, min_ram=64, tags=["b", "a"], os_distro="debian"
    )
    assert made["status"] == "queued"
    assert made["visibility"] == "shared"
    assert made["owner"] == demo.current_project_id
    shown = demo.image.get(f"/images/{key}").json()
    assert shown == made
    assert (shown["min_disk"], shown["min_ram"], shown["tags"]) == (2, 64, ["a", "b"])
    assert shown["os_distro"] == "debian"
    assert shown["size"] is None
    assert shown["created_at"].endswith("Z")


def test_attributes_and_properties_change_by_json_patch(demo: Connection) -> None:
    key = queued(demo, colour="blue", shape="round")["id"]
    answer = change(
        demo,
        key,
        {"op": "replace", "path": "/name", "value": "renamed"},
        {"op": "replace", "path": "/tags", "value": ["z", "y", "z"]},
        {"op": "replace", "path": "/colour", "value": "green"},
        {"op": "add", "path": "/owner_specified.a~1b", "value": "c"},
        {"op": "remove", "path": "/shape"},
    )
    assert answer.status_code == 200
    shown = demo.image.get(f"/images/{key}").json()
    assert shown == answer.json()
    assert (shown["name"], shown["tags"], shown["colour"]) == ("renamed", ["y", "z"], "green")
    assert shown["owner_specified.a/b"] == "c"
    assert "shape" not in shown


@pytest.mark.parametrize(
    ("step", "status"),
    [
        ({"op": "replace", "path": "/colour", "value": "x"}, 409),
        ({"op": "remove", "path": "/colour"}, 409),
        ({"op": "remove", "path": "/name"}, 403),
        ({"op": "replace", "path": "/status", "value": "active"}, 403),
        ({"op": "replace", "path": "/id", "value": "x"}, 403),
        ({"op": "add", "path": "/locations", "value": []}, 403),
        ({"op": "add", "path": "/os_glance_secret", "value": "x"}, 403),
        ({"op": "replace", "path": "/visibility", "value": "public"}, 403),
        ({"op": "replace", "path": "/owner", "value": "another"}, 403),
        ({"op": "replace", "path": "/disk_format", "value": "zip"}, 400),
        ({"op": "replace", "path": "/min_ram", "value": "much"}, 400),
        ({"op": "add", "path": "/colour", "value": 7}, 400),
        ({"op": "add", "path": "/a/b", "value": "x"}, 400),
        ({"op": "move", "path": "/name"}, 400),
        ({"op": "replace", "path": "/name"}, 400),
    ],
)
def test_a_refused_change_changes_nothing(
    demo: Connection, step: dict[str, Any], status: int
) -> None:
    made = queued(demo)
    rename = {"op": "replace", "path": "/name", "value": "changed"}
    assert change(demo, made["id"], rename, step).status_code == status
    assert demo.image.get(f"/images/{made['id']}").json() == made


def test_a_patch_must_say_that_it_is_one(demo: Connection) -> None:
    key = queued(demo)["id"]
    assert demo.image.patch(f"/images/{key}", json=[]).status_code == 415


def test_the_older_way_of_writing_a_patch_works_too(demo: Connection) -> None:
    key = queued(demo, shape="round")["id"]
    headers = {"Content-Type": "application/openstack-images-v2.0-json-patch"}
    steps = [{"replace": "/name", "value": "renamed"}, {"remove": "/shape"}]
    answer = demo.image.patch(f"/images/{key}", json=steps, headers=headers)
    assert answer.json()["name"] == "renamed"
    assert "shape" not in answer.json()
    for bad in ({"value": "x"}, {"add": "/a", "remove": "/b"}):
        assert demo.image.patch(f"/images/{key}", json=[bad], headers=headers).status_code == 400


@pytest.mark.parametrize(
    ("attributes", "status", "field"),
    [
        ({"disk_format": "zip"}, 400, "disk_format"),
        ({"container_format": "box"}, 400, "container_format"),
        ({"disk_format": "ami", "container_format": "bare"}, 400, "formats must match"),
        ({"visibility": "secret"}, 400, "visibility"),
        ({"visibility": "public"}, 403, "publicize"),
        ({"min_disk": -1}, 400, "min_disk"),
        ({"tags": [1]}, 400, "tags"),
        ({"colour": {"a": "b"}}, 400, "colour"),
        ({"id": "7"}, 400, "id"),
        ({"name": "n" * 256}, 400, "name"),
        ({"checksum": "x"}, 403, "checksum"),
        ({"owner": "another"}, 403, "another"),
        ({f"p{n}": "x" for n in range(129)}, 413, "properties"),
    ],
)
def test_a_bad_image_is_refused_by_the_attribute_that_is_wrong(
    demo: Connection, attributes: dict[str, Any], status: int, field: str
) -> None:
    answer = demo.image.post("/images", json={"name": "bad", **attributes})
    assert answer.status_code == status
    assert field in answer.text


def test_a_protected_image_stays_until_it_is_not(demo: Connection) -> None:
    key = queued(demo, protected=True)["id"]
    assert demo.image.delete(f"/images/{key}").status_code == 403
    change(demo, key, {"op": "replace", "path": "/protected", "value": False})
    assert demo.image.delete(f"/images/{key}").status_code == 204
    for _ in range(2):
        assert demo.image.get(f"/images/{key}").status_code == 404
        assert demo.image.delete(f"/images/{key}").status_code == 404


def test_an_image_without_an_id_is_not_there(demo: Connection) -> None:
    assert demo.image.get("/images/").status_code == 404
    assert demo.image.delete("/images/").status_code == 404


def test_lists_are_filtered(demo: Connection) -> None:
    one, two, three = (f"{letter}-{new_hex_id()[:8]}" for letter in "abc")
    queued(demo, name=one, tags=["x"], colour="blue", container_format="ovf")
    queued(demo, name=two, tags=["x", "y"], min_ram=7)
    queued(demo, name=three, os_hidden=True, protected=True)
    mine = f"owner={demo.current_project_id}&sort=name:asc"
    assert names(demo, mine) == [one, two]
    assert names(demo, f"{mine}&tag=x&tag=y") == [two]
    assert names(demo, f"{mine}&colour=blue") == [one]
    assert names(demo, f"{mine}&name=in:{one},{two}") == [one, two]
    assert set(names(demo, f"{mine}&status=in:queued,active")) >= {one, two}
    assert names(demo, f"{mine}&container_format=ovf") == [one]
    assert names(demo, f"{mine}&min_ram=7") == [two]
    assert names(demo, f"{mine}&os_hidden=true") == [three]
    assert names(demo, f"{mine}&status=active") == []
    assert names(demo, f"{mine}&created_at=lt:2020-01-01T00:00:00Z") == []
    assert names(demo, f"{mine}&created_at=gt:2020-01-01T00:00:00Z") == [one, two]


def test_pages_follow_each_other_without_gap_or_repetition(demo: Connection) -> None:
    made = sorted(queued(demo, name=f"page-{n}", min_disk=n % 2)["name"] for n in range(5))
    address = f"/images?owner={demo.current_project_id}&limit=2&sort=min_disk:desc,name:asc"
    seen: list[str] = []
    while address:
        body = demo.image.get(address).json()
        assert body["schema"] == "/v2/schemas/images"
        seen += [image["name"] for image in body["images"]]
        address = body.get("next", "").removeprefix("/v2")
    assert seen == [made[1], made[3], made[0], made[2], made[4]]
    backwards = f"owner={demo.current_project_id}&sort_key=name&sort_dir=desc"
    assert names(demo, backwards) == made[::-1]


@pytest.mark.parametrize(
    "query",
    [
        "limit=-1",
        "limit=x",
        "marker=nothing",
        "sort_key=colour",
        "sort=name:up",
        "sort_key=name&sort_dir=asc&sort_dir=desc",
        "size_min=big",
        "visibility=secret",
        "member_status=maybe",
        "created_at=gt:yesterday",
        'name=in:"a',
    ],
)
def test_a_bad_query_is_refused(demo: Connection, query: str) -> None:
    assert demo.image.get(f"/images?{query}").status_code == 400


def test_tags_come_and_go(demo: Connection) -> None:
    key = queued(demo)["id"]
    demo.image.add_tag(key, "blue")
    assert demo.image.get_image(key).tags == ["blue"]
    demo.image.remove_tag(key, "blue")
    with pytest.raises(exceptions.NotFoundException):
        demo.image.remove_tag(key, "blue")


def test_schemas_and_versions_are_told(demo: Connection) -> None:
    for name in ("image", "images", "member", "members"):
        assert demo.image.get(f"/schemas/{name}").json()["name"] == name
    assert demo.image.get("/info/import").json()["import-methods"]["value"] == [
        "glance-direct",
        "web-download",
    ]
    root = demo.session.get(demo.session.get_endpoint(service_type="image") + "/")
    assert root.status_code == 300
    assert root.json()["versions"][0]["status"] == "CURRENT"
    listed = demo.session.get(demo.session.get_endpoint(service_type="image") + "/versions")
    assert (listed.status_code, listed.json()) == (200, root.json())


@pytest.mark.parametrize(
    ("accept", "media_type"),
    [
        ("application/json", "application/json"),
        ("*/*", "text/html; charset=utf-8"),
        ("text/html;q=0.5, application/json", "application/json"),
        ("application/json;q=0.5, */*", "text/html; charset=utf-8"),
        ("application/*;q=0.5, text/plain", "application/json"),
        ("", "text/html; charset=utf-8"),
        ("application/json;q=x", "text/html; charset=utf-8"),
    ],
)
def test_an_error_is_a_page_for_who_does_not_ask_for_json(
    demo: Connection, accept: str, media_type: str
) -> None:
    answer = demo.image.get("/images/<b>", headers={"Accept": accept})
    assert (answer.status_code, answer.headers["Content-Type"]) == (404, media_type)
    assert ("&lt;b&gt;" in answer.text) == ("html" in media_type)
    assert "404 Not Found" in answer.text
