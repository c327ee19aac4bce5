"""Networks as compute shows them, in the versions that do."""

from __future__ import annotations

from typing import Any

import pytest
from openstack.connection import Connection

LAST, GONE = "2.35", "2.36"


def get(who: Connection, path: str, version: str = LAST) -> Any:
    answer = who.compute.get(path, microversion=version)
    assert answer.status_code == 200, answer.text
    return answer.json()


@pytest.mark.parametrize("path", ["/os-networks", "/os-tenant-networks"])
def test_networks_for_servers_are_listed_and_shown(
    tenant: Connection, admin: Connection, neighbour: Connection, public: Any, path: str
) -> None:
    made = tenant.network.create_network(name="inner")
    listed = get(tenant, path)["networks"]
    assert public.id not in [network["id"] for network in listed]
    (shown,) = [network for network in listed if network["id"] == made.id]
    assert get(tenant, f"{path}/{made.id}") == {"network": shown}
    assert shown["label"] == "inner"
    assert shown["cidr"] == ("None" if path == "/os-tenant-networks" else None)
    assert "vlan" not in shown
    assert ("vlan" in get(admin, f"{path}/{made.id}")["network"]) == (path == "/os-networks")
    assert neighbour.compute.get(f"{path}/{made.id}", microversion=LAST).status_code == 404
    assert tenant.compute.get(path, microversion=GONE).status_code == 404


def test_an_administrator_is_listed_all_networks(tenant: Connection, admin: Connection) -> None:
    made = tenant.network.create_network(name="inner")
    assert made.id in [network["id"] for network in get(admin, "/os-networks")["networks"]]
