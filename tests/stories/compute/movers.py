"""Two hosts between which servers of stories move, the second told what to say of disks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from openstack import exceptions
from openstack.connection import Connection
from tests import host_messages
from tests.running_cloud import FakeHost
from tests.stories.compute.conftest import Workbench

from kumoi.cloud.domain.host import enrolment
from kumoi.cloud.domain.host import host as host_domain
from kumoi.cloud.drivers.instance.fake import EVERYTHING
from kumoi.cloud.hostapi.arrival import (
    ARRIVAL,
    Arrival,
    ArrivalState,
    ArrivalStatus,
    read_arrival,
)
from kumoi.cloud.hostapi.things import GENERATION_LAST, ThingReport, raw

SPARE = "spare"


@dataclass
class Movers:
    """The host of the stories, and another to which its servers can move."""

    bench: Workbench
    admin: Connection
    spare: FakeHost

    @property
    def first(self) -> FakeHost:
        return self.bench.cloud.host

    def migrate(self, server: Any, **values: Any) -> None:
        body = {"os-migrateLive": {"host": SPARE, "block_migration": "auto"} | values}
        self._act(server, body)

    def migrate_cold(self, server: Any) -> None:
        self._act(server, {"migrate": {"host": SPARE}})

    def _act(self, server: Any, body: dict[str, Any]) -> None:
        answer = self.admin.compute.post(
            f"/servers/{server.id}/action", json=body, microversion="2.80"
        )
        exceptions.raise_from_response(answer)

    def arrivals(self) -> list[Arrival]:
        """The disks that the other host is asked for."""
        things = host_messages.things(self.spare.wanted())
        return [read_arrival(thing) for thing in things if thing.kind == ARRIVAL]

    def copied(self, state: ArrivalState, fault: str = "") -> None:
        """The other host says so of each disk."""
        status = raw(ArrivalStatus(state=state, rounds=2, sent_mib=7, disk_mib=6))
        self.spare.report(
            *(
                ThingReport(
                    kind=ARRIVAL,
                    id=arrival.id,
                    generation=arrival.generation,
                    fault=fault,
                    status=status,
                )
                for arrival in self.arrivals()
            )
        )

    def removed(self, server: Any) -> None:
        """What had come of its disk."""
        self.spare.report(
            ThingReport(kind=ARRIVAL, id=server.id, generation=GENERATION_LAST, absent=True)
        )

    def started(self, server: Any, **values: Any) -> None:
        """Up to where the other host is to start it."""
        self.migrate(server, **values)
        self.copied(ArrivalState.READY)
        self.first.settle()
        self.copied(ArrivalState.COMPLETE)

    def where(self, server: Any) -> tuple[str, str, str | None]:
        shown = self.admin.compute.get_server(server.id)
        return shown.compute_host, shown.status, shown.task_state

    def claimed(self, host: str) -> int:
        with self.bench.cloud.database.read() as connection:
            return host_domain.get(connection, host).ram_claimed_mib

    def migrations(self, server: Any) -> list[tuple[str, str, str]]:
        answer = self.admin.compute.get(
            f"/os-migrations?instance_uuid={server.id}", microversion="2.80"
        ).json()["migrations"]
        return [(each["migration_type"], each["status"], each["dest_compute"]) for each in answer]


def between(bench: Workbench, admin: Connection) -> Iterator[Movers]:
    first = bench.cloud.host
    spare = FakeHost(first.url, name=SPARE, address="172.21.0.3", offers={"lxc": EVERYTHING})
    first.offers, first.address = {"lxc": EVERYTHING}, "172.21.0.2"
    with bench.cloud.database.write() as connection:
        for host in (first, spare):
            enrolment.enrol(connection, host.name, f"key of {host.name}")
    first.register()
    # Less room than the first has, so that new servers begin there.
    spare.register(ram_mib=65_536)
    yield Movers(bench, admin, spare)
    for server in bench.connection.compute.servers():
        bench.connection.compute.delete_server(server)
    first.settle()
    spare.settle()
