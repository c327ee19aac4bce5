"""A server's network as it is to have it inside."""

from __future__ import annotations

import msgspec
import pytest
from tests.unit.cloud.drivers.instance.instance_samples import (
    PORT,
    SECOND,
    SERVER,
    but,
    with_address,
)

from kumoi.base.errors import Permanent
from kumoi.cloud.drivers.instance import wire
from kumoi.cloud.drivers.instance.wire import WireRoute
from kumoi.cloud.hostapi.messages import Address, ServerRoute


def test_a_port_becomes_a_wire() -> None:
    first, _ = wire.of(SERVER)
    assert first == wire.Wire(
        port_id=PORT.id,
        name="eth0",
        mac="fa:16:3e:00:00:01",
        mtu=1442,
        addresses=("10.202.0.5/24", "fd00:202::5/64"),
        gateways=(WireRoute("default", "10.202.0.1"), WireRoute("default", "fd00:202::1")),
        routes=(WireRoute("10.203.0.0/16", "10.202.0.9"),),
        dns=("10.202.0.2", "10.202.0.3", "10.202.0.2"),
    )


def test_only_a_port_that_is_named_for_it_may_advertise_a_router() -> None:
    assert wire.guarded(wire.of(SERVER)) == [PORT.id, SECOND.id]
    assert wire.guarded(wire.of(but(advertisers=[PORT.id]))) == [SECOND.id]


def test_a_port_that_may_advertise_a_router_is_bounded_in_its_macs() -> None:
    assert wire.bounded(wire.of(SERVER)) == []
    assert wire.bounded(wire.of(but(advertisers=[PORT.id]))) == [PORT.id]


def test_of_several_gateways_the_first_ports_counts_for_each_version() -> None:
    assert wire.of(SERVER)[1].gateways == ()
    (alone,) = wire.of(but(ports=[SECOND]))
    assert alone.gateways == (WireRoute("default", "10.202.1.1"),)


def test_a_gateway_outside_the_links_network_is_reached_on_it() -> None:
    address = Address(address="10.202.0.5", prefix=24, gateway="10.99.0.1")
    (one,) = wire.of(but(ports=[with_address(address)]))
    assert one.gateways == (WireRoute("default", "10.99.0.1", onlink=True),)


def test_name_servers_are_named_once_in_their_order() -> None:
    assert wire.name_servers(wire.of(SERVER)) == ["10.202.0.2", "10.202.0.3"]


def test_link_names_fit_the_kernel() -> None:
    one = wire.of(SERVER)[0]
    assert (one.link, one.peer) == ("kfb0e9e14e016", "pfb0e9e14e016")


def test_a_wrong_route_is_refused() -> None:
    wrong = Address(
        address="10.0.0.1", prefix=24, routes=[ServerRoute(destination="x", nexthop="y")]
    )
    with pytest.raises(Permanent, match="network"):
        wire.of(but(ports=[msgspec.structs.replace(PORT, addresses=[wrong])]))
