"""Names of servers in DNS: each port of a server has its host name."""

from __future__ import annotations

import pytest
from openstack import exceptions
from openstack.connection import Connection
from tests.stories.compute.conftest import Workbench


def test_a_servers_ports_are_called_as_it_is_until_they_leave_it(
    bench: Workbench, demo: Connection
) -> None:
    made = bench.active(hostname="shop")
    (own,) = demo.network.ports(device_id=made.id)
    assert own.dns_name == "shop"
    port = demo.network.create_port(network_id=own.network_id)
    demo.compute.create_server_interface(made, port_id=port.id)
    assert demo.network.get_port(port).dns_name == "shop"
    demo.compute.delete_server_interface(port.id, server=made)
    assert demo.network.get_port(port).dns_name == ""


def test_a_port_with_another_name_is_refused_to_a_server(
    bench: Workbench, demo: Connection
) -> None:
    made = bench.active(hostname="shop")
    (own,) = demo.network.ports(device_id=made.id)
    port = demo.network.create_port(network_id=own.network_id, dns_name="other")
    with pytest.raises(exceptions.BadRequestException, match="does not match instance's hostname"):
        demo.compute.create_server_interface(made, port_id=port.id)
    assert demo.network.get_port(port).device_id == ""
    demo.network.update_port(port, dns_name="shop")
    demo.compute.create_server_interface(made, port_id=port.id)
