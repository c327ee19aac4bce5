"""Load balancers: a station for each, from where its members are probed.

`load_balancer_plan.plan` says what to do, drivers/load_balancer does it, probing.py knows how members are.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Coroutine, Mapping, Sequence
from typing import Any

from kumoi.cloud.agent.kinds.load_balancer_plan import (
    MakeStation,
    PlugStation,
    StationAction,
    plan,
)
from kumoi.cloud.agent.probing import Probing
from kumoi.cloud.drivers.load_balancer.station import SeenStation, Stations
from kumoi.cloud.hostapi.load_balancer import (
    LOAD_BALANCER,
    BalancerStatus,
    BalancerThing,
    read_balancer,
)
from kumoi.cloud.hostapi.things import Thing


class LoadBalancerKind:
    name = LOAD_BALANCER

    def __init__(self, *, stations: Stations, probing: Probing) -> None:
        self._stations = stations
        self._probing = probing
        self._wanted: dict[str, BalancerThing] = {}

    def read(self, thing: Thing) -> BalancerThing:
        return read_balancer(thing)

    def announce(self, balancer: BalancerThing) -> None:
        self._wanted[balancer.id] = balancer
        self._probing.want(balancer)

    def list_all(self) -> Mapping[str, SeenStation]:
        found = {key: self._stations.observe(key) for key in self._stations.list_ids()}
        return {key: seen for key, seen in found.items() if seen is not None}

    def observe(self, thing_id: str, spec: BalancerThing | None) -> SeenStation | None:  # noqa: ARG002 - the contract's
        return self._stations.observe(thing_id)

    def plan(self, spec: BalancerThing, seen: SeenStation | None) -> Sequence[StationAction]:
        return plan(spec, seen)

    async def prepare(self, spec: BalancerThing, actions: Sequence[StationAction]) -> None:
        """Nothing is needed."""

    def apply(self, spec: BalancerThing, actions: Sequence[StationAction]) -> None:
        for action in actions:
            match action:
                case MakeStation():
                    self._stations.make(spec)
                case PlugStation():
                    self._stations.plug(spec)

    def delete(self, thing_id: str) -> None:
        self._stations.delete(thing_id)

    def take_back(
        self,
        spec: BalancerThing,
        seen: SeenStation | None,
        actions: Sequence[StationAction],  # noqa: ARG002 - the contract's
    ) -> None:
        if seen is None:
            self._stations.delete(spec.id)

    def status(self, seen: SeenStation | None) -> BalancerStatus:
        balancer = None if seen is None or seen.record is None else self._wanted.get(seen.id)
        if balancer is None:
            return BalancerStatus()
        return BalancerStatus(members=dict(self._probing.states(balancer)))

    def watched_pid(self, seen: SeenStation) -> int:  # noqa: ARG002 - the contract's
        return 0

    async def tidy(
        self, wanted: Callable[[], Collection[BalancerThing]], seen: Mapping[str, SeenStation]
    ) -> None:
        """One that is here and whose spec is not understood goes on as it was."""
        known = {balancer.id: balancer for balancer in wanted()}
        self._wanted = {
            key: one for key, one in self._wanted.items() if key in known or key in seen
        } | known
        for balancer in known.values():
            self._probing.want(balancer)
        self._probing.forget_others(self._wanted)

    def tasks(self, wake: Callable[[str], None]) -> Sequence[Coroutine[Any, Any, None]]:
        self._probing.changed = wake
        return ()
