"""The NUMA topology of a server."""

from __future__ import annotations

from openstack.connection import Connection
from tests.stories.compute.conftest import Workbench


def test_a_server_is_tied_to_no_nodes(
    bench: Workbench, demo: Connection, neighbour: Connection
) -> None:
    made = bench.active()
    topology = made.fetch_topology(demo.compute)
    assert topology == {"nodes": [], "pagesize_kb": None}
    path = f"/servers/{made.id}/topology"
    assert demo.compute.get(path, microversion="2.77").status_code == 404
    assert neighbour.compute.get(path, microversion="2.78").status_code == 404
