"""The catalogue of a project is held to the endpoints, and groups of them, that it was given."""

from __future__ import annotations

import pytest
from openstack.connection import Connection

from kumoi.base.ids import new_hex_id
from tests.running_cloud import RunningCloud

pytestmark = pytest.mark.apis("compute")

BASE = "/OS-EP-FILTER"


def types(cloud: RunningCloud, demo: Connection) -> list[str]:
    """The services in the catalogue of a new token."""
    me = demo.identity.get_user(demo.current_user_id).name
    project = demo.identity.get_project(demo.current_project_id).name
    with cloud.connect(me, me, project) as again:
        access = again.session.auth.get_access(again.session)
        return sorted(entry["type"] for entry in access.service_catalog.catalog)


@pytest.fixture
def endpoint(admin: Connection) -> str:
    image = admin.identity.find_service("glance", ignore_missing=False)
    (found,) = admin.identity.endpoints(service_id=image.id, interface="public")
    return str(found.id)


def test_an_endpoint_of_a_project_is_all_that_its_catalogue_has(
    cloud: RunningCloud, admin: Connection, demo: Connection, endpoint: str
) -> None:
    everything = types(cloud, demo)
    assert len(everything) > 1
    project = f"{BASE}/projects/{demo.current_project_id}/endpoints"
    assert admin.identity.get(project).json()["endpoints"] == []
    assert admin.identity.get(f"{project}/{endpoint}").status_code == 404
    assert admin.identity.put(f"{project}/{endpoint}").status_code == 204
    assert admin.identity.put(f"{project}/{endpoint}").status_code == 204
    assert admin.identity.get(f"{project}/{endpoint}").status_code == 204
    assert [one["id"] for one in admin.identity.get(project).json()["endpoints"]] == [endpoint]
    assert types(cloud, demo) == ["image"]
    listed = admin.identity.get(f"{BASE}/endpoints/{endpoint}/projects").json()["projects"]
    assert [one["id"] for one in listed] == [demo.current_project_id]
    assert admin.identity.delete(f"{project}/{endpoint}").status_code == 204
    assert admin.identity.delete(f"{project}/{endpoint}").status_code == 404
    assert types(cloud, demo) == everything


def test_a_group_brings_all_of_its_endpoints(
    cloud: RunningCloud, admin: Connection, demo: Connection
) -> None:
    compute = admin.identity.find_service("nova", ignore_missing=False)
    body = {"name": f"g-{new_hex_id()[:8]}", "filters": {"service_id": compute.id}}
    made = admin.identity.post(f"{BASE}/endpoint_groups", json={"endpoint_group": body}).json()
    group = f"{BASE}/endpoint_groups/{made['endpoint_group']['id']}"
    path = f"{group}/projects/{demo.current_project_id}"
    assert admin.identity.put(path).status_code == 204
    assert admin.identity.get(path).json() == made
    assert types(cloud, demo) == ["compute"]
    listed = admin.identity.get(f"{group}/projects").json()["projects"]
    assert [one["id"] for one in listed] == [demo.current_project_id]
    own = f"{BASE}/projects/{demo.current_project_id}/endpoint_groups"
    assert admin.identity.get(own).json()["endpoint_groups"] == [made["endpoint_group"]]
    assert admin.identity.delete(path).status_code == 204
    assert len(types(cloud, demo)) > 1
    assert admin.identity.put(path).status_code == 204
    assert admin.identity.delete(group).status_code == 204
    assert len(types(cloud, demo)) > 1


def test_who_and_what_must_exist(admin: Connection, demo: Connection, endpoint: str) -> None:
    for path in (
        f"projects/nothing/endpoints/{endpoint}",
        f"projects/{demo.current_project_id}/endpoints/nothing",
        f"endpoint_groups/nothing/projects/{demo.current_project_id}",
    ):
        assert admin.identity.put(f"{BASE}/{path}").status_code == 404
    for path in ("projects/nothing/endpoints", "endpoints/nothing/projects"):
        assert admin.identity.get(f"{BASE}/{path}").status_code == 404
    assert (
        demo.identity.get(f"{BASE}/projects/{demo.current_project_id}/endpoints").status_code == 403
    )
