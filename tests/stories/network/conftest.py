"""What the stories of the network service have in common."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from openstack.connection import Connection

from kumoi.base.ids import new_hex_id


@dataclass(frozen=True)
class Raw:
    """Requests as one tenant, without the SDK's help."""

    http: httpx.Client
    token: str

    def __call__(self, method: str, path: str, body: Any = None) -> httpx.Response:
        return self.http.request(
            method, f"/network/v2.0/{path}", json=body, headers={"X-Auth-Token": self.token}
        )

    def fault(self, method: str, path: str, body: Any = None) -> tuple[int, str, str]:
        """Status, type word and message of a request that must fail."""
        answer = self(method, path, body)
        error = answer.json()["NeutronError"]
        return answer.status_code, error["type"], error["message"]


@pytest.fixture
def raw(http: httpx.Client, demo: Connection) -> Raw:
    return Raw(http, demo.auth_token)


@pytest.fixture
def raw_admin(http: httpx.Client, admin: Connection) -> Raw:
    return Raw(http, admin.auth_token)


@pytest.fixture(scope="module")
def public(admin: Connection) -> Iterator[Any]:
    """An external network with room for 13 addresses."""
    network = admin.network.create_network(
        name=f"public-{new_hex_id()[:8]}",
        is_router_external=True,
        provider_network_type="flat",
        provider_physical_network="physnet1",
    )
    admin.network.create_subnet(
        network_id=network.id,
        ip_version=4,
        cidr="10.201.0.0/28",
        gateway_ip="10.201.0.1",
        enable_dhcp=False,
    )
    yield network
    for floating in admin.network.ips(floating_network_id=network.id):
        admin.network.delete_ip(floating)
    for port in admin.network.ports(network_id=network.id, device_owner="network:router_gateway"):
        admin.network.update_router(port.device_id, external_gateway_info={})
    admin.network.delete_network(network)
