"""What tools of older versions of the compute API still ask of it: versions, extensions, and until
2.35 images and security groups.
"""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from openstack.connection import Connection
from tests.running_cloud import RunningCloud
from tests.stories.compute.conftest import Workbench
from tests.tarball import tarball

from kumoi.base.ids import new_hex_id, new_id

LAST, GONE = "2.35", "2.36"
GROUPS = "/os-security-groups"


def group_of(tenant: Connection) -> dict[str, Any]:
    body = {"security_group": {"name": f"web-{new_hex_id()[:6]}", "description": "old"}}
    answer = tenant.compute.post(GROUPS, json=body, microversion=LAST)
    assert answer.status_code == 200, answer.text
    made: dict[str, Any] = answer.json()["security_group"]
    return made


def test_versions_are_told_to_everybody_and_lead_to_one_place(
    cloud: RunningCloud, http: httpx.Client
) -> None:
    oldest, newest = http.get("/compute/").json()["versions"]
    assert (oldest["id"], oldest["version"]) == ("v2.0", "")
    assert (newest["id"], newest["version"], newest["min_version"]) == ("v2.1", "2.96", "2.1")
    place = [{"rel": "self", "href": f"{cloud.url}/compute/v2.1/"}]
    assert oldest["links"] == newest["links"] == place
    shown = http.get("/compute/v2.1/").json()["version"]
    assert (shown["id"], shown["links"]) == ("v2.1", place)


def test_a_client_that_starts_at_the_root_finds_the_newest(
    cloud: RunningCloud, tenant: Connection
) -> None:
    found = tenant.session.get_endpoint_data(
        endpoint_override=f"{cloud.url}/compute", min_version="2", max_version="2.latest"
    )
    assert found is not None
    assert (found.url, found.api_version) == (f"{cloud.url}/compute/v2.1/", (2, 1))
    assert found.max_microversion == (2, 96)


def test_extensions_are_listed_and_shown(tenant: Connection) -> None:
    aliases = {extension.alias for extension in tenant.compute.extensions()}
    assert {"os-keypairs", "os-server-groups", "os-hosts", "os-shelve"} <= aliases
    assert tenant.compute.find_extension("os-keypairs").name == "Keypairs"
    assert tenant.compute.get("/extensions/os-unicorns").status_code == 404


def test_an_image_is_made_waited_for_and_deleted(
    bench: Workbench, demo: Connection, neighbour: Connection
) -> None:
    made = bench.active()
    action = {"createImage": {"name": "golden", "metadata": {"release": "7"}}}
    asked = demo.compute.post(f"/servers/{made.id}/action", json=action, microversion=LAST)
    place = asked.headers["Location"]
    assert demo.session.get(place).json()["name"] == "golden"
    path = f"/images/{place.rpartition('/')[2]}"

    def shown() -> dict[str, Any]:
        image: dict[str, Any] = demo.compute.get(path, microversion=LAST).json()["image"]
        return image

    assert (shown()["status"], shown()["OS-EXT-IMG-SIZE:size"]) == ("SAVING", None)
    bench.host_says("PUT", f"images/{shown()['id']}", tarball())
    ready = shown()
    assert (ready["name"], ready["status"], ready["progress"]) == ("golden", "ACTIVE", 100)
    assert (ready["server"]["id"], ready["metadata"]["release"]) == (made.id, "7")
    assert ready["minDisk"] == 5
    assert ready["OS-EXT-IMG-SIZE:size"] == len(tarball())
    assert demo.compute.get(path, microversion=GONE).status_code == 404
    assert neighbour.compute.get(path, microversion=LAST).status_code == 404
    assert neighbour.compute.delete(path, microversion=LAST).status_code == 404
    assert demo.compute.delete(path, microversion=LAST).status_code == 204
    assert demo.compute.get(path, microversion=LAST).status_code == 404
    assert demo.image.get(f"/images/{ready['id']}").status_code == 404


