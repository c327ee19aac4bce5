from __future__ import annotations

import httpx
import pytest
from openstack import exceptions
from openstack.connection import Connection

from kumoi.base.ids import new_hex_id

pytestmark = pytest.mark.apis("compute")


def types(connection: Connection) -> dict[str, list[str]]:
    catalog = connection.identity.get("/auth/catalog").json()["catalog"]
    return {item["type"]: [place["url"] for place in item["endpoints"]] for item in catalog}


def test_a_service_shows_once_it_has_an_endpoint(admin: Connection, demo: Connection) -> None:
    type_ = f"story-{new_hex_id()[:8]}"
    service = admin.identity.create_service(name="s", type=type_, description="of a story")
    region = admin.identity.create_region(id=f"Region-{type_}")
    assert type_ not in types(demo)
    endpoint = admin.identity.create_endpoint(
        service_id=service.id,
        interface="public",
        url="http://192.0.2.1/$(project_id)s",
        region_id=region.id,
    )
    assert types(demo)[type_] == [f"http://192.0.2.1/{demo.current_project_id}"]
    admin.identity.update_endpoint(endpoint, is_enabled=False)
    assert type_ not in types(demo)
    admin.identity.delete_service(service)
    with pytest.raises(exceptions.NotFoundException):
        admin.identity.get_endpoint(endpoint.id)


def test_a_checked_token_shows_the_catalogue_as_it_is_now(
    admin: Connection, demo: Connection
) -> None:
    headers = {"X-Subject-Token": demo.auth_token}

    def shown() -> dict[str, str]:
        token = demo.identity.get("/auth/tokens", headers=headers).json()["token"]
        return {item["type"]: item["name"] for item in token["catalog"]}

    type_ = f"story-{new_hex_id()[:8]}"
    before = shown()
    service = admin.identity.create_service(name="first", type=type_)
    assert shown() == before
    admin.identity.create_endpoint(
        service_id=service.id, interface="public", url="http://192.0.2.1"
    )
    assert shown() == {**before, type_: "first"}
    admin.identity.update_service(service, name="second")
    assert shown() == {**before, type_: "second"}
    admin.identity.delete_service(service)
    assert shown() == before


def test_a_region_stays_while_an_endpoint_is_in_it(admin: Connection, demo: Connection) -> None:
    name = f"region-{new_hex_id()[:8]}"
    region = admin.identity.create_region(id=name, description="of a story")
    below = admin.identity.create_region(parent_region_id=name)
    assert admin.identity.update_region(below, description="below").description == "below"
    nameless = admin.identity.create_region(id=f"{name}-nameless", description=None)
    assert nameless.description == ""
    admin.identity.delete_region(nameless)
    assert {region.id, below.id} <= {item.id for item in demo.identity.regions()}
    assert [item.id for item in demo.identity.regions(parent_region_id=name)] == [below.id]
    with pytest.raises(exceptions.ForbiddenException):
        admin.identity.delete_region(region)
    admin.identity.delete_region(below)
    service = admin.identity.create_service(name="s", type=name)
    body = {"service_id": service.id, "interface": "public", "url": "http://192.0.2.1"}
    answer = admin.identity.post("/endpoints", json={"endpoint": {**body, "region_id": "None"}})
    assert answer.status_code == 400
    admin.identity.create_endpoint(**body, region_id=name)
    with pytest.raises(exceptions.ForbiddenException):
        admin.identity.delete_region(region)
    admin.identity.delete_service(service)
    admin.identity.delete_region(region)
    with pytest.raises(exceptions.NotFoundException):
        admin.identity.get_region(name)


def test_an_older_client_makes_the_region_with_its_endpoint(admin: Connection) -> None:
    name = f"region-{new_hex_id()[:8]}"
    service = admin.identity.create_service(name="s", type=name)
    body = {"service_id": service.id, "interface": "public", "url": "http://192.0.2.1"}
    answer = admin.identity.post("/endpoints", json={"endpoint": {**body, "region": name}})
    assert answer.json()["endpoint"]["region_id"] == name
    assert admin.identity.get_region(name).id == name
    again = admin.identity.post("/regions", json={"region": {"id": name}})
    assert again.status_code == 409
    renamed = admin.identity.put(f"/regions/{name}-2", json={"region": {"id": name}})
    assert renamed.status_code == 400
    assert admin.identity.put(f"/regions/{name}-2", json={"region": {}}).status_code == 201


