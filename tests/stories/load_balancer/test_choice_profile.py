"""Profiles of flavors and availability zones: what choosing means."""

from __future__ import annotations

import json
from typing import Any

import pytest
from openstack import exceptions
from openstack.connection import Connection

from tests.stories.load_balancer.conftest import Raw

PATHS = {
    "flavorprofile": "lbaas/flavorprofiles",
    "availability_zone_profile": "lbaas/availabilityzoneprofiles",
}


def made(raw: Raw, word: str, data: Any, provider: str = "kumoi") -> tuple[int, dict[str, Any]]:
    kind = word.removesuffix("profile").removesuffix("_")
    said = {"name": "x", "provider_name": provider, f"{kind}_data": data}
    answer = raw("POST", PATHS[word], {word: said})
    return answer.status_code, answer.json()


def test_what_no_balancer_here_can_have_is_refused(raw_admin: Raw) -> None:
    for word, data, wanted in (
        ("flavorprofile", "{}", 201),
        ("flavorprofile", json.dumps({"loadbalancer_topology": "SINGLE"}), 201),
        ("flavorprofile", json.dumps({"loadbalancer_topology": "TRIPLE"}), 400),
        ("flavorprofile", json.dumps({"compute_flavor": "x"}), 501),
        ("flavorprofile", "no JSON", 400),
        ("flavorprofile", "[" * 1_000, 400),
        ("availability_zone_profile", json.dumps({"compute_zone": "nova"}), 201),
        ("availability_zone_profile", json.dumps({"compute_zone": "mars"}), 400),
        ("availability_zone_profile", json.dumps({"management_network": "x"}), 201),
    ):
        assert made(raw_admin, word, data)[0] == wanted, (word, data)
    assert made(raw_admin, "flavorprofile", "{}", provider="amphora")[0] == 400


def test_one_is_changed_and_deleted_until_something_is_chosen_by_it(
    admin: Connection, raw_admin: Raw
) -> None:
    balancing = admin.load_balancer
    profile = balancing.create_flavor_profile(name="a", provider_name="kumoi", flavor_data="{}")
    data = '{"loadbalancer_topology": "SINGLE"}'
    changed = balancing.update_flavor_profile(profile, name="b", flavor_data=data)
    assert (changed.name, changed.flavor_data) == ("b", data)
    shown = balancing.get_flavor_profile(profile.id)
    assert (shown.name, shown.provider_name, shown.flavor_data) == ("b", "kumoi", data)
    assert [one.name for one in balancing.flavor_profiles(name="b")] == ["b"]
    flavor = balancing.create_flavor(name="small", flavor_profile_id=profile.id)
    assert balancing.update_flavor_profile(profile, name="c").name == "c"
    path = f"{PATHS['flavorprofile']}/{profile.id}"
    assert raw_admin.fault("PUT", path, {"flavorprofile": {"flavor_data": "{}"}})[0] == 409
    assert raw_admin.fault("DELETE", path)[0] == 409
    balancing.delete_flavor(flavor)
    balancing.delete_flavor_profile(profile.id)
    with pytest.raises(exceptions.NotFoundException):
        balancing.get_flavor_profile(profile.id)


def test_a_zones_profile_is_no_flavors(raw_admin: Raw) -> None:
    _, zone = made(raw_admin, "availability_zone_profile", "{}")
    key = zone["availability_zone_profile"]["id"]
    assert raw_admin.fault("GET", f"{PATHS['flavorprofile']}/{key}")[0] == 404
    path = f"{PATHS['availability_zone_profile']}/{key}"
    shown = raw_admin("GET", path).json()["availability_zone_profile"]
    assert shown == {
        "id": key,
        "name": "x",
        "provider_name": "kumoi",
        "availability_zone_data": "{}",
    }
    body = {"availability_zone_profile": {"provider_name": "amphora"}}
    assert raw_admin.fault("PUT", path, body)[0] == 400
    data = json.dumps({"compute_zone": "nova"})
    body = {"availability_zone_profile": {"name": "y", "availability_zone_data": data}}
    shown |= {"name": "y", "availability_zone_data": data}
    assert raw_admin("PUT", path, body).json() == {"availability_zone_profile": shown}
    assert raw_admin("GET", path).json() == {"availability_zone_profile": shown}
    (listed,) = raw_admin("GET", PATHS["availability_zone_profile"]).json().values()
    assert shown in listed
    assert raw_admin("DELETE", path).status_code == 204
