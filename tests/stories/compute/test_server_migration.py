"""Migrations of a server."""

from __future__ import annotations

import pytest
from openstack import exceptions
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


def test_a_server_is_not_migrated_and_what_is_wrong_is_said_first(
    bench: Workbench, admin: Connection, demo: Connection
) -> None:
    made = bench.active()

    def status(name: str, arguments: object, who: Connection = admin) -> int:
        path, body = f"/servers/{made.id}/action", {name: arguments}
        return int(who.compute.post(path, json=body, microversion="2.25").status_code)

    live = {"host": None, "block_migration": "auto"}
    assert (status("migrate", None), status("os-migrateLive", live)) == (501, 501)
    assert status("os-migrateLive", live | {"host": "nowhere"}) == 400
    assert status("migrate", None, demo) == 403
    demo.compute.pause_server(made)
    bench.cloud.host.settle()
    assert (status("migrate", None), status("os-migrateLive", live)) == (409, 501)


def test_what_was_deleted_is_not_restored(bench: Workbench, demo: Connection) -> None:
    made = bench.active()
    with pytest.raises(exceptions.ConflictException, match="Cannot 'restore'"):
        demo.compute.restore_server(made)