def test_the_clouds_own_services_are_there(admin: Connection) -> None:
    found = {service.type: service.name for service in admin.identity.services()}
    assert (
        found.items()
        >= {
            "identity": "keystone",
            "image": "glance",
            "network": "neutron",
            "compute": "nova",
        }.items()
    )
    (public,) = admin.identity.endpoints(
        service_id=admin.identity.find_service("nova").id, interface="public"
    )
    assert public.url.endswith("/compute/v2.1")
    assert public.region_id == "RegionOne"


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"endpoint": {"interface": "public", "url": "http://x"}}, "service_id"),
        (
            {"endpoint": {"service_id": "nothing", "interface": "public", "url": "http://x"}},
            "nothing",
        ),
        ({"endpoint": {"service_id": "a", "interface": "secret", "url": "http://x"}}, "interface"),
        ({"endpoint": {"service_id": "a", "interface": "public", "url": "x"}}, "url"),
    ],
)
def test_a_bad_endpoint_is_refused_by_the_field_that_is_wrong(
    admin: Connection, body: dict[str, object], field: str
) -> None:
    answer = admin.identity.post("/endpoints", json=body)
    assert answer.status_code == 400
    assert field in answer.json()["error"]["message"]


def test_the_catalogue_is_managed_by_administrators(demo: Connection) -> None:
    assert demo.identity.post("/services", json={"service": {"type": "x"}}).status_code == 403
    assert demo.identity.get("/endpoints").status_code == 403


def test_services_and_endpoints_are_changed(admin: Connection) -> None:
    service = admin.identity.create_service(name="before", type=f"story-{new_hex_id()[:8]}")
    admin.identity.update_service(service, name="after", is_enabled=False)
    shown = admin.identity.get_service(service.id)
    assert (shown.name, shown.is_enabled) == ("after", False)
    endpoint = admin.identity.create_endpoint(
        service_id=service.id, interface="public", url="http://192.0.2.1"
    )
    admin.identity.update_endpoint(endpoint, url="http://192.0.2.2", region_id="RegionOne")
    changed = admin.identity.get_endpoint(endpoint.id)
    assert (changed.url, changed.region_id) == ("http://192.0.2.2", "RegionOne")
    with pytest.raises(exceptions.BadRequestException, match="nothing"):
        admin.identity.update_endpoint(endpoint, service_id="nothing")
    admin.identity.delete_endpoint(endpoint)
    with pytest.raises(exceptions.NotFoundException):
        admin.identity.get_endpoint(endpoint.id)
    with pytest.raises(exceptions.NotFoundException):
        admin.identity.get_region("Nowhere")


def test_a_token_without_a_scope_has_no_catalogue(demo: Connection, http: httpx.Client) -> None:
    identity = {"methods": ["token"], "token": {"id": demo.auth_token}}
    auth = {"identity": identity, "scope": {"unscoped": {}}}
    answer = http.post("/identity/v3/auth/tokens", json={"auth": auth})
    headers = {"X-Auth-Token": answer.headers["X-Subject-Token"]}
    assert http.get("/identity/v3/auth/catalog", headers=headers).status_code == 403
    listed = http.get("/identity/v3/auth/projects", headers=headers).json()["projects"]
    assert [item["id"] for item in listed] == [demo.current_project_id]


def test_a_region_is_not_below_itself(admin: Connection) -> None:
    name = f"region-{new_hex_id()[:8]}"
    admin.identity.create_region(id=name)
    below = admin.identity.create_region(id=f"{name}-below", parent_region_id=name)
    for parent in (name, below.id):
        with pytest.raises(exceptions.BadRequestException, match="circular"):
            admin.identity.update_region(name, parent_region_id=parent)
    admin.identity.delete_region(below)
    admin.identity.delete_region(name)


def test_who_has_a_role_on_no_domain_is_told_of_none(demo: Connection) -> None:
    assert demo.identity.get("/auth/domains").json()["domains"] == []
