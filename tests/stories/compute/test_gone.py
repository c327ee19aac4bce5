"""What no version of the compute API has any more."""

from __future__ import annotations

import pytest
from openstack.connection import Connection
from tests.stories.compute.conftest import Workbench

from kumoi.cloud.api.compute import gone


@pytest.mark.parametrize(("method", "path"), gone.PATHS)
def test_what_no_version_has_is_gone(tenant: Connection, method: str, path: str) -> None:
    for version in ("2.1", "2.96"):
        answer = tenant.compute.request(
            f"/{path.replace('{id}', '7')}", method, json={}, microversion=version
        )
        assert (answer.status_code, "network API" in answer.text) == (410, True)


def test_a_network_is_not_reset_any_more(bench: Workbench, admin: Connection) -> None:
    made = bench.active()
    for name, answered in (("injectNetworkInfo", 202), ("resetNetwork", 410)):
        answer = admin.compute.post(
            f"/servers/{made.id}/action", json={name: None}, microversion="2.1"
        )
        assert answer.status_code == answered
