"""Flavors and availability zones: administrators make them, and whoever makes a balancer chooses."""

from __future__ import annotations

from typing import Any

import pytest
from openstack import exceptions
from openstack.connection import Connection

from kumoi.cloud.reconcilers.load_balancer import StationReconciler
from kumoi.cloud.store.load_balancer import station as station_store
from tests.running_cloud import RunningCloud
from tests.stories.load_balancer.conftest import Raw
from tests.stories.load_balancer.hosting import serving

TOPOLOGY = '{"loadbalancer_topology": "%s"}'


def flavor(admin: Connection, name: str, topology: str = "SINGLE", **said: Any) -> Any:
    balancing = admin.load_balancer
    profile = balancing.create_flavor_profile(
        name=topology, provider_name="kumoi", flavor_data=TOPOLOGY % topology
    )
    return balancing.create_flavor(name=name, flavor_profile_id=profile.id, **said)


@pytest.mark.parametrize(("topology", "wanted"), [("SINGLE", 1), ("ACTIVE_STANDBY", 2)])
def test_a_flavor_says_on_how_many_hosts_a_balancer_has_a_place(  # noqa: PLR0917
    cloud: RunningCloud,
    admin: Connection,
    demo: Connection,
    subnet: Any,
    topology: str,
    wanted: int,
) -> None:
    host = serving(cloud)
    host.name = "host2"
    host.register()
    chosen = flavor(admin, topology, topology)
    balancer = demo.load_balancer.create_load_balancer(vip_subnet_id=subnet.id, flavor_id=chosen.id)
    assert demo.load_balancer.get_load_balancer(balancer.id).flavor_id == chosen.id
    demo.load_balancer.create_listener(
        load_balancer_id=balancer.id, protocol="HTTP", protocol_port=80
    )
    StationReconciler(cloud.database).round()
    with cloud.database.read() as connection:
        assert len(station_store.of_balancers(connection, [balancer.id])) == wanted


def test_what_is_switched_off_or_unknown_cannot_be_chosen(
    admin: Connection, demo: Connection, raw: Raw, subnet: Any
) -> None:
    chosen = flavor(admin, "off", is_enabled=False)
    assert demo.load_balancer.get_flavor(chosen.id).name == "off"
    for said in ({"flavor_id": chosen.id}, {"flavor_id": "x"}, {"availability_zone": "x"}):
        wanted = {"loadbalancer": {"vip_subnet_id": subnet.id} | said}
        assert raw.fault("POST", "lbaas/loadbalancers", wanted)[0] == 400, said


def test_one_that_is_in_use_stays_and_its_name_is_its_own(
    admin: Connection, demo: Connection, subnet: Any
) -> None:
    chosen, balancing = flavor(admin, "mine"), admin.load_balancer
    with pytest.raises(exceptions.ConflictException):
        balancing.create_flavor(name="mine", flavor_profile_id=chosen.flavor_profile_id)
    with pytest.raises(exceptions.BadRequestException):
        balancing.create_flavor(name="other", flavor_profile_id="x")
    changed = balancing.update_flavor(chosen, description="small", name="one")
    assert (changed.name, changed.description) == ("one", "small")
    balancer = demo.load_balancer.create_load_balancer(vip_subnet_id=subnet.id, flavor_id=chosen.id)
    with pytest.raises(exceptions.ConflictException):
        balancing.delete_flavor(chosen.id)
    demo.load_balancer.delete_load_balancer(balancer)
    balancing.delete_flavor(chosen.id)
    with pytest.raises(exceptions.NotFoundException):
        balancing.get_flavor(chosen.id)


def test_a_zone_is_chosen_by_its_name(
    admin: Connection, demo: Connection, raw_admin: Raw, subnet: Any
) -> None:
    balancing = admin.load_balancer
    profile = balancing.create_availability_zone_profile(
        name="here", provider_name="kumoi", availability_zone_data='{"compute_zone": "nova"}'
    )
    balancing.create_availability_zone(name="az1", availability_zone_profile_id=profile.id)
    assert demo.load_balancer.get_availability_zone("az1").is_enabled
    path = "lbaas/availabilityzones/az1"
    body = {"availability_zone": {"description": "the only one"}}
    assert raw_admin("PUT", path, body).json()["availability_zone"]["name"] == "az1"
    found = raw_admin("GET", f"{path}?fields=name&fields=description").json()
    assert found == {"availability_zone": {"name": "az1", "description": "the only one"}}
    balancer = demo.load_balancer.create_load_balancer(
        vip_subnet_id=subnet.id, availability_zone="az1"
    )
    assert demo.load_balancer.get_load_balancer(balancer.id).availability_zone == "az1"
    assert raw_admin.fault("DELETE", path)[0] == 409
    demo.load_balancer.delete_load_balancer(balancer)
    assert raw_admin("DELETE", path).status_code == 204
    assert list(balancing.availability_zones()) == []


def test_only_administrators_make_them(raw: Raw) -> None:
    for path in ("flavors", "availabilityzones"):
        assert raw("GET", f"lbaas/{path}").status_code == 200
    for path, word in (
        ("flavors", "flavor"),
        ("flavorprofiles", "flavorprofile"),
        ("availabilityzones", "availability_zone"),
        ("availabilityzoneprofiles", "availability_zone_profile"),
    ):
        assert raw("POST", f"lbaas/{path}", {word: {"name": "x"}}).status_code == 403
    assert raw("GET", "lbaas/flavorprofiles").status_code == 403
