"""The real APIs in this process, on loopback, over a store of their own. For stories.

No worker and no host runs: a FakeHost does, when told to, what a host agent would do, through the
host API.
"""

from __future__ import annotations

import asyncio
import collections
import contextlib
import socket
import threading
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import httpx
import msgspec
import openstack
import sqlalchemy as sa
from openstack.connection import Connection
from starlette.requests import Request

from kumoi.base.clock import Clock
from kumoi.base.secret import Secret
from kumoi.cloud.api import serve as api_serve
from kumoi.cloud.api.host.app import host_app
from kumoi.cloud.api.host.routes import SERVICE as HOST
from kumoi.cloud.api.services import Services
from kumoi.cloud.domain.identity import bootstrap
from kumoi.cloud.drivers.image import inspect
from kumoi.cloud.hostapi.hello import PATH, Allocation, HostHello
from kumoi.cloud.hostapi.lease import LEASE_PATH, LeaseAnswer
from kumoi.cloud.hostapi.messages import SERVER, InstanceSpec
from kumoi.cloud.hostapi.offer import Offer
from kumoi.cloud.hostapi.things import (
    GENERATION_LAST,
    Message,
    Reports,
    ThingReport,
    WantedThings,
    raw,
)
from kumoi.cloud.hostapi.witness import WITNESS_PATH, WitnessAnswer
from kumoi.cloud.store.tables import metadata
from kumoi.components import OPTIONAL_APIS, Api
from kumoi.config import CloudSettings, HostSettings
from kumoi.engine import audit, schema
from kumoi.engine.activation import Activation
from kumoi.engine.db import Database
from kumoi.engine.http.serving import Listener, serve
from kumoi.engine.wake import Alarm
from tests import host_messages
from tests.cheap_hashes import cheap_hashes
from tests.free_port import free_port
from tests.lease_book import RememberedLeases
from tests.plain_http import PLAIN
from tests.route_coverage import RouteCoverage

OWN_TOKEN = "/v3/auth/tokens"  # Ended by whoever has it: the initiator's token says which.
ADMIN_PASSWORD = "admin-secret"
DEMO_PASSWORD = "demo-secret"
START_S = 15.0
IMPORTED_FROM = "127.0.0.9"
"""The only address beside the internet that images are downloaded from."""
HOST_HEADER = "X-Test-Host"


@dataclass
class FakeHost:
    """Answers for one host. `fail_with` makes it report every build as failed, and what it had built
    before as still there. With `fenced` it stops its servers when its lease has ended.
    """

    url: str
    name: str = "host1"
    fail_with: str = ""
    fenced: bool = False
    address: str = ""
    release: str = "0"
    booted_at: int | None = None
    offers: dict[str, Offer] = field(default_factory=dict)
    built: dict[str, InstanceSpec] = field(default_factory=dict)
    failed: set[str] = field(default_factory=set)

    def register(
        self,
        *,
        vcpus: int = 64,
        ram_mib: int = 262_144,
        disk_gib: int = 10_000,
        allocation: Allocation | None = None,
    ) -> None:
        hello = HostHello(
            release=self.release,
            hostname=self.name,
            drivers=list(self.offers) or ["lxc"],
            offers=self.offers,
            vcpus=vcpus,
            ram_mib=ram_mib,
            disk_gib=disk_gib,
            address=self.address,
            allocation=allocation or Allocation(),
            booted_at=self.booted_at,
        )
        self._send("PUT", "hello", hello)

    def wanted(self, since: WantedThings | None = None) -> WantedThings:
        answer = httpx.get(
            f"{self.url}{PATH}/wanted",
            params={"wait_s": 0}
            | ({"epoch": since.epoch, "since": since.revision} if since else {}),
            headers={HOST_HEADER: self.name},
            verify=PLAIN,
        )
        answer.raise_for_status()
        return msgspec.json.decode(answer.content, type=WantedThings)

    def settle(self) -> None:
        """Bring every server to what is wanted of it, remove those that are not to be here any more, and
        say so.
        """
        servers = self.servers()
        gone = (self.built.keys() | self.failed) - {server.id for server in servers}
        reports = [
            host_messages.report(
                server,
                fault=self.fail_with,
                before=self.built.get(server.id),
                fenced=self.fenced,
            )
            for server in servers
        ]
        reports += [
            ThingReport(kind=SERVER, id=key, generation=GENERATION_LAST, absent=True)
            for key in sorted(gone)
        ]
        self.failed = {server.id for server in servers} if self.fail_with else set()
        if not self.fail_with:
            self.built = {server.id: server for server in servers}
        if reports:
            self._send("POST", "reports", host_messages.reports(reports))

    def report(self, *reports: ThingReport) -> None:
        """Of things that are no servers."""
        self._send("POST", "reports", Reports(reports=[raw(one) for one in reports]))

    def renew_lease(self) -> LeaseAnswer:
        answer = httpx.post(
            f"{self.url}{PATH}{LEASE_PATH}", headers={HOST_HEADER: self.name}, verify=PLAIN
        )
        answer.raise_for_status()
        return msgspec.json.decode(answer.content, type=LeaseAnswer)

    def say_of(self, host: str, *, reached: bool, tunnel: str = "") -> None:
        """Whether that host answers this one."""
        answer = WitnessAnswer(host=host, reached=reached, tunnel=tunnel)
        self._send("POST", WITNESS_PATH.strip("/"), answer)

    def servers(self) -> list[InstanceSpec]:
        """All that are wanted of it."""
        return host_messages.servers(self.wanted())

    def _send(self, method: str, what: str, message: Message) -> None:
        answer = httpx.request(
            method,
            f"{self.url}{PATH}/{what}",
            content=msgspec.json.encode(message),
            headers={HOST_HEADER: self.name},
            verify=PLAIN,
        )
        answer.raise_for_status()


