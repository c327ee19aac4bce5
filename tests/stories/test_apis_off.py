"""A cloud without some of its APIs: what clients see of them, and that all is there again afterwards."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

import httpx
import pytest
from openstack.connection import Connection
from openstack.exceptions import NotFoundException

from kumoi.base.ids import new_hex_id
from kumoi.cli import env_check
from kumoi.cloud.store.identity import endpoint as endpoints
from kumoi.cloud.store.identity import service as services
from kumoi.pipeline import build
from kumoi.pipeline.environment import parse
from kumoi.pipeline.openstack_cloud import OpenStack
from tests.running_cloud import ADMIN_PASSWORD, RunningCloud, running_cloud

FILE = """
servers:
  web: {image: debian-12, flavor: small}
load_balancers:
  front:
    listeners:
      - {protocol: HTTP, port: 80, on: web, member_port: 8080}
"""
OFF = ("network", "compute", "load-balancer", "key-manager", "placement")
THERE = {"identity", "image"}


@pytest.fixture(scope="module")
def apis() -> Collection[str]:
    return THERE


def test_a_token_names_what_is_there_alone(demo: Connection) -> None:
    token = {"X-Subject-Token": demo.auth_token}
    shown = demo.identity.get("/auth/tokens", headers=token).json()["token"]["catalog"]
    assert {each["type"] for each in shown} == THERE
    listed = demo.identity.get("/auth/catalog").json()["catalog"]
    assert listed == shown
    assert demo.has_service("image")
    assert not demo.has_service("compute")


def test_an_administrator_sees_the_services_and_endpoints_that_are_there(
    cloud: RunningCloud, admin: Connection
) -> None:
    assert {each.type for each in admin.identity.services()} == THERE
    urls = {each.url for each in admin.identity.endpoints()}
    assert urls == {f"{cloud.url}/identity", f"{cloud.url}/image"}
    assert list(admin.identity.services(type="compute")) == []


@pytest.mark.parametrize("api", OFF)
def test_what_is_off_is_not_found_as_what_never_was(
    http: httpx.Client, admin: Connection, api: str
) -> None:
    headers = {"X-Auth-Token": admin.auth_token}
    for method, path in (("GET", "/"), ("GET", "/v2.0/networks"), ("POST", "/v2.1/servers")):
        answer = http.request(method, f"/{api}{path}", headers=headers)
        unknown = http.request(method, f"/nowhere{path}", headers=headers)
        assert (answer.status_code, unknown.status_code) == (404, 404)
        assert answer.text.replace(f"/{api}/", "/nowhere/") == unknown.text
        assert answer.headers["X-Openstack-Request-Id"]


def test_what_is_off_is_no_service_by_its_id_either(cloud: RunningCloud, admin: Connection) -> None:
    with cloud.database.read() as connection:
        (nova,) = services.of_type(connection, "compute")
        rows = [row for row in endpoints.enabled(connection) if row.service_id == nova.id]
    assert len(rows) == 3
    for noun, key in (("service", nova.id), ("endpoint", rows[0].id)):
        path = f"/{noun}s/{key}"
        assert admin.identity.get(path).status_code == 404
        assert admin.identity.patch(path, json={noun: {"enabled": False}}).status_code == 404
        assert admin.identity.delete(path).status_code == 404
    with cloud.database.read() as connection:
        assert services.of_type(connection, "compute") == [nova]


def test_somebody_elses_api_may_be_there_instead(admin: Connection, demo: Connection) -> None:
    made = admin.identity.create_service(name="volumes elsewhere", type="compute")
    admin.identity.create_endpoint(
        service_id=made.id, interface="public", url="https://192.0.2.1/compute/v2.1"
    )
    listed = demo.identity.get("/auth/catalog").json()["catalog"]
    (entry,) = [each for each in listed if each["type"] == "compute"]
    assert [each["url"] for each in entry["endpoints"]] == ["https://192.0.2.1/compute/v2.1"]
    assert [each.id for each in admin.identity.services(type="compute")] == [made.id]
    admin.identity.delete_service(made)
    with pytest.raises(NotFoundException):
        admin.identity.get_service(made.id)


def test_a_project_is_not_held_to_an_endpoint_that_is_off(
    cloud: RunningCloud, admin: Connection, demo: Connection
) -> None:
    with cloud.database.read() as connection:
        (glance,) = services.of_type(connection, "image")
        (nova,) = services.of_type(connection, "compute")
        public = [row for row in endpoints.enabled(connection) if row.interface == "public"]
    project = demo.current_project_id
    for row in public:
        if row.service_id in {glance.id, nova.id}:
            path = f"/OS-EP-FILTER/projects/{project}/endpoints/{row.id}"
            assert admin.identity.put(path).status_code == 204
    held = admin.identity.get(f"/OS-EP-FILTER/projects/{project}/endpoints").json()["endpoints"]
    assert [each["service_id"] for each in held] == [glance.id]
    listed = demo.identity.get("/auth/catalog").json()["catalog"]
    assert [each["type"] for each in listed] == ["image"]
    group = {"name": new_hex_id(), "filters": {"service_id": nova.id}}
    made = admin.identity.post("/OS-EP-FILTER/endpoint_groups", json={"endpoint_group": group})
    path = f"/OS-EP-FILTER/endpoint_groups/{made.json()['endpoint_group']['id']}/endpoints"
    assert admin.identity.get(path).json()["endpoints"] == []


def test_a_pipeline_that_uses_such_a_cloud_is_told_all_that_it_lacks(
    cloud: RunningCloud, demo: Connection
) -> None:
    wanted = parse(FILE).base
    theirs = OpenStack(demo, cloud.config.region)
    _, faults = build.survey(theirs, wanted)
    lacks = ["the cloud offers no compute", "the cloud offers no network"]
    assert faults == [*lacks, "the cloud offers no load balancers (load_balancers.front)"]
    found = [*env_check.of_cloud(theirs, wanted, faults, {"servers": 1})]
    assert [each.faults for each in found] == [
        (*lacks, "the cloud offers no load-balancer"),
        ("the cloud offers no load balancers (load_balancers.front)",),
        (),
    ]


def rows_of(connection: Connection) -> list[tuple[Any, ...]]:
    found: list[tuple[Any, ...]] = [
        (each.id, each.name, each.is_enabled) for each in connection.identity.services()
    ]
    found += [
        (each.id, each.service_id, each.interface, each.is_enabled, each.region_id)
        for each in connection.identity.endpoints()
    ]
    return sorted(found, key=str)


def connect(cloud: RunningCloud) -> Connection:
    return cloud.connect("admin", ADMIN_PASSWORD, "admin")


def test_what_is_put_back_is_as_it_was_with_an_administrators_changes(
    store_url: str, tmp_path: Path
) -> None:
    with running_cloud(tmp_path, store_url) as cloud, connect(cloud) as admin:
        network = admin.network.create_network(name="private")
        nova = admin.identity.find_service("nova")
        admin.identity.update_service(nova, name="servers")
        (internal,) = admin.identity.endpoints(service_id=nova.id, interface="internal")
        admin.identity.update_endpoint(internal, is_enabled=False)
        before = rows_of(admin)
    with running_cloud(tmp_path, store_url, {"identity"}) as cloud, connect(cloud) as admin:
        assert {each.type for each in admin.identity.services()} == {"identity"}
        assert len(list(admin.identity.endpoints())) == 3
    with running_cloud(tmp_path, store_url) as cloud, connect(cloud) as admin:
        assert rows_of(admin) == before
        assert [each.id for each in admin.network.networks()] == [network.id]
