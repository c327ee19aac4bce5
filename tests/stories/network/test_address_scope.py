"""Address scopes."""

from __future__ import annotations

from typing import Any

import pytest
from openstack import exceptions
from openstack.connection import Connection

from kumoi.cloud.drivers.network.ovn.northbound import RecordKind
from kumoi.cloud.drivers.network.ovn.plan import desired
from kumoi.cloud.reconcilers.network import load
from tests.running_cloud import RunningCloud
from tests.stories.network.conftest import Raw


def pool(owner: Connection, scope: Any, prefix: str, **values: Any) -> Any:
    return owner.network.create_subnet_pool(
        name="in-scope",
        prefixes=[prefix],
        default_prefix_length=24,
        address_scope_id=None if scope is None else scope.id,
        **values,
    )


def test_a_scope_is_made_changed_and_deleted(demo: Connection, admin: Connection, raw: Raw) -> None:
    scope = demo.network.create_address_scope(name="routed", ip_version=4)
    assert (scope.name, scope.ip_version, scope.is_shared) == ("routed", 4, False)
    assert demo.network.update_address_scope(scope, name="inside").name == "inside"
    assert [each.id for each in demo.network.address_scopes(name="inside")] == [scope.id]
    path = f"address-scopes/{scope.id}"
    assert raw.fault("PUT", path, {"address_scope": {"shared": True}})[0] == 403
    assert raw.fault("PUT", path, {"address_scope": {"ip_version": 6}})[0] == 400
    body = {"address_scope": {"name": "x", "ip_version": 5}}
    assert raw.fault("POST", "address-scopes", body)[0] == 400
    admin.network.update_address_scope(scope.id, is_shared=True)
    found = admin.network.put(f"/{path}", json={"address_scope": {"shared": False}})
    assert found.status_code == 400
    assert found.json()["NeutronError"]["type"] == "AddressScopeUpdateError"
    demo.network.delete_address_scope(scope, ignore_missing=False)
    assert raw.fault("GET", path)[:2] == (404, "AddressScopeNotFound")


def test_only_its_project_sees_a_scope_that_is_not_shared(
    demo: Connection, other: Connection, admin: Connection
) -> None:
    scope = demo.network.create_address_scope(name="mine", ip_version=4)
    assert other.network.get(f"/address-scopes/{scope.id}").status_code == 404
    assert list(other.network.address_scopes(name="mine")) == []
    shared = admin.network.create_address_scope(name="ours", ip_version=4, is_shared=True)
    assert [each.id for each in other.network.address_scopes(name="ours")] == [shared.id]
    with pytest.raises(exceptions.BadRequestException, match="cannot be associated"):
        pool(other, shared, "10.80.0.0/16")
    assert pool(admin, shared, "10.80.0.0/16").address_scope_id == shared.id


def test_no_address_is_twice_in_a_scope(demo: Connection, admin: Connection, raw: Raw) -> None:
    scope = demo.network.create_address_scope(name="routed", ip_version=4)
    first = pool(demo, scope, "10.0.0.0/16")
    assert raw.fault("DELETE", f"address-scopes/{scope.id}")[:2] == (409, "AddressScopeInUse")

    def refused(**values: Any) -> tuple[int, str]:
        body = {"subnetpool": {"name": "p", "address_scope_id": scope.id, **values}}
        return raw.fault("POST", "subnetpools", body)[:2]

    assert refused(prefixes=["10.0.128.0/17"]) == (409, "AddressScopePrefixConflict")
    assert refused(prefixes=["fd00::/48"]) == (
        400,
        "IllegalSubnetPoolIpVersionAssociationToAddressScope",
    )
    unknown = {"address_scope_id": "11111111-2222-3333-4444-555555555555"}
    assert refused(prefixes=["10.9.0.0/16"], **unknown) == (404, "AddressScopeNotFound")
    second = pool(demo, scope, "10.1.0.0/16")
    grown = {"subnetpool": {"prefixes": ["10.0.0.0/15"]}}
    path = f"subnetpools/{second.id}"
    assert raw.fault("PUT", path, grown)[:2] == (409, "AddressScopePrefixConflict")
    shared = {
        "subnetpool": {
            "name": "p",
            "prefixes": ["10.5.0.0/16"],
            "shared": True,
            "address_scope_id": scope.id,
        }
    }
    found = admin.network.post("/subnetpools", json=shared)
    assert found.json()["NeutronError"]["type"] == "IllegalSubnetPoolAssociationToAddressScope"
    demo.network.update_subnet_pool(first, address_scope_id=None)
    assert demo.network.update_subnet_pool(second, prefixes=["10.0.0.0/15"])


def test_a_network_shows_its_scope_and_no_router_translates_within_one(
    cloud: RunningCloud, admin: Connection
) -> None:
    scope = admin.network.create_address_scope(name="routed", ip_version=4)
    outside = admin.network.create_network(
        name="outside",
        is_router_external=True,
        provider_network_type="flat",
        provider_physical_network="physnet1",
    )
    admin.network.create_subnet(
        network_id=outside.id,
        ip_version=4,
        subnet_pool_id=pool(admin, scope, "10.90.0.0/16").id,
        is_dhcp_enabled=False,
    )
    router = admin.network.create_router(external_gateway_info={"network_id": outside.id})
    translated = {}
    for name, wanted, prefix in (("same", scope, "10.91.0.0/16"), ("none", None, "10.92.0.0/16")):
        network = admin.network.create_network(name=name)
        subnet = admin.network.create_subnet(
            network_id=network.id, ip_version=4, subnet_pool_id=pool(admin, wanted, prefix).id
        )
        admin.network.add_interface_to_router(router, subnet_id=subnet.id)
        shown = admin.network.get_network(network.id)
        assert shown.ipv4_address_scope_id == (wanted.id if wanted else None)
        assert shown.ipv6_address_scope_id is None
        translated[f"{router.id}/{subnet.id}"] = wanted is None
    with cloud.database.read() as connection:
        records = desired(load(connection))
    snat = {key.id for key in records if key.kind == RecordKind.SNAT}
    assert {key: key in snat for key in translated} == translated


@pytest.fixture(autouse=True)
def _nothing_left(admin: Connection) -> Any:
    yield
    for router in admin.network.routers():
        for port in admin.network.ports(device_id=router.id):
            if port.device_owner == "network:router_interface":
                admin.network.remove_interface_from_router(router, port_id=port.id)
        admin.network.delete_router(router)
    for name in ("outside", "same", "none"):
        for network in admin.network.networks(name=name):
            admin.network.delete_network(network)
