"""Which faults a drill makes, in which order. Pure.

Components are units by their names, as the table of units has them on each host, so a new unit is
drilled by being there.
"""

from __future__ import annotations

import enum
import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

HOST = "host"
"""Stands for all units of a host together."""
POSTGRES = "postgresql"
"""Beside the units: Patroni starts it, and it goes on without Patroni."""


class Fault(enum.StrEnum):
    NOTHING = "nothing"  # What the traffic alone costs, to compare with.
    KILL = "kill"
    FREEZE = "freeze"
    CUT = "cut"
    FILL = "fill disk"
    SKEW = "skew clock"


OF_COMPONENTS = (Fault.KILL, Fault.FREEZE)
OF_HOSTS = (Fault.CUT, Fault.KILL, Fault.FREEZE, Fault.FILL, Fault.SKEW)


@dataclass(frozen=True, slots=True)
class Drilled:
    """One fault, of a component of a host or of the whole host."""

    fault: Fault
    component: str = ""
    host: str = ""

    @property
    def words(self) -> str:
        return " ".join(filter(None, (self.fault, self.component, self.host)))


def choose(components: Mapping[str, Sequence[str]], only: str = "") -> list[Drilled]:
    """By the hosts' names, the components of each. Every component once, each time on another host; then
    the hosts; then components where they were not yet. `only` names a component or a host.
    """
    hosts = list(components)
    rounds = list(_rounds(components))
    first = rounds[: _distinct(components)]
    found = [
        Drilled(Fault.NOTHING),
        *_of_components(first),
        *(Drilled(fault, HOST, host) for fault in OF_HOSTS for host in reversed(hosts)),
        *_of_components(rounds[len(first) :]),
    ]
    if not only:
        return found
    return [
        each
        for each in found
        if each.fault is Fault.NOTHING
        or only == each.component
        or (each.component == HOST and only == each.host)
    ]


def _of_components(pairs: Iterable[tuple[str, str]]) -> Iterator[Drilled]:
    for host, component in pairs:
        for fault in OF_COMPONENTS:
            yield Drilled(fault, component, host)


def _rounds(components: Mapping[str, Sequence[str]]) -> Iterator[tuple[str, str]]:
    """Pairs of host and component, so that each component comes once before one comes twice."""
    names = list(dict.fromkeys(itertools.chain.from_iterable(components.values())))
    for turn in range(len(components)):
        for place, name in enumerate(names):
            having = [host for host, those in components.items() if name in those]
            if turn < len(having):
                yield having[(turn + place) % len(having)], name


def _distinct(components: Mapping[str, Sequence[str]]) -> int:
    return len(set(itertools.chain.from_iterable(components.values())))
