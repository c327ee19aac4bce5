from __future__ import annotations

import httpx
import pytest
from openstack import exceptions
from openstack.connection import Connection
from openstack.image.v2.metadef_namespace import MetadefNamespace

from kumoi.base.ids import new_hex_id
from kumoi.cloud.domain.image import metadef_first
from kumoi.cloud.store.image import metadef as store
from kumoi.cloud.store.listing import Listing
from tests.running_cloud import RunningCloud

LIST = "/v2/metadefs/namespaces"


def make(admin: Connection, **given: object) -> MetadefNamespace:
    name = f"OS::Story::{new_hex_id()[:8]}"
    return admin.image.create_metadef_namespace(namespace=name, **given)


def test_a_namespace_is_shown_as_it_was_made(admin: Connection) -> None:
    made = make(
        admin,
        display_name="A story",
        description="Of a test",
        visibility="public",
        resource_type_associations=[{"name": "OS::Glance::Image", "prefix": "hw_"}],
    )
    shown = admin.image.get_metadef_namespace(made.namespace)
    assert (shown.display_name, shown.visibility, shown.is_protected) == (
        "A story",
        "public",
        False,
    )
    assert shown.owner == admin.current_project_id
    (associated,) = shown.resource_type_associations
    assert (associated["name"], associated["prefix"]) == ("OS::Glance::Image", "hw_")
    assert made.namespace in {one.namespace for one in admin.image.metadef_namespaces()}


def test_all_of_a_namespace_may_come_at_once_and_is_shown_with_its_prefix(
    admin: Connection,
) -> None:
    name = f"OS::Story::{new_hex_id()[:8]}"
    bus = {"title": "Bus", "type": "string", "enum": ["a", "b"], "minLength": 1, "default": "a"}
    body = {
        "namespace": name,
        "properties": {"bus": bus},
        "objects": [{"name": "disk", "required": ["bus"], "properties": {"bus": bus}}],
        "tags": [{"name": "fast"}],
        "resource_type_associations": [{"name": "OS::Glance::Image", "prefix": "hw_"}],
    }
    made = admin.image.post("/metadefs/namespaces", json=body)
    assert made.status_code == 201
    assert made.headers["Location"].endswith(f"{LIST}/{name}")
    assert made.json()["properties"] == {"bus": bus}
    shown = admin.image.get(f"/metadefs/namespaces/{name}?resource_type=OS::Glance::Image").json()
    assert shown["properties"] == {"hw_bus": bus}
    (disk,) = shown["objects"]
    assert (disk["properties"], disk["required"]) == ({"hw_bus": bus}, ["hw_bus"])
    assert shown["tags"] == [{"name": "fast"}]
    assert admin.image.delete(f"/metadefs/namespaces/{name}").status_code == 204
    assert admin.image.get(f"/metadefs/namespaces/{name}").status_code == 404


def test_projects_see_public_namespaces_and_change_none(
    admin: Connection, demo: Connection
) -> None:
    private, public = make(admin), make(admin, visibility="public")
    seen = {one.namespace for one in demo.image.metadef_namespaces()}
    assert public.namespace in seen
    assert private.namespace not in seen
    with pytest.raises(exceptions.NotFoundException):
        demo.image.get_metadef_namespace(private.namespace)
    with pytest.raises(exceptions.ForbiddenException):
        demo.image.create_metadef_namespace(namespace="OS::Story::Mine")
    with pytest.raises(exceptions.ForbiddenException):
        demo.image.delete_metadef_namespace(public.namespace, ignore_missing=False)


def test_a_protected_namespace_stays_and_an_update_leaves_what_it_does_not_name(
    admin: Connection,
) -> None:
    made = make(admin, is_protected=True, description="kept")
    with pytest.raises(exceptions.ForbiddenException):
        admin.image.delete_metadef_namespace(made.namespace, ignore_missing=False)
    path = f"/metadefs/namespaces/{made.namespace}"
    name = f"{made.namespace}-renamed"
    changed = admin.image.put(path, json={"namespace": name, "protected": False}).json()
    assert (changed["namespace"], changed["description"]) == (name, "kept")
    assert admin.image.delete(f"/metadefs/namespaces/{name}").status_code == 204


