"""What compute learns and does of ports, inside its own transaction."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy.engine import Connection

from kumoi.base.errors import Conflict, NotFound
from kumoi.cloud.domain.caller import Caller
from kumoi.cloud.domain.network import network, port, security_group, subnet, wiring
from kumoi.cloud.domain.network.network import NetworkRequest
from kumoi.cloud.domain.network.port import PortRequest
from kumoi.cloud.domain.network.subnet import SubnetRequest
from kumoi.cloud.hostapi import messages
from kumoi.cloud.store.network.network import Network
from kumoi.cloud.store.network.port import Port
from kumoi.cloud.store.schema import metadata
from kumoi.engine import feed
from kumoi.engine.db import Database

NOW = datetime(2026, 1, 1, tzinfo=UTC)
CALLER = Caller(user_id="u", project_id="p", roles=frozenset({"member"}), request_id="r")


@pytest.fixture
def connection(store_url: str, tmp_path: Path) -> Iterator[Connection]:
    database = Database(store_url, wake_dir=tmp_path / "wake")
    metadata.create_all(database.engine)
    with database.write() as open_connection:
        yield open_connection
    database.close()


@pytest.fixture
def private(connection: Connection) -> Network:
    made = network.create(connection, CALLER, NetworkRequest(project_id="p", name="private"), NOW)
    wanted = SubnetRequest(
        project_id="p",
        network_id=made.id,
        ip_version=4,
        cidr="10.0.0.0/24",
        dns_nameservers=("9.9.9.9",),
        host_routes=(("10.9.0.0/16", "10.0.0.9"),),
    )
    subnet.create(connection, CALLER, wanted, NOW)
    return made


def new_port(connection: Connection, on: Network) -> Port:
    return port.create(connection, CALLER, PortRequest(project_id="p", network_id=on.id), NOW)


def bind(connection: Connection, users: Port, server: str) -> Port:
    return port.bind(connection, users.id, host="host1", device_id=server, dns_name=server, now=NOW)


def create_bound(connection: Connection, on: Network, server: str) -> Port:
    wanted = PortRequest(project_id="p", network_id=on.id)
    return port.create_bound(connection, CALLER, wanted, NOW, host="host1", device_id=server)


def test_a_host_gets_all_ports_of_a_server_in_their_order(
    connection: Connection, private: Network
) -> None:
    ports = [create_bound(connection, private, "s1") for _ in range(3)]
    wired = wiring.of_servers(connection, ["s1"])["s1"].ports
    assert [(message.id, message.name) for message in wired] == [
        (row.id, f"eth{index}") for index, row in enumerate(ports)
    ]
    assert (wired[0].mac, wired[0].mtu) == (ports[0].mac_address, 1442)
    assert wired[0].addresses == [
        messages.Address(
            address="10.0.0.2",
            prefix=24,
            gateway="10.0.0.1",
            dns=["9.9.9.9"],
            routes=[messages.ServerRoute(destination="10.9.0.0/16", nexthop="10.0.0.9")],
        ),
    ]


def test_the_ports_of_many_servers_are_read_at_once(
    connection: Connection, private: Network
) -> None:
    for device in ("s1", "s2"):
        create_bound(connection, private, device)
    found = wiring.of_servers(connection, ["s1", "s2", "s3"])
    assert {
        key: [address.address for port in wired.ports for address in port.addresses]
        for key, wired in found.items()
    } == {"s1": ["10.0.0.2"], "s2": ["10.0.0.3"], "s3": []}


def test_only_ports_without_port_security_may_advertise_routers_and_the_host_learns_of_a_change(
    connection: Connection, private: Network
) -> None:
    one, other = (create_bound(connection, private, "s1") for _ in range(2))
    assert wiring.of_servers(connection, ["s1"])["s1"].advertisers == []
    before = feed.position(connection).revision
    changes = {"port_security_enabled": False, "security_group_ids": ()}
    port.update(connection, CALLER, other.id, changes, NOW)
    wired = wiring.of_servers(connection, ["s1"])["s1"]
    assert [message.id for message in wired.ports] == [one.id, other.id]
    assert wired.advertisers == [other.id]
    assert feed.changes(connection, "host:host1", since=before).keys == ("server/s1",)


def test_a_port_belongs_to_one_server(connection: Connection, private: Network) -> None:
    users = bind(connection, new_port(connection, private), "s1")
    assert bind(connection, users, "s1").device_index == 0
    with pytest.raises(Conflict) as caught:
        bind(connection, users, "s2")
    assert caught.value.kind == "PortInUse"


def test_a_port_made_for_a_server_is_deleted_with_it_and_a_users_port_stays(
    connection: Connection, private: Network
) -> None:
    made = create_bound(connection, private, "s1")
    users = bind(connection, new_port(connection, private), "s1")
    assert (made.device_index, users.device_index) == (0, 1)
    port.release_device(connection, "s1", NOW)
    left = port.get(connection, CALLER, users.id)
    assert (left.device_id, left.device_owner, left.host) == ("", "", "")
    assert left.fixed_ips == users.fixed_ips
    with pytest.raises(NotFound):
        port.get(connection, CALLER, made.id)


def test_the_host_looks_again_when_the_address_of_a_servers_port_changes(
    connection: Connection, private: Network
) -> None:
    made = create_bound(connection, private, "s1")
    before = feed.position(connection).revision
    port.update(connection, CALLER, made.id, {"fixed_ips": ()}, NOW)
    assert feed.changes(connection, "host:host1", since=before).keys == ("server/s1",)


def test_a_group_is_found_by_name_and_the_default_is_made(connection: Connection) -> None:
    found = security_group.find(connection, CALLER, "default", NOW)
    assert security_group.find(connection, CALLER, found.id, NOW) == found
