"""The unit `health`: asks this host's API and pipeline as a client does, and tells keepalived by a number in a
file, which keepalived adds to the host's priority for the shared address. When the address has left this host, it ends the
connections that are left here; when it has come, those that are left at who had it and is lost. And it ends OVN's databases that
gave up, and closes gaps in the files of others.

A process that listens may be frozen, and a socket whose process is being started again takes connections; so what counts is
an answer. keepalived could start a program for each look: Python's start would cost more than everything else here.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import ssl
from dataclasses import dataclass, field
from http.client import HTTPException, HTTPSConnection

from kumoi import addresses, members
from kumoi.base import files, log
from kumoi.base.process import ProcessFailed
from kumoi.config import CloudSettings, HostSettings, Role
from kumoi.hosts.cluster import failed_databases
from kumoi.hosts.cluster.failed_databases import DatabaseServer
from kumoi.hosts.cluster.shared_connections import SharedConnections
from kumoi.hosts.units import rights
from kumoi.hosts.wires import shared_address

EVERY_S = 1.0
DATABASES_EVERY = 10  # So many times rarer.
ANSWERS_WITHIN_S = 2.0
TICKLES = (
    3  # One after the other: the first may come before its client hears where the address is now.
)
USES_MAX = 10  # Of one connection.
MISSED_MAX = {Role.API: 2, Role.PIPELINE: 4}
"""So many late answers in a row move the address, one does not. A move cuts the API's requests that are under way, so a pipeline
has longer: pushes wait, or come to another host's own address.
"""
WEIGHTS = {
    Role.API: 60,
    Role.PIPELINE: 30,
}  # Without its API a host is of less use than without the other.
FILE_MODE = 0o640
SERVER_ERROR = 500


@dataclass(slots=True)
class Asked:
    """What is asked on this host, and how often in a row it did not answer. A connection is used a few times: beginning one
    costs more than all the rest, and who takes new ones is to be known as well.
    """

    role: Role
    address: str
    port: int
    tls: ssl.SSLContext
    missed: int = 0
    _connection: HTTPSConnection | None = None
    _uses: int = 0

    @property
    def is_well(self) -> bool:
        return self.missed < MISSED_MAX[self.role]

    def answers(self) -> bool:
        """Whether it does, in time, and not that it failed."""
        if self._uses >= USES_MAX:
            self.close()
        try:
            return self._status() < SERVER_ERROR
        except TimeoutError:
            self.close()
            return False
        except (OSError, HTTPException):
            is_new = self._uses == 0
            self.close()
            return not is_new and self.answers()  # One before it may have ended with its process.

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
        self._connection, self._uses = None, 0

    def _status(self) -> int:
        """Of the answer to who asks for nothing in particular."""
        if self._connection is None:
            self._connection = HTTPSConnection(
                self.address, self.port, timeout=ANSWERS_WITHIN_S, context=self.tls
            )
        self._connection.request("GET", "/")
        answer = self._connection.getresponse()
        answer.read()
        self._uses += 1
        return answer.status


@dataclass(slots=True)
class HealthCheck:
    """`lacks` is the weight of what this host does not have: while a cloud gets its control hosts, it may have none."""

    asked: list[Asked]
    lacks: int = 0
    written: int | None = field(default=None)

    async def look(self) -> int:
        """At all of them; what is to be added to the host's priority."""
        looks = (asyncio.to_thread(each.answers) for each in self.asked)
        for each, is_there in zip(self.asked, await asyncio.gather(*looks), strict=True):
            each.missed = 0 if is_there else each.missed + 1
        ill = sum(WEIGHTS[each.role] for each in self.asked if not each.is_well)
        return -(self.lacks + ill)


@dataclass(slots=True)
class AddressWatch:
    """The shared address leaves this host, or comes: an end for connections that are left where it was."""

    address: str
    connections: SharedConnections
    _held: bool = True  # By whoever was here before.
    _tickles: int = 0

    def look(self) -> None:
        self.connections.hear()
        holds = shared_address.is_here(self.address)
        if self._held and not holds:
            self._end_connections()
        if holds and not self._held:
            self._tickles = TICKLES
        self._held = holds
        if not holds:
            return
        if self._tickles:
            self._tickles -= 1
            log.event("health.clients_tickled", clients=len(self.connections.heard))
            self.connections.tickle()
        self.connections.tell()

    def _end_connections(self) -> None:
        """They would wait for ever for what went under way here."""
        try:
            shared_address.end_connections(self.address)
        except ProcessFailed as error:
            log.failure("health.connections_left", error)
        else:
            log.event("health.connections_ended", address=self.address)


async def serve(cloud: CloudSettings, host: HostSettings) -> None:
    """Until cancelled."""
    health = HealthCheck(_asked(cloud, host), weight_of_missing(host))
    await asyncio.to_thread(shared_address.give_back, cloud.shared_address)
    databases = [*failed_databases.servers(cloud, host)]
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(_keep_whole(databases))
        tasks.create_task(_look(cloud, host, health, databases))


async def _keep_whole(databases: list[DatabaseServer]) -> None:
    """Beside all else: to write a file anew takes its time."""
    while True:
        await asyncio.to_thread(failed_databases.close_gaps, databases)
        await asyncio.sleep(EVERY_S)


async def _look(
    cloud: CloudSettings, host: HostSettings, health: HealthCheck, databases: list[DatabaseServer]
) -> None:
    with contextlib.closing(_connections(cloud, host)) as connections:
        watch = AddressWatch(cloud.shared_address, connections)
        for number in itertools.count():
            await asyncio.to_thread(watch.look)
            if number % DATABASES_EVERY == 0:
                await asyncio.to_thread(failed_databases.end_failed, databases)
            found = await health.look()
            if found != health.written:
                log.event("health.changed", added=found)
                files.replace(
                    rights.health_file(host),
                    f"{found}\n",
                    promise=files.Promise.KILL,
                    mode=FILE_MODE,
                )
                health.written = found
            await asyncio.sleep(EVERY_S)


def _connections(cloud: CloudSettings, host: HostSettings) -> SharedConnections:
    me = members.own(cloud, host)
    others = [each.address for each in cloud.control_hosts if each != me]
    return SharedConnections(
        cloud.shared_address, me.address, others, port=members.CONNECTIONS_PORT
    )


def weight_of_missing(host: HostSettings) -> int:
    return sum(weight for role, weight in WEIGHTS.items() if role not in host.roles)


def _asked(cloud: CloudSettings, host: HostSettings) -> list[Asked]:
    """Of what this host has, at the first address of each, which is the host's own."""
    places = {
        Role.API: (addresses.of_apis(cloud, host)[0], cloud.api_port),
        Role.PIPELINE: (addresses.of_pipelines(cloud, host)[0], cloud.pipeline_port),
    }
    tls = ssl.create_default_context(cafile=host.pki_dir / "ca.crt")
    return [Asked(role, *place, tls) for role, place in places.items() if role in host.roles]