def test_a_name_is_taken_once(admin: Connection) -> None:
    first, second = make(admin), make(admin)
    with pytest.raises(exceptions.ConflictException):
        admin.image.create_metadef_namespace(namespace=first.namespace)
    path = f"/metadefs/namespaces/{second.namespace}"
    assert admin.image.put(path, json={"namespace": first.namespace}).status_code == 409


def test_namespaces_are_filtered_sorted_and_paged(admin: Connection) -> None:
    kind = f"OS::Story::{new_hex_id()[:8]}"
    names = [make(admin, resource_type_associations=[{"name": kind}]).namespace for _ in range(3)]
    query = f"/metadefs/namespaces?resource_types={kind}&sort_key=namespace&sort_dir=asc&limit=2"
    first = admin.image.get(query).json()
    assert [one["namespace"] for one in first["namespaces"]] == sorted(names)[:2]
    second = admin.image.get(first["next"].removeprefix("/v2")).json()
    assert [one["namespace"] for one in second["namespaces"]] == sorted(names)[2:]
    assert "next" not in second
    assert admin.image.get(f"{query}&visibility=public").json()["namespaces"] == []
    assert admin.image.get("/metadefs/namespaces?limit=0").json()["namespaces"] == []


@pytest.mark.parametrize(
    "query", ["visibility=shared", "sort_key=owner", "sort_dir=up", "limit=some", "marker=nowhere"]
)
def test_a_list_that_asks_for_nonsense_is_refused(admin: Connection, query: str) -> None:
    assert admin.image.get(f"/metadefs/namespaces?{query}").status_code in (400, 404)


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({}, 400),
        ({"namespace": "a" * 81}, 400),
        ({"namespace": "a", "visibility": "shared"}, 400),
        ({"namespace": "a", "colour": "blue"}, 400),
        ({"namespace": "a", "created_at": "2026-01-01T00:00:00Z"}, 403),
        ({"namespace": "a", "properties": {"b": {"title": "B"}}}, 400),
        ({"namespace": "a", "properties": {"b": {"title": "B", "type": "word"}}}, 400),
        (
            {
                "namespace": "a",
                "properties": {"b": {"title": "B", "type": "string", "pattern": "("}},
            },
            400,
        ),
    ],
)
def test_a_bad_namespace_is_refused(
    admin: Connection, body: dict[str, object], status: int
) -> None:
    assert admin.image.post("/metadefs/namespaces", json=body).status_code == status


def test_a_new_cloud_has_the_usual_definitions_once(cloud: RunningCloud, demo: Connection) -> None:
    with cloud.database.write() as connection:
        for row in store.page(connection, Listing(), owner=None, resource_types=[]):
            store.delete(connection, row.id)
    for _ in range(2):
        with cloud.database.write() as connection:
            metadef_first.ensure(connection, cloud.services.clock.now())
    names = sorted(one.namespace for one in demo.image.metadef_namespaces())
    assert names == sorted(metadef_first.NAMESPACES)
    shown = demo.image.get("/metadefs/namespaces/OS::Glance::CommonImageProperties").json()
    assert shown["properties"]["os_distro"]["type"] == "string"


def test_the_schemas_describe_what_is_shown(demo: Connection, http: httpx.Client) -> None:
    names = {
        "namespace": "namespace",
        "namespaces": "namespaces",
        "object": "object",
        "objects": "objects",
        "property": "property",
        "properties": "properties",
        "tag": "tag",
        "tags": "tags",
        "resource_type": "resource_type_association",
        "resource_types": "resource_type_associations",
    }
    for path, name in names.items():
        assert demo.image.get(f"/schemas/metadefs/{path}").json()["name"] == name
    assert demo.image.get("/schemas/metadefs/nothing").status_code == 404
