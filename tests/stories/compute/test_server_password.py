"""The password that a server's own agent would have made."""

from __future__ import annotations

from openstack.connection import Connection
from tests.stories.compute.conftest import Workbench


def test_a_server_has_no_password_to_show_or_forget(
    bench: Workbench, demo: Connection, neighbour: Connection
) -> None:
    made = bench.active()
    path = f"/servers/{made.id}/os-server-password"
    for _ in range(2):
        assert demo.compute.get(path).json() == {"password": ""}
        assert demo.compute.delete(path).status_code == 204
    for method in ("GET", "DELETE"):
        assert neighbour.compute.request(path, method).status_code == 404
    assert bench.show(made).status == "ACTIVE"
