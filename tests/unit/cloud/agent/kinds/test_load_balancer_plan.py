from __future__ import annotations

import msgspec

from kumoi.cloud.agent.kinds.load_balancer_plan import plan
from kumoi.cloud.drivers.load_balancer.station import SeenStation, StationRecord
from kumoi.cloud.hostapi.load_balancer import (
    BalancerThing,
    StationLink,
    balancer_thing,
    read_balancer,
)

LINK = StationLink(
    id="station", port_id="port", mac="fa:16:3f:00:00:01", mtu=1442, address="169.254.0.2/29",
    gateway="169.254.0.1", gateway_mac="fa:16:3f:00:00:01", first_port=32_768, first_free_port=33_792, last_port=49_151,
)  # fmt: skip
WANTED = BalancerThing(id="balancer", generation=3, address="10.0.0.5", station=LINK)
MADE = StationRecord(address="10.0.0.5", link=LINK)


def planned(seen: SeenStation | None) -> list[str]:
    return [str(action) for action in plan(WANTED, seen)]


def test_what_is_not_there_is_made_and_plugged() -> None:
    assert planned(None) == ["make station", "plug station"]
    assert planned(SeenStation("balancer", None)) == ["make station", "plug station"]


def test_a_station_that_was_made_otherwise_is_made_anew() -> None:
    other = msgspec.structs.replace(MADE, address="10.0.0.6")
    assert planned(SeenStation("balancer", other, plugged=True)) == ["make station", "plug station"]


def test_one_as_wanted_is_left_alone_and_one_that_lost_its_plug_is_plugged() -> None:
    assert planned(SeenStation("balancer", MADE, plugged=True)) == []
    assert planned(SeenStation("balancer", MADE)) == ["plug station"]


def test_a_spec_arrives_as_it_was_sent() -> None:
    assert read_balancer(balancer_thing(WANTED)) == WANTED
