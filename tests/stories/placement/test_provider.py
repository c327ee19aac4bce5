"""Placement: hosts are providers of what they have."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest
from openstack import exceptions
from openstack.connection import Connection

from kumoi.base import process
from kumoi.base.ids import new_id
from tests.plain_http import PLAIN
from tests.running_cloud import RunningCloud
from tests.stories.placement.conftest import LATEST, Get

OPENSTACK = Path(sys.executable).parent / "openstack"
COMMAND_TIMEOUT_S = 60


def test_its_versions_are_told_to_everybody(cloud: RunningCloud, tenant: Connection) -> None:
    (shown,) = httpx.get(f"{cloud.url}/placement/", verify=PLAIN).json()["versions"]
    assert (shown["min_version"], shown["max_version"]) == ("1.0", LATEST)
    refused = tenant.placement.get("/resource_providers", microversion="1.39")
    (error,) = refused.json()["errors"]
    assert (refused.status_code, error["status"], error["title"]) == (403, 403, "Forbidden")


def test_a_host_is_a_provider_of_what_it_has(admin: Connection, get: Get, provider_id: str) -> None:
    has = {
        row.resource_class: row
        for row in admin.placement.resource_provider_inventories(provider_id)
    }
    assert {name: (row.total, row.reserved, row.allocation_ratio) for name, row in has.items()} == {
        "VCPU": (8, 0, 2.0),
        "MEMORY_MB": (9_216, 1_024, 1.0),
        "DISK_GB": (100, 0, 1.0),
    }
    path = f"/resource_providers/{provider_id}"
    assert get(f"{path}/inventories/VCPU")["max_unit"] == 16
    get(f"{path}/inventories/PCI_DEVICE", status=404)
    get(f"/resource_providers/{new_id()}", status=404)
    assert get(path)["root_provider_uuid"] == provider_id
    assert "root_provider_uuid" not in get(path, "1.13")
    links = {link["rel"]: link["href"] for link in get(path, "1.0")["links"]}
    assert links == {
        "self": f"/placement{path}",
        "inventories": f"/placement{path}/inventories",
        "usages": f"/placement{path}/usages",
    }
    traits = get(f"{path}/traits")["traits"]
    assert {"COMPUTE_NODE", "COMPUTE_IMAGE_TYPE_RAW", "CUSTOM_IMAGE_TYPE_ROOT_TAR"} <= set(traits)
    assert "CUSTOM_CAPABILITY_PAUSE" in traits


@pytest.mark.parametrize(
    ("path", "version"),
    [
        ("/resource_providers?colour=red", LATEST),
        ("/resource_providers?resources=VCPU:1", "1.3"),
    ],
)
def test_what_makes_no_sense_is_refused(get: Get, path: str, version: str) -> None:
    get(path, version, status=400)


def test_a_disabled_host_says_so(admin: Connection, get: Get, provider_id: str) -> None:
    service = next(item for item in admin.compute.services() if item.host == "host1")
    admin.compute.disable_service(service)
    path = "/resource_providers?required=COMPUTE_STATUS_DISABLED"
    assert [row["uuid"] for row in get(path)["resource_providers"]] == [provider_id]
    admin.compute.enable_service(service)
    assert get(path)["resource_providers"] == []


def test_nothing_is_changed_here(admin: Connection, provider_id: str) -> None:
    path = f"/resource_providers/{provider_id}"
    for answer in (
        admin.placement.post("/resource_providers", json={"name": "mine"}, microversion=LATEST),
        admin.placement.put(f"{path}/inventories", json={}, microversion=LATEST),
        admin.placement.delete(path, microversion=LATEST),
        admin.placement.put(f"/allocations/{new_id()}", json={}, microversion=LATEST),
    ):
        assert answer.status_code == 405
    with pytest.raises(exceptions.HttpException):
        admin.placement.create_trait("CUSTOM_MAGIC")


def test_the_command_line_that_people_have_shows_it(
    admin: Connection, provider_id: str, server: Any
) -> None:
    auth = {
        "OS_AUTH_TYPE": "token",
        "OS_AUTH_URL": str(admin.config.auth["auth_url"]),
        "OS_TOKEN": admin.auth_token,
        "OS_PROJECT_ID": str(admin.current_project_id),
        "OS_IDENTITY_API_VERSION": "3",
        "OS_PLACEMENT_API_VERSION": LATEST,
        "PATH": "/usr/bin:/bin",
    }

    def command(*words: str) -> Any:
        done = process.run([OPENSTACK, *words, "-f", "json"], env=auth, timeout_s=COMMAND_TIMEOUT_S)
        return json.loads(done.out)

    assert provider_id in [row["uuid"] for row in command("resource", "provider", "list")]
    has = command("resource", "provider", "inventory", "list", provider_id)
    assert {row["resource_class"]: row["total"] for row in has}["VCPU"] == 8
    used = command("resource", "provider", "usage", "show", provider_id)
    assert {row["resource_class"]: row["usage"] for row in used}["VCPU"] == 2
    found = command("allocation", "candidate", "list", "--resource", "VCPU=1")
    assert [row["resource provider"] for row in found] == [provider_id]
