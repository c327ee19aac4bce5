"""What must change in a host's switch, as actions. Pure.

Called by apply.py. Ports that Kumoi plugged are marked in the switch; other ports of the bridge are
left alone, unless one has the name of a link to plug.

A user-space datapath keeps the link open that it was given. When that link is deleted and another is
made by the same name, the switch still shows the port but no packet passes: the port must be removed
before it is added again. So each port notes its link's index, which the kernel never gives twice.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class PluggedPort:
    """A port on the bridge. `port_id` is None where the switch has none; `ours` says that it is marked;
    `link_index` is that of the link it was plugged for, None where it was not known.
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
class MarkLink:
    """The link is plugged, but with another port id, without our mark or without its index."""

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


Action = PlugLink | MarkLink | UnplugLink
Indexes = Mapping[str, int]
"""Index of each link that exists, by name."""


def is_stale(port: PluggedPort, indexes: Indexes) -> bool:
    """Whether the port is for a link that was replaced by another of the same name."""
    index = indexes.get(port.name)
    return None not in (index, port.link_index) and index != port.link_index


def plan_stale(
    wanted: Mapping[str, str], plugged: Iterable[PluggedPort], indexes: Indexes
) -> list[Action]:
    """Ports to unplug, and to wait for until they are gone, before `plan_ensure` plugs them again."""
    stale = {port.name for port in plugged if is_stale(port, indexes)}
    return [UnplugLink(name) for name in sorted(stale & wanted.keys())]


def plan_ensure(
    wanted: Mapping[str, str], plugged: Iterable[PluggedPort], indexes: Indexes
) -> list[Action]:
    """Plug `wanted`, link name to port id; whatever else is plugged stays."""
    present = {port.name: port for port in plugged}
    actions: list[Action] = []
    for name, port_id in sorted(wanted.items()):
        port, index = present.get(name), indexes.get(name)
        if port is None:
            actions.append(PlugLink(name, port_id, index))
            continue
        known = port.link_index if index is None else index
        if port != PluggedPort(name, port_id, ours=True, link_index=known):
            actions.append(MarkLink(name, port_id, known))
    return actions


def plan_delete(names: Collection[str], plugged: Iterable[PluggedPort]) -> list[Action]:
    """Unplug those of the named links that are marked as ours."""
    return [
        UnplugLink(name) for name in sorted({port.name for port in plugged if port.ours} & {*names})
    ]
