"""A host that has balancers, as the control plane sees it."""

from __future__ import annotations

import kumoi
from kumoi.cloud.hostapi.load_balancer import (
    LOAD_BALANCER,
    BalancerStatus,
    BalancerThing,
    ListenerCounters,
    read_balancer,
)
from kumoi.cloud.hostapi.things import ThingReport, raw
from tests import host_messages
from tests.running_cloud import FakeHost, RunningCloud


def told(host: FakeHost, balancer_id: str) -> list[BalancerThing]:
    """What a host is told of a balancer."""
    things = host_messages.things(host.wanted())
    return [
        read_balancer(one)
        for one in things
        if (one.kind, one.id) == (LOAD_BALANCER, balancer_id) and not one.absent
    ]


def report(
    host: FakeHost,
    balancer: BalancerThing,
    members: dict[str, str],
    counters: dict[str, ListenerCounters] | None = None,
) -> None:
    one = ThingReport(
        kind=LOAD_BALANCER,
        id=balancer.id,
        generation=balancer.generation,
        status=raw(BalancerStatus(members=members, counters=counters or {})),
    )
    host.report(one)


def serving(cloud: RunningCloud) -> FakeHost:
    """A host that knows load balancers."""
    host = cloud.host
    host.release = kumoi.__version__
    host.register()
    return host
