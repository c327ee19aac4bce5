"""Flavors: the administrator's, for all or for some."""

from __future__ import annotations

import pytest
from openstack import exceptions
from openstack.connection import Connection


def test_a_flavor_with_specs_and_a_description(admin: Connection, demo: Connection) -> None:
    made = admin.compute.create_flavor(
        name="gold", ram=2048, vcpus=2, disk=20, ephemeral=1, swap=512, description="fast"
    )
    admin.compute.create_flavor_extra_specs(made, {"hw:cpu": "shared", "tier": "1"})
    admin.compute.delete_flavor_extra_specs_property(made, "tier")
    shown = demo.compute.get_flavor(made.id)
    assert (shown.ram, shown.vcpus, shown.disk, shown.ephemeral, shown.swap) == (
        2048,
        2,
        20,
        1,
        512,
    )
    assert (shown.description, shown.extra_specs) == ("fast", {"hw:cpu": "shared"})
    assert admin.compute.update_flavor(made.id, description="faster").description == "faster"
    with pytest.raises(exceptions.ConflictException):
        admin.compute.create_flavor(name="gold", ram=1, vcpus=1, disk=1)
    admin.compute.delete_flavor(made)
    assert demo.compute.find_flavor("gold") is None


def test_only_an_administrator_makes_flavors(demo: Connection) -> None:
    with pytest.raises(exceptions.ForbiddenException):
        demo.compute.create_flavor(name="mine", ram=1, vcpus=1, disk=1)


def test_a_private_flavor_is_seen_by_those_who_have_access(
    admin: Connection, demo: Connection
) -> None:
    made = admin.compute.create_flavor(name="secret", ram=1, vcpus=1, disk=1, is_public=False)
    assert demo.compute.find_flavor("secret") is None
    with pytest.raises(exceptions.NotFoundException):
        demo.compute.get_flavor(made.id)
    admin.compute.flavor_add_tenant_access(made, demo.current_project_id)
    assert admin.compute.get_flavor_access(made) == [
        {"flavor_id": made.id, "tenant_id": demo.current_project_id}
    ]
    assert demo.compute.get_flavor(made.id).name == "secret"
    admin.compute.flavor_remove_tenant_access(made, demo.current_project_id)
    with pytest.raises(exceptions.NotFoundException):
        demo.compute.get_flavor(made.id)
    admin.compute.delete_flavor(made)


def test_a_public_flavor_has_no_list_of_those_with_access(
    admin: Connection, tenant: Connection, flavor_id: str
) -> None:
    path = f"/flavors/{flavor_id}/os-flavor-access"
    assert admin.compute.get(path).status_code == 404
    assert tenant.compute.get(path).status_code == 403


def test_extra_specs_are_read_and_changed_one_by_one(
    admin: Connection, tenant: Connection, flavor_id: str
) -> None:
    specs = {"hw:cpu": "shared", "tier": "1"}
    admin.compute.create_flavor_extra_specs(flavor_id, specs)
    assert tenant.compute.fetch_flavor_extra_specs(flavor_id).extra_specs == specs
    assert admin.compute.update_flavor_extra_specs_property(flavor_id, "tier", "2") == "2"
    assert tenant.compute.get_flavor_extra_specs_property(flavor_id, "tier") == "2"
    path = f"/flavors/{flavor_id}/os-extra_specs/tier"
    assert admin.compute.put(path, json={"other": "3"}).status_code == 400
    assert tenant.compute.put(path, json={"tier": "3"}).status_code == 403
    assert tenant.compute.delete(path).status_code == 403
    assert tenant.compute.get(path).json() == {"tier": "2"}
    assert admin.compute.delete(path).status_code == 200
    assert tenant.compute.get(path).status_code == 404


def test_a_short_list_names_flavors_and_no_more(tenant: Connection, flavor_id: str) -> None:
    listed = tenant.compute.get("/flavors", microversion="2.1").json()["flavors"]
    assert flavor_id in [item["id"] for item in listed]
    assert {frozenset(item) for item in listed} == {frozenset(("id", "name", "links"))}


def test_lists_are_filtered_and_paged(admin: Connection, demo: Connection) -> None:
    made = [
        admin.compute.create_flavor(name=f"page-{ram}", ram=ram, vcpus=1, disk=1)
        for ram in (90_001, 90_002, 90_003)
    ]
    listed = [item.name for item in demo.compute.flavors(min_ram=90_002, limit=1, sort_key="name")]
    assert listed == ["page-90002", "page-90003"]
    for flavor in made:
        admin.compute.delete_flavor(flavor)