def test_another_tenants_public_image_is_shown_and_stays(tenant: Connection, image_id: str) -> None:
    path = f"/images/{image_id}"
    assert tenant.compute.get(path, microversion=LAST).json()["image"]["status"] == "ACTIVE"
    assert tenant.compute.delete(path, microversion=LAST).status_code == 403
    assert tenant.image.get_image(image_id).status == "active"


def test_a_security_group_is_made_changed_and_deleted(tenant: Connection) -> None:
    made = group_of(tenant)
    assert (made["tenant_id"], made["rules"]) == (tenant.current_project_id, [])
    path = f"{GROUPS}/{made['id']}"
    assert tenant.compute.get(path, microversion=LAST).json() == {"security_group": made}
    body = {"security_group": {"name": f"{made['name']}-2", "description": "new"}}
    changed = tenant.compute.put(path, json=body, microversion=LAST).json()["security_group"]
    assert changed == made | body["security_group"]
    listed = tenant.compute.get(GROUPS, microversion=LAST).json()["security_groups"]
    assert {"default", changed["name"]} <= {item["name"] for item in listed}
    assert tenant.compute.delete(path, microversion=LAST).status_code == 202
    assert tenant.network.find_security_group(made["id"]) is None


def test_a_security_group_shows_the_rules_for_what_comes_in(tenant: Connection) -> None:
    made = group_of(tenant)
    tenant.network.create_security_group_rule(
        security_group_id=made["id"],
        direction="ingress",
        protocol="tcp",
        port_range_min=22,
        port_range_max=23,
        remote_ip_prefix="10.0.0.0/8",
    )
    tenant.network.create_security_group_rule(
        security_group_id=made["id"], direction="ingress", remote_group_id=made["id"]
    )
    shown = tenant.compute.get(f"{GROUPS}/{made['id']}", microversion=LAST).json()
    rules = shown["security_group"]["rules"]
    assert [(rule["ip_protocol"], rule["from_port"], rule["to_port"]) for rule in rules] == [
        ("tcp", 22, 23),
        (None, -1, -1),
    ]
    assert (rules[0]["ip_range"], rules[0]["group"]) == ({"cidr": "10.0.0.0/8"}, {})
    own = {"name": made["name"], "tenant_id": tenant.current_project_id}
    assert (rules[1]["ip_range"], rules[1]["group"]) == ({}, own)


def test_a_security_group_in_use_and_the_default_one_stay(
    bench: Workbench, demo: Connection
) -> None:
    used = group_of(demo)
    bench.server(security_groups=[{"name": used["name"]}])
    default = demo.network.find_security_group("default")
    for key in (used["id"], default.id):
        answer = demo.compute.delete(f"{GROUPS}/{key}", microversion=LAST)
        assert answer.status_code == 400
        assert demo.network.get_security_group(key).id == key


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
def test_a_security_group_that_is_anothers_or_none_does_not_exist(
    tenant: Connection, neighbour: Connection, method: str
) -> None:
    body = {"security_group": {"name": "x", "description": ""}} if method == "PUT" else None
    made = group_of(tenant)
    for key, status in ((made["id"], 404), (new_id(), 404), ("seven", 400)):
        path = f"{GROUPS}/{key}"
        answer = neighbour.compute.request(path, method, json=body, microversion=LAST)
        assert answer.status_code == status
    found = tenant.compute.request(f"{GROUPS}/{made['id']}", method, json=body, microversion=GONE)
    assert found.status_code == 404
    assert tenant.network.get_security_group(made["id"]).name == made["name"]


def test_an_administrator_is_listed_the_security_groups_of_all_tenants(
    tenant: Connection, admin: Connection
) -> None:
    key = group_of(tenant)["id"]

    def listed(who: Connection, query: str = "") -> list[str]:
        answer = who.compute.get(f"{GROUPS}{query}", microversion=LAST)
        return [group["id"] for group in answer.json()["security_groups"]]

    assert key not in listed(admin)
    everything = listed(admin, "?all_tenants=true")
    assert key in everything
    assert listed(admin, "?all_tenants=1&offset=1&limit=1") == everything[1:2]
    assert listed(tenant, "?all_tenants=1") == listed(tenant)
