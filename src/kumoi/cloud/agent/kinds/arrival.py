"""Disks of servers that are to come here (hostapi/arrival.py): fetched beside the loop (arrivals.py), which
only asks for them and reports how far they are.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kumoi.base.errors import Permanent
from kumoi.cloud.agent.arrivals import Arrivals
from kumoi.cloud.agent.images import Images
from kumoi.cloud.drivers.instance.interface import InstanceDriver
from kumoi.cloud.drivers.instance.moving import ArrivedDisk
from kumoi.cloud.hostapi.arrival import (
    ARRIVAL,
    Arrival,
    ArrivalState,
    ArrivalStatus,
    read_arrival,
)
from kumoi.cloud.hostapi.messages import ImageContent
from kumoi.cloud.hostapi.things import NotUnderstood, Thing


@dataclass(frozen=True, slots=True)
class SeenArrival:
    """`disk` is what lies here of it. `fetched` is whether this agent has begun to fetch it, `final` the rest of it
    too; `fault` why that failed for good.
    """

    disk: ArrivedDisk | None = None
    fetched: bool = False
    final: bool = False
    state: ArrivalState = ArrivalState.COPYING
    rounds: int = 0
    sent_mib: int = 0
    disk_mib: int = 0
    fault: str = ""


@dataclass(frozen=True, slots=True)
class Fetch:
    final: bool

    def __str__(self) -> str:
        return "fetch what the disk is by now" if self.final else "fetch the disk"


@dataclass(frozen=True, slots=True)
class Fail:
    fault: str

    def __str__(self) -> str:
        return f"fail: {self.fault}"


Action = Fetch | Fail


def plan(spec: Arrival, seen: SeenArrival | None) -> list[Action]:
    """Pure."""
    if spec.done or (seen and seen.disk and seen.disk.complete and seen.disk.build == spec.build):
        return []
    if seen is None or not seen.fetched or (spec.final and not seen.final):
        return [Fetch(spec.final)]
    return [Fail(seen.fault)] if seen.fault else []


def _image_for(spec: Arrival, actions: Sequence[Action]) -> ImageContent | None:
    """The image below the disk comes first: without it the disk is of no use."""
    return spec.image if any(isinstance(action, Fetch) for action in actions) else None


class ArrivalKind:
    name = ARRIVAL

    def __init__(
        self, *, drivers: Mapping[str, InstanceDriver], images: Images, arrivals: Arrivals
    ) -> None:
        self._drivers = drivers
        self._images = images
        self._arrivals = arrivals

    def read(self, thing: Thing) -> Arrival:
        spec = read_arrival(thing)
        if spec.driver not in self._drivers:
            raise NotUnderstood(f"it has no driver {spec.driver}")
        return spec

    def announce(self, spec: Arrival) -> None:
        if spec.image is not None:
            self._images.learn_id(spec.image)

    def list_all(self) -> Mapping[str, SeenArrival]:
        lying = {
            key: disk
            for driver in self._drivers.values()
            for key, disk in driver.moving.listed().items()
        }
        return {key: self._seen(key, lying.get(key)) for key in {*lying, *self._arrivals.fetching}}

    def observe(self, thing_id: str, spec: Arrival | None) -> SeenArrival | None:  # noqa: ARG002 - the contract's
        return self.list_all().get(thing_id)

    def plan(self, spec: Arrival, seen: SeenArrival | None) -> Sequence[Action]:
        return plan(spec, seen)

    def is_prepared(self, spec: Arrival, actions: Sequence[Action]) -> bool:
        image = _image_for(spec, actions)
        return image is None or self._images.is_ready(image, spec.driver)

    async def prepare(self, spec: Arrival, actions: Sequence[Action]) -> None:
        if image := _image_for(spec, actions):
            await self._images.ensure(image, spec.driver, owner=spec.owner)

    def apply(self, spec: Arrival, actions: Sequence[Action]) -> None:
        for action in actions:
            if isinstance(action, Fail):
                raise Permanent(action.fault)
            self._arrivals.want(spec)

    def delete(self, thing_id: str) -> None:
        self._arrivals.drop(thing_id)
        for driver in self._drivers.values():
            driver.moving.forget(thing_id)

    def take_back(self, spec: Arrival, seen: SeenArrival | None, actions: Sequence[Action]) -> None:
        """What came stays until it is wanted absent, or fetched again."""

    def status(self, seen: SeenArrival | None) -> ArrivalStatus:
        if seen is None:
            return ArrivalStatus(state=ArrivalState.COPYING)
        is_complete = seen.disk is not None and seen.disk.complete
        return ArrivalStatus(
            state=ArrivalState.COMPLETE if is_complete else seen.state,
            rounds=seen.rounds,
            sent_mib=seen.sent_mib,
            disk_mib=seen.disk_mib,
        )

    def watched_pid(self, seen: SeenArrival) -> int:  # noqa: ARG002 - the contract's
        return 0

    async def tidy(
        self,
        wanted: Callable[[], Collection[Arrival]],
        seen: Mapping[str, SeenArrival],
    ) -> None:
        """Nothing lies beside the disks."""

    def tasks(self, wake: Callable[[str], None]) -> Sequence[Coroutine[Any, Any, None]]:
        return (self._arrivals.run(wake),)

    def _seen(self, server_id: str, disk: ArrivedDisk | None) -> SeenArrival:
        found = self._arrivals.fetching.get(server_id)
        if found is None:
            return SeenArrival(disk)
        return SeenArrival(
            disk,
            fetched=True,
            final=found.spec.final,
            state=found.state,
            rounds=found.rounds,
            sent_mib=found.sent_bytes >> 20,
            disk_mib=found.data_bytes >> 20,
            fault=found.fault,
        )
