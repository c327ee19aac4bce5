"""What is written on a container's links."""

from __future__ import annotations

from tests.unit.cloud.drivers.instance.instance_samples import SECOND, SERVER, but, with_address

from kumoi.cloud.drivers.instance import wire
from kumoi.cloud.drivers.instance.lxc import network
from kumoi.cloud.hostapi.messages import Address


def test_a_start_gives_addresses_then_default_routes_then_others() -> None:
    assert network.at_start(wire.of(SERVER)).splitlines() == [
        "address replace 10.202.0.5/24 dev eth0",
        "address replace fd00:202::5/64 dev eth0",
        "address replace 10.202.1.5/24 dev eth1",
        "route replace default via 10.202.0.1 dev eth0",
        "route replace default via fd00:202::1 dev eth0",
        "route replace 10.203.0.0/16 via 10.202.0.9",
    ]
    assert network.at_start(()) == ""


def test_a_gateway_elsewhere_is_reached_on_its_link() -> None:
    address = Address(address="10.202.0.5", prefix=24, gateway="10.99.0.1")
    text = network.at_start(wire.of(but(ports=[with_address(address)])))
    assert "route replace default via 10.99.0.1 dev eth0 onlink" in text.splitlines()


def test_a_change_takes_back_all_that_was_given_since_the_start_and_gives_the_rest_anew() -> None:
    moved = Address(address="10.204.0.7", prefix=16, gateway="10.204.0.1")
    earlier = [*network.statements(wire.of(SERVER)), "address 10.202.0.6/24 dev eth0"]
    changed = but(ports=[with_address(moved), SECOND])
    assert network.change(wire.of(changed), earlier).splitlines() == [
        "address delete 10.202.0.6/24 dev eth0",
        "route delete 10.203.0.0/16 via 10.202.0.9",
        "route delete default via fd00:202::1 dev eth0",
        "route delete default via 10.202.0.1 dev eth0",
        "address delete fd00:202::5/64 dev eth0",
        "address delete 10.202.0.5/24 dev eth0",
        "address replace 10.204.0.7/16 dev eth0",
        "address replace 10.202.1.5/24 dev eth1",
        "route replace default via 10.204.0.1 dev eth0",
    ]
