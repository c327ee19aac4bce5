"""Holds each project to its share of the connections that this host's switch remembers, look by look.

All ports and routers of a host share one table of them, and each has a zone in it with a limit; a project may have many.
`shares` says what each of a project's zones may have, so that together they never have more than the project; the
switch keeps that, also while no agent runs. Design note 0039.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Protocol

from kumoi.base.clock import Clock
from kumoi.cloud.agent import looks
from kumoi.cloud.agent.tending import wait
from kumoi.cloud.drivers.network.ovs.connections import SwitchConnections, ZoneUse

LOOK_S = 10.0
SOON_S = 0.5
PROJECTS_MIN, PROJECT_FLOOR = 8, 25_000
"""A project has an eighth of the table where there are no more projects, and never less than the floor: more than 80
projects on one host can fill it together.
"""
OF_DATAPATHS = ("_snat", "_dnat")
NOBODYS = ("localnet-", "cr-")
"""With which names of zones begin in which there is never a connection."""
EVERYBODYS = "every-"
"""Of a balancer's port at all of its stations, before the balancer's id."""


class Owning(Protocol):
    async def owners(self, ids: Sequence[str]) -> dict[str, str]: ...


class ConnectionRoom:
    """Of one host. `zones` lists the zones by the names that OVN's controller gave, `routers` says which router each
    datapath is, `upstream` whose what is. `changed` is set where zones may be others.
    """

    def __init__(
        self,
        *,
        zones: Callable[[], Mapping[str, int]],
        routers: Callable[[], Mapping[str, str]],
        connections: SwitchConnections,
        upstream: Owning,
        changed: asyncio.Event,
        clock: Clock,
        together: int,
    ) -> None:
        self._zones = zones
        self._routers = routers
        self._connections = connections
        self._upstream = upstream
        self._changed = changed
        self._clock = clock
        self._together = together
        self._projects: dict[str, str] = {}
        self._known: Mapping[str, int] | None = None
        self._look_at = 0.0

    async def run(self) -> None:
        """Until cancelled."""
        await looks.in_turns(self._look, self._rest, failure="connections.not_shared")

    async def _look(self) -> None:
        self._changed.clear()
        await self.round()

    async def _rest(self) -> None:
        await wait(self._changed, LOOK_S)
        await asyncio.sleep(SOON_S)

    async def round(self) -> None:
        """One look, where it is time for one or there are other zones than at the last."""
        zones = await asyncio.to_thread(self._zones)
        now = self._clock.monotonic()
        if zones == self._known and now < self._look_at:
            return
        things = _things(zones, await asyncio.to_thread(self._routers))
        await self._learn(set(things.values()))
        owners = {zone: self._projects[thing] for zone, thing in things.items()}
        await asyncio.to_thread(self._share, owners)
        self._known, self._look_at = zones, now + LOOK_S

    async def _learn(self, things: Collection[str]) -> None:
        """Of those that are new. What the control plane knows nothing of has itself as a project."""
        self._projects = {key: one for key, one in self._projects.items() if key in things}
        if new := sorted(set(things) - self._projects.keys()):
            found = await self._upstream.owners(new)
            self._projects |= {key: found.get(key, key) for key in new}

    def _share(self, owners: Mapping[int, str]) -> None:
        uses = self._connections.uses(owners)
        self._connections.limit(plan(owners, uses, together=self._together))


def plan(
    owners: Mapping[int, str], uses: Mapping[int, ZoneUse], *, together: int
) -> dict[int, int]:
    """The limits to change. `owners` is the project of each zone, `uses` what the switch says of it."""
    of_projects: defaultdict[str, dict[int, int]] = defaultdict(dict)
    for zone, project in owners.items():
        if zone in uses:
            of_projects[project][zone] = uses[zone].count
    most = share(together, len(of_projects))
    changes: dict[int, int] = {}
    for counts in of_projects.values():
        wanted = shares(most, counts)
        if not _is_good(most, {zone: uses[zone] for zone in counts}, wanted):
            changes |= {zone: limit for zone, limit in wanted.items() if limit != uses[zone].limit}
    return changes


def share(together: int, projects: int) -> int:
    """What each of so many projects may have."""
    return max(
        min(PROJECT_FLOOR, together // PROJECTS_MIN), together // max(PROJECTS_MIN, projects)
    )


def shares(most: int, counts: Mapping[int, int]) -> dict[int, int]:
    """What each of a project's zones may have, which have so many now. Half of what the project may have is divided
    evenly, so that no zone has all. The other half is theirs who have more; what they leave is half for them, so that
    who needs many soon may have them, and half for whoever comes.
    """
    each = most // 2 // len(counts)
    beyond = {zone: max(0, count - each) for zone, count in counts.items()}
    half, taken = most - each * len(counts), sum(beyond.values())
    if taken > half:
        return {zone: each + more * half // taken for zone, more in beyond.items()}
    theirs = (half - taken) // 2 if taken else 0
    others = (half - taken - theirs) // len(counts)
    return {
        zone: each + others + more + theirs * more // max(1, taken) for zone, more in beyond.items()
    }


def _is_good(most: int, uses: Mapping[int, ZoneUse], wanted: Mapping[int, int]) -> bool:
    """Whether limits may stay: together no more than the project's, and each has half of the room that it could have."""
    if sum(use.limit for use in uses.values()) > most:
        return False
    return all(
        use.limit - use.count >= (wanted[zone] - use.count) // 2 for zone, use in uses.items()
    )


def _things(zones: Mapping[str, int], routers: Mapping[str, str]) -> dict[int, str]:
    """What each zone is of, by its id. The datapath of a network has zones and no connections in them."""
    found = {}
    for name, zone in zones.items():
        if name.endswith(OF_DATAPATHS):
            router = routers.get(name.rpartition("_")[0])
            if router is not None:
                found[zone] = router
        elif not name.startswith(NOBODYS):
            found[zone] = name.removeprefix(EVERYBODYS)
    return found