@dataclass
class RunningCloud:
    """`url` is where the service prefixes are: `<url>/identity/v3`."""

    config: CloudSettings
    here: HostSettings
    database: Database
    services: Services
    url: str
    host: FakeHost
    leases: RememberedLeases

    def connect(self, user: str, password: str, project: str | None) -> Connection:
        return openstack.connection.Connection(
            auth_type="password",
            auth={
                "auth_url": f"{self.url}/identity",
                "username": user,
                "password": password,
                "project_name": project,
                "user_domain_id": "default",
                "project_domain_id": "default",
            },
            region_name=self.config.region,
            identity_api_version="3",
            compute_default_microversion="2.96",
        )


@contextlib.contextmanager
def running_cloud(
    directory: Path, database_url: str, apis: Collection[str] = tuple(Api)
) -> Iterator[RunningCloud]:
    """A cloud with its administrator, its demo user and one registered host."""
    with cheap_hashes(), _started(directory, database_url, apis) as cloud:
        yield cloud


@contextlib.contextmanager
def _started(directory: Path, database_url: str, apis: Collection[str]) -> Iterator[RunningCloud]:
    port, host_port = free_port(), free_port()
    config = CloudSettings(
        name="story",
        database_url=database_url,
        apis_off=tuple(api for api in OPTIONAL_APIS if api not in apis),
        api_public_url=f"http://127.0.0.1:{port}",
        image_import_networks=f"{IMPORTED_FROM}/32",
    )
    here = HostSettings(name="host1", state_dir=str(directory))
    for needed in (here.pki_dir, here.image_dir):
        needed.mkdir(parents=True, exist_ok=True)
    database = Database(database_url, wake_dir=here.wake_dir)
    metadata.create_all(database.engine)
    passwords = bootstrap.prepare(
        admin_password=Secret(ADMIN_PASSWORD), demo_password=Secret(DEMO_PASSWORD)
    )
    with database.write() as connection:
        bootstrap.bootstrap(connection, config, passwords)
    built = api_serve.build_services(config, here, database, Clock(), inspect.check_file)
    leases = RememberedLeases()
    services = replace(built, leases=leases)
    try:
        counted = RouteCoverage(
            api_serve.app(services), [each for each in api_serve.SERVICES if each.type in apis]
        )
        with _serving(services, counted, port, host_port):
            host = FakeHost(f"http://127.0.0.1:{host_port}")
            host.register()
            yield RunningCloud(config, here, database, services, config.api_url, host, leases)
        _require_records(database, counted)
    finally:
        database.close()


def _require_records(database: Database, apis: RouteCoverage) -> None:
    """Every change that a story made has left one record, which names its target."""
    with database.read() as connection:
        rows = connection.execute(sa.select(schema.audit)).mappings().all()
    found = collections.defaultdict(list)
    for row in rows:
        found[row["request_id"]].append((row["outcome"], bool(row["target_id"])))
    wrong = [
        f"{route.method} {route.path}: {found[request_id]}"
        for request_id, route in apis.changed.items()
        if found[request_id] != [(audit.SUCCESS, True)] and route.path != OWN_TOKEN
    ]
    if wrong:
        raise AssertionError(f"changes without their one record: {wrong}")


@contextlib.contextmanager
def _serving(services: Services, apis: RouteCoverage, port: int, host_port: int) -> Iterator[None]:
    loop = asyncio.new_event_loop()
    thread = threading.Thread(
        target=loop.run_until_complete, args=[_serve(services, apis, port, host_port)]
    )
    thread.start()
    try:
        _wait_for(port)
        _wait_for(host_port)
        yield
    finally:
        loop.call_soon_threadsafe(_cancel_all, loop)
        thread.join(START_S)
        loop.close()


async def _serve(services: Services, apis: RouteCoverage, port: int, host_port: int) -> None:
    alarm = Alarm(services.database.listen)
    hosts = host_app(services, alarm, identify=_by_header)
    with contextlib.suppress(asyncio.CancelledError):
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(api_serve.watch_revocations(services, alarm))
            tasks.create_task(serve([Listener(apis, "127.0.0.1", port)], Activation.none()))
            hosts = RouteCoverage(hosts, [HOST])
            tasks.create_task(serve([Listener(hosts, "127.0.0.1", host_port)], Activation.none()))
    await alarm.close()


async def _by_header(http: Request) -> str:
    return http.headers[HOST_HEADER]


def _cancel_all(loop: asyncio.AbstractEventLoop) -> None:
    for task in asyncio.all_tasks(loop):
        task.cancel()


def _wait_for(port: int) -> None:
    """Until something listens, for START_S at most."""
    clock = Clock()
    until = clock.monotonic() + START_S
    while clock.monotonic() < until:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 0.2):
            return
    raise TimeoutError(f"nothing listens on port {port} after {START_S:g} s")
