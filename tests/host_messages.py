"""The messages of hosts in tests: servers read from the wanted things, and reports of servers."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import msgspec

from kumoi.cloud.hostapi.messages import (
    SERVER,
    InstanceSpec,
    InstanceState,
    Power,
    ServerStatus,
    read_server,
)
from kumoi.cloud.hostapi.things import Reports, Thing, ThingReport, WantedThings, raw

STATES = {
    Power.RUNNING: InstanceState.RUNNING,
    Power.STOPPED: InstanceState.STOPPED,
    Power.PAUSED: InstanceState.PAUSED,
    Power.ABSENT: InstanceState.ABSENT,
}


@dataclass(frozen=True, slots=True)
class ServerReport:
    """What a host reported of a server."""

    id: str
    generation: int
    state: InstanceState
    fault: str = ""
    boot: int = 0
    hard_boot: int = 0
    build: int = 0
    fenced: bool = False


def things(wanted: WantedThings) -> list[Thing]:
    return [msgspec.json.decode(thing, type=Thing) for thing in wanted.things]


def servers(wanted: WantedThings) -> list[InstanceSpec]:
    return [
        InstanceSpec(id=thing.id, generation=thing.generation, power=Power.ABSENT)
        if thing.absent
        else read_server(thing)
        for thing in things(wanted)
        if thing.kind == SERVER
    ]


def server_report(report: ThingReport) -> ServerReport:
    if report.fault:
        return ServerReport(report.id, report.generation, InstanceState.FAILED, report.fault)
    if report.absent:
        return ServerReport(report.id, report.generation, InstanceState.ABSENT)
    status = msgspec.json.decode(report.status, type=ServerStatus)
    boots = (status.boot, status.hard_boot, status.build)
    return ServerReport(
        report.id, report.generation, status.state, "", *boots, fenced=status.fenced
    )


def report(
    server: InstanceSpec,
    *,
    fault: str = "",
    before: InstanceSpec | None = None,
    fenced: bool = False,
) -> ThingReport:
    """That it is as wanted, or is not for that reason; and then what there is, from before."""
    if server.power is Power.ABSENT:
        return ThingReport(kind=SERVER, id=server.id, generation=server.generation, absent=True)
    said = ThingReport(kind=SERVER, id=server.id, generation=server.generation, fault=fault)
    there = before if fault else server
    if there is None:
        return said
    status = ServerStatus(
        state=STATES[there.power],
        boot=there.boot,
        hard_boot=there.hard_boot,
        build=there.build,
        fenced=fenced,
    )
    return msgspec.structs.replace(said, status=raw(status))


def reports(many: Iterable[ThingReport]) -> Reports:
    return Reports(reports=[raw(item) for item in many])


def read_reports(body: bytes) -> list[ThingReport]:
    many = msgspec.json.decode(body, type=Reports)
    return [msgspec.json.decode(item, type=ThingReport) for item in many.reports]
