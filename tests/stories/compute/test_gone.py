"""What no version of the compute API has any more."""

from __future__ import annotations

import pytest
from openstack.connection import Connection
from tests.stories.compute.conftest import Workbench


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/os-networks"),
        ("POST", "/os-networks/add"),
        ("POST", "/os-networks/7/action"),
        ("DELETE", "/os-networks/7"),
        ("POST", "/os-tenant-networks"),
        ("DELETE", "/os-tenant-networks/7"),
    ],
)
def test_what_compute_did_with_networks_of_its_own_is_gone(
    tenant: Connection, method: str, path: str
) -> None:
    for version in ("2.1", "2.96"):
        answer = tenant.compute.request(path, method, json={}, microversion=version)
        assert (answer.status_code, "network API" in answer.text) == (410, True)


def test_network_information_is_not_injected_any_more(bench: Workbench, admin: Connection) -> None:
    made = bench.active()
    for name in ("injectNetworkInfo", "resetNetwork"):
        assert (
            admin.compute.post(
                f"/servers/{made.id}/action", json={name: None}, microversion="2.1"
            ).status_code
            == 410
        )
