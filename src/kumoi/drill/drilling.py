"""One fault after the other, under traffic, each counted from before it to when all is whole again."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from keystoneauth1.exceptions import ClientException
from openstack.exceptions import SDKException

from kumoi.drill import fault
from kumoi.drill.copies import Copies
from kumoi.drill.load import Load, within
from kumoi.drill.outcome import NEVER, DrillOutcome
from kumoi.drill.pings import Pinging
from kumoi.drill.place import DrillHost
from kumoi.drill.plan import HOST, Drilled, Fault
from kumoi.drill.redundancy import Redundancy

if TYPE_CHECKING:
    from openstack.connection import Connection

BEFORE_S, AFTER_S = 1.0, 2.0
UNIT_S = 8.0  # Longer than etcd and OVN's databases wait for a leader.
HOST_S = 30.0  # Longer than Patroni's ttl.
AGAIN_S = 120.0  # Within which all must be there again.
POLL_S = 0.3
LOOKED_AGAIN_S = 60.0


@dataclass(slots=True)
class Drilling:
    """`places` by their hosts' names."""

    places: Mapping[str, DrillHost]
    load: Load
    pinging: Sequence[Pinging]
    copies: Copies
    redundancy: Redundancy
    looker: Connection

    def perform(self, drilled: Drilled, tell: Callable[[str], None]) -> DrillOutcome:
        place = self.places.get(drilled.host)
        why = fault.hindrance(drilled, place)
        if why:
            return DrillOutcome(drilled, skipped=why)
        lost, twice = self._lost(), len(self.copies.twice)
        began_s = time.monotonic()
        time.sleep(BEFORE_S)
        with fault.made(drilled, place) as made:
            broken_s = time.monotonic()
            _hold(drilled, tell)
        mended_s = time.monotonic()
        missing = self._wait(made.killed, tell)
        again_s = NEVER if missing else time.monotonic() - mended_s
        time.sleep(AFTER_S)
        ended_s = time.monotonic()
        self.load.settle(ended_s)
        calls = within(self.load.calls, began_s, ended_s)
        # What came late may have been counted as lost before.
        packets = {name: max(0, now - lost[name]) for name, now in self._lost().items()}
        elsewhere = [
            packets[each.stream.name]
            for each in self.pinging
            if drilled.host not in each.stream.hosts
        ]
        return DrillOutcome(
            drilled,
            held_s=mended_s - broken_s,
            calls=calls.count,
            failed=calls.failed,
            slowest_s=calls.slowest_s,
            slowest=calls.slowest,
            packets_lost=sum(packets.values()),
            lost_elsewhere=sum(elsewhere),
            redundant_s=again_s,
            missing=tuple(missing),
            writes_lost=tuple(self._writes_lost()),
            servers_twice=len(self.copies.twice) - twice,
            troubles=calls.troubles,
        )

    def _wait(self, killed: Collection[int], tell: Callable[[str], None]) -> list[str]:
        """Until nothing is missing; what is, when the time is over."""
        ends_s = time.monotonic() + AGAIN_S
        while missing := self.redundancy.missing(killed):
            if time.monotonic() > ends_s:
                break
            tell(f"missing: {', '.join(missing)}")
            time.sleep(POLL_S)
        return missing

    def _lost(self) -> dict[str, int]:
        return {each.stream.name: each.lost() for each in self.pinging}

    def _writes_lost(self) -> list[str]:
        """As an API that answers says."""
        ends_s = time.monotonic() + LOOKED_AGAIN_S
        while True:
            with contextlib.suppress(SDKException, ClientException):
                return self.load.lost(self.looker)
            if time.monotonic() > ends_s:
                return ["the API does not answer"]
            time.sleep(POLL_S)


def _hold(drilled: Drilled, tell: Callable[[str], None]) -> None:
    if drilled.fault is Fault.KILL:
        return
    ends_s = time.monotonic() + (HOST_S if drilled.component == HOST else UNIT_S)
    while (left_s := ends_s - time.monotonic()) > 0:
        tell(f"{drilled.words}: {left_s:.0f} s more")
        time.sleep(POLL_S)
