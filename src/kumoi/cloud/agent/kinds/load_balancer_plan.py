"""What to do for a balancer's station, from what is wanted and what is there: pure.

no station, or one made otherwise    make it, anew
not plugged                          plug it
"""

from __future__ import annotations

from dataclasses import dataclass

from kumoi.cloud.drivers.load_balancer.station import SeenStation, StationRecord
from kumoi.cloud.hostapi.load_balancer import BalancerThing


@dataclass(frozen=True, slots=True)
class MakeStation:
    def __str__(self) -> str:
        return "make station"


@dataclass(frozen=True, slots=True)
class PlugStation:
    def __str__(self) -> str:
        return "plug station"


StationAction = MakeStation | PlugStation


def plan(wanted: BalancerThing, seen: SeenStation | None) -> list[StationAction]:
    """The actions, in order; empty when the station is as wanted."""
    record = StationRecord(address=wanted.address, link=wanted.station)
    if seen is None or seen.record != record:
        return [MakeStation(), PlugStation()]
    return [] if seen.plugged else [PlugStation()]
