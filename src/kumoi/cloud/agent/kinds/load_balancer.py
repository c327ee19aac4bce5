"""Load balancers: a station for each, from where its members are probed, and a proxy in it where a
listener needs one.

`load_balancer_plan.plan` says what to do, drivers/load_balancer does it, probing.py knows how members are.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Coroutine, Mapping, Sequence
from typing import Any

from kumoi.cloud.agent.kinds.load_balancer_plan import (
    AnswerPings,
    BalancerAction,
    MakeStation,
    PlugStation,
    SeenBalancer,
    StartProxy,
    StopProxy,
    TellProxy,
    plan,
)
from kumoi.cloud.agent.probing import Probing
from kumoi.cloud.drivers.load_balancer.haproxy.apply import Proxies
from kumoi.cloud.drivers.load_balancer.station import Stations
from kumoi.cloud.hostapi.load_balancer import (
    LOAD_BALANCER,
    BalancerStatus,
    BalancerThing,
    read_balancer,
)
from kumoi.cloud.hostapi.things import Thing


class LoadBalancerKind:
    name = LOAD_BALANCER

    def __init__(self, *, stations: Stations, proxies: Proxies, probing: Probing) -> None:
        self._stations = stations
        self._proxies = proxies
        self._probing = probing
        self._wanted: dict[str, BalancerThing] = {}

    def read(self, thing: Thing) -> BalancerThing:
        return read_balancer(thing)

    def announce(self, balancer: BalancerThing) -> None:
        self._wanted[balancer.id] = balancer
        self._probing.want(balancer)

    def list_all(self) -> Mapping[str, SeenBalancer]:
        found = {key: self.observe(key, None) for key in self._stations.list_ids()}
        return {key: seen for key, seen in found.items() if seen is not None}

    def observe(self, thing_id: str, spec: BalancerThing | None) -> SeenBalancer | None:  # noqa: ARG002 - the contract's
        station = self._stations.observe(thing_id)
        return None if station is None else SeenBalancer(station, self._proxies.observe(thing_id))

    def plan(self, spec: BalancerThing, seen: SeenBalancer | None) -> Sequence[BalancerAction]:
        socket = str(self._proxies.command_socket(spec.id))
        directory = str(self._stations.directory_of(spec.id))
        states = self._probing.states(spec)
        return plan(spec, seen, states, socket=socket, directory=directory)

    def is_prepared(self, spec: BalancerThing, actions: Sequence[BalancerAction]) -> bool:  # noqa: ARG002 - the contract's
        return True

    async def prepare(self, spec: BalancerThing, actions: Sequence[BalancerAction]) -> None:
        """Nothing is needed."""

    def apply(self, spec: BalancerThing, actions: Sequence[BalancerAction]) -> None:
        for action in actions:
            match action:
                case MakeStation():
                    self._proxies.stop(spec.id)
                    self._stations.make(spec)
                case PlugStation():
                    self._stations.plug(spec)
                case AnswerPings():
                    self._stations.answer_pings(spec)
                case StartProxy(_, states):
                    self._proxies.start(spec, states)
                case TellProxy(commands):
                    self._proxies.tell(spec.id, commands)
                case StopProxy():
                    self._proxies.stop(spec.id)

    def delete(self, thing_id: str) -> None:
        self._proxies.stop(thing_id)
        self._stations.delete(thing_id)

    def take_back(
        self,
        spec: BalancerThing,
        seen: SeenBalancer | None,
        actions: Sequence[BalancerAction],  # noqa: ARG002 - the contract's
    ) -> None:
        if seen is None:
            self.delete(spec.id)

    def status(self, seen: SeenBalancer | None) -> BalancerStatus:
        balancer = None if seen is None else self._wanted.get(seen.station.id)
        if balancer is None:
            return BalancerStatus()
        counters = {} if seen is None or seen.proxy is None else dict(seen.proxy.counters)
        return BalancerStatus(members=dict(self._probing.states(balancer)), counters=counters)

    def watched_pid(self, seen: SeenBalancer) -> int:
        return 0 if seen.proxy is None else seen.proxy.pid

    async def tidy(
        self, wanted: Callable[[], Collection[BalancerThing]], seen: Mapping[str, SeenBalancer]
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
