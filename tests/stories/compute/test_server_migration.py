"""Migrations of a server."""

from __future__ import annotations

from openstack.connection import Connection
from tests.stories.compute.conftest import Workbench


def test_a_server_has_no_migrations(bench: Workbench, admin: Connection, demo: Connection) -> None:
    path = f"/servers/{bench.active().id}/migrations"
    assert admin.compute.get(path, microversion="2.23").json() == {"migrations": []}
    assert admin.compute.get(f"{path}/7", microversion="2.23").status_code == 404
    assert admin.compute.get(path, microversion="2.22").status_code == 404
    assert demo.compute.get(path, microversion="2.23").status_code == 403
    nowhere = "/servers/11111111-2222-4333-8444-555555555555/migrations"
    assert admin.compute.get(nowhere, microversion="2.23").status_code == 404
    assert list(admin.compute.migrations()) == []
