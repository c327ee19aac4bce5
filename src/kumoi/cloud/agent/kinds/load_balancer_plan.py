"""What to do for a balancer on its host, from what is wanted and what is there: pure.

no station, or one made otherwise                      make it, anew; what ran in it has ended with it
not plugged                                            plug it
another one answers pings                              let it
listeners, and no process or one of another text       start one, which takes over
listeners, and its servers are others                  tell it
no listener, and a process                             stop it
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from kumoi.cloud.drivers.load_balancer.haproxy.apply import SeenProxy
from kumoi.cloud.drivers.load_balancer.haproxy.config import ProxyConfig, render
from kumoi.cloud.drivers.load_balancer.haproxy.plan import plan_servers
from kumoi.cloud.drivers.load_balancer.station import SeenStation, record_of
from kumoi.cloud.hostapi.load_balancer import ONLINE, BalancerThing


@dataclass(frozen=True, slots=True)
class MakeStation:
    def __str__(self) -> str:
        return "make station"


@dataclass(frozen=True, slots=True)
class PlugStation:
    def __str__(self) -> str:
        return "plug station"


@dataclass(frozen=True, slots=True)
class AnswerPings:
    yes: bool

    def __str__(self) -> str:
        return "answer pings" if self.yes else "answer no pings"


@dataclass(frozen=True, slots=True)
class StartProxy:
    """`states` are those of members to begin with."""

    takes_over: bool
    states: Mapping[str, str]

    def __str__(self) -> str:
        return "replace proxy" if self.takes_over else "start proxy"


@dataclass(frozen=True, slots=True)
class TellProxy:
    commands: tuple[str, ...]

    def __str__(self) -> str:
        return f"tell proxy: {'; '.join(self.commands)}"


@dataclass(frozen=True, slots=True)
class StopProxy:
    def __str__(self) -> str:
        return "stop proxy"


BalancerAction = MakeStation | PlugStation | AnswerPings | StartProxy | TellProxy | StopProxy


@dataclass(frozen=True, slots=True)
class SeenBalancer:
    station: SeenStation
    proxy: SeenProxy | None = None


def plan(
    wanted: BalancerThing,
    seen: SeenBalancer | None,
    states: Mapping[str, str],
    *,
    socket: str,
    directory: str,
) -> list[BalancerAction]:
    """The actions, in order; empty when the balancer is as wanted. `states` are those of its members,
    `socket` where its process takes commands, `directory` where the files of its text are.
    """
    states = presumed(wanted, None if seen is None else seen.proxy, states)
    record, made = record_of(wanted), None if seen is None else seen.station.record
    if seen is None or made is None or (made.address, made.link) != (record.address, record.link):
        starts = [StartProxy(takes_over=False, states=states)]
        proxy: list[BalancerAction] = [*starts] if wanted.listeners else []
        return [MakeStation(), PlugStation(), *proxy]
    plug: list[BalancerAction] = [] if seen.station.plugged else [PlugStation()]
    if made.answers_ping != record.answers_ping:
        plug.append(AnswerPings(record.answers_ping))
    none = dict.fromkeys((listener.id for listener in wanted.listeners), 0)
    config = render(wanted, states, socket=socket, directory=directory, descriptors=none)
    return [*plug, *_proxy(wanted, seen.proxy, config, states)]


def presumed(
    wanted: BalancerThing, proxy: SeenProxy | None, states: Mapping[str, str]
) -> dict[str, str]:
    """States of members, also of those that were not probed yet, as after a start of the agent: what
    works in the proxy that runs goes on, and else what hosts said last counts.
    """
    members = [member.id for pool in wanted.pools for member in pool.members]
    said = {
        member.id: member.health
        for pool in wanted.pools
        for member in pool.members
        if member.health
    }
    ready = {one.name for one in (() if proxy is None else proxy.servers) if one.ready}
    return said | {key: ONLINE for key in members if key in ready} | dict(states)


def _proxy(
    wanted: BalancerThing,
    seen: SeenProxy | None,
    config: ProxyConfig,
    states: Mapping[str, str],
) -> list[BalancerAction]:
    if not wanted.listeners:
        return [] if seen is None else [StopProxy()]
    if seen is None:
        return [StartProxy(takes_over=False, states=states)]
    if config.signature != seen.signature:
        return [StartProxy(takes_over=True, states=states)]
    commands = plan_servers(config.servers, seen.servers)
    return [TellProxy(tuple(commands))] if commands else []
