"""What must change in a host's switch, as actions. Pure.

Called by apply.py. A link of ours is marked in the switch; other links on the bridge are nobody's
business here, but for one that bears the name of a link to plug.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Plugged:
    """A link on the bridge. `port_id` is None where the switch says none; `ours` where marked."""

    name: str
    port_id: str | None
    ours: bool


@dataclass(frozen=True, slots=True)
class Plug:
    name: str
    port_id: str

    def __str__(self) -> str:
        return f"plug {self.name} as {self.port_id}"


@dataclass(frozen=True, slots=True)
class Mark:
    """The link is plugged, but as something else or unmarked."""

    name: str
    port_id: str

    def __str__(self) -> str:
        return f"mark {self.name} as {self.port_id}"


@dataclass(frozen=True, slots=True)
class Unplug:
    name: str

    def __str__(self) -> str:
        return f"unplug {self.name}"


Action = Plug | Mark | Unplug


def plan_ensure(wanted: Mapping[str, str], plugged: Iterable[Plugged]) -> list[Action]:
    """Link name to port id: those, and whatever else is plugged stays."""
    there = {link.name: link for link in plugged}
    actions: list[Action] = []
    for name, port_id in sorted(wanted.items()):
        link = there.get(name)
        if link is None:
            actions.append(Plug(name, port_id))
        elif link != Plugged(name, port_id, ours=True):
            actions.append(Mark(name, port_id))
    return actions


def plan_delete(names: Collection[str], plugged: Iterable[Plugged]) -> list[Action]:
    """Those of the named links that are ours."""
    return [
        Unplug(name) for name in sorted({link.name for link in plugged if link.ours} & {*names})
    ]
