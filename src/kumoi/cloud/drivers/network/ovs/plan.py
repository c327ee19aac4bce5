"""What must change in a host's switch, as actions. Pure.

Called by apply.py. A link of ours is marked in the switch; other links on the bridge are nobody's
business here, but for one that bears the name of a link to plug.

A user-space switch holds on to the link it opened. When that link goes and another comes by the
same name, the switch shows a port and no packet passes: the port has to go before it comes back.
So each port keeps the index of its link, which the kernel gives only once.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Plugged:
    """A port on the bridge. `port_id` is None where the switch says none; `ours` where marked;
    `link_index` that of the link it was plugged for, where that was known.
    """

    name: str
    port_id: str | None
    ours: bool
    link_index: int | None = None


@dataclass(frozen=True, slots=True)
class PlugLink:
    name: str
    port_id: str
    link_index: int | None

    def __str__(self) -> str:
        return f"plug {self.name} as {self.port_id}"


@dataclass(frozen=True, slots=True)
class Mark:
    """The link is plugged, but as something else, unmarked, or without its index."""

    name: str
    port_id: str
    link_index: int | None

    def __str__(self) -> str:
        return f"mark {self.name} as {self.port_id}"


@dataclass(frozen=True, slots=True)
class UnplugLink:
    name: str

    def __str__(self) -> str:
        return f"unplug {self.name}"


Action = PlugLink | Mark | UnplugLink
Indexes = Mapping[str, int]
"""The links that there are, by name."""


def is_stale(port: Plugged, indexes: Indexes) -> bool:
    """Whether the port is for a link that has been replaced by another of its name."""
    index = indexes.get(port.name)
    return None not in (index, port.link_index) and index != port.link_index


def plan_stale(
    wanted: Mapping[str, str], plugged: Iterable[Plugged], indexes: Indexes
) -> list[Action]:
    """Ports to unplug, and to see gone, before `plan_ensure` plugs them again."""
    stale = {port.name for port in plugged if is_stale(port, indexes)}
    return [UnplugLink(name) for name in sorted(stale & wanted.keys())]


def plan_ensure(
    wanted: Mapping[str, str], plugged: Iterable[Plugged], indexes: Indexes
) -> list[Action]:
    """Link name to port id: those, and whatever else is plugged stays."""
    there = {port.name: port for port in plugged}
    actions: list[Action] = []
    for name, port_id in sorted(wanted.items()):
        port, index = there.get(name), indexes.get(name)
        if port is None:
            actions.append(PlugLink(name, port_id, index))
            continue
        known = port.link_index if index is None else index
        if port != Plugged(name, port_id, ours=True, link_index=known):
            actions.append(Mark(name, port_id, known))
    return actions


def plan_delete(names: Collection[str], plugged: Iterable[Plugged]) -> list[Action]:
    """Those of the named links that are ours."""
    return [
        UnplugLink(name) for name in sorted({port.name for port in plugged if port.ours} & {*names})
    ]
