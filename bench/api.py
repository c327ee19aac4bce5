"""What a request costs, over TLS, in an API process of its own over SQLite: answered one after
another, per second with eight connections, as a share of what an empty route answers in the same
run, and the processor time that the API spends on it.

What is read again and again has mostly not changed in between, and then costs less (engine/memo.py,
engine/unchanged.py). So each list is also measured when every request of it follows a change.

There are two empty routes: ours, and one of Starlette and uvicorn as they come. The second is not
touched by our work, so a share of it says more of a change than a share of ours, which moves.

Needs no cloud that is up. The shares and the processor time hold on a machine that others use too.
"""

from __future__ import annotations

import asyncio
import contextlib
import multiprocessing
import os
import socket
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from multiprocessing.connection import Connection as Pipe
from pathlib import Path
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request as PlainRequest
from starlette.responses import Response
from starlette.routing import Route as PlainRoute

from bench.load import Call, Client, Server, answers, log_in, one_by_one, together
from bench.measure import Figure, timed, until
from kumoi.base import log
from kumoi.base.clock import Clock
from kumoi.base.secret import Secret
from kumoi.cloud.api import serve as api_serve
from kumoi.cloud.api.services import Services
from kumoi.cloud.domain.identity import bootstrap
from kumoi.cloud.drivers.image import inspect
from kumoi.cloud.store.tables import metadata
from kumoi.config import CloudSettings, HostSettings
from kumoi.engine.activation import Activation
from kumoi.engine.audit import Recorder
from kumoi.engine.db import Database
from kumoi.engine.http.app import App
from kumoi.engine.http.request import Reply, Request
from kumoi.engine.http.routing import OPEN, Route
from kumoi.engine.http.service import Service
from kumoi.engine.http.serving import Certificates, Listener, serve
from kumoi.engine.wake import Alarm
from kumoi.hosts.first_use import pki

ADDRESS = "127.0.0.1"
PASSWORD = "bench"
CLIENTS = 8
PLAIN = "an empty route of Starlette and uvicorn, as they come"
START_S = 30.0
ONE_BY_ONE = 300
EACH = 150
LOGINS = 20
NETWORKS = 10
IMAGES = 5
FLAVORS = 4
QUIET = 50  # Above every level that our log lines have.
TICK_MS = 1000 / os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Goal:
    """At most so many ms, at least so many per second, at least such a share of an empty route, and
    of a plain one.
    """

    ms: float | None = None
    per_s: float | None = None
    share: float | None = None
    plain_share: float | None = None


@dataclass(frozen=True, slots=True)
class Measured:
    what: str
    ms: list[float]
    per_s: float
    cpu_ms: float
    changed_ms: list[float]  # Each after a change of a network; empty where that is not measured.


def figures() -> list[Figure]:
    with _processes() as (nobody, pid, plain, plain_pid):
        server = tenant(nobody)
        client = Client(server)
        calls, change = _calls(client, server)
        base = _measure(plain, plain_pid, PLAIN, Call("GET", "/"))
        found = [
            _measure(server, pid, what, call, change if goal.ms and call.method == "GET" else None)
            for what, (call, goal) in calls.items()
        ]
        client.close()
        logins = timed(lambda: log_in(nobody, "demo", PASSWORD), LOGINS)
    rows = [Figure("POST auth/tokens, with password hashing", logins, "ms", 120)]
    for measured in (base, *found):
        goal = Goal() if measured is base else calls[measured.what][1]
        rows += _shown(measured, goal, found[0], base)
    return rows


def _shown(measured: Measured, goal: Goal, empty: Measured, base: Measured) -> list[Figure]:
    together = f"  with {CLIENTS} connections"
    share, plain_share = measured.per_s / empty.per_s, measured.per_s / base.per_s
    changed = [Figure("  each after a change", measured.changed_ms, "ms", goal.ms)]
    return [
        Figure(measured.what, measured.ms, "ms", goal.ms),
        *(changed if measured.changed_ms else []),
        Figure(together, [measured.per_s], "per s", goal.per_s, at_least=True),
        Figure("  of an empty route", [share], "", goal.share, at_least=True),
        Figure("  of a plain one", [plain_share], "", goal.plain_share, at_least=True),
        Figure("  processor time", [measured.cpu_ms], "ms"),
    ]


def tenant(nobody: Server) -> Server:
    """As the demo user, whose quotas are lifted. There are flavors."""
    admin = log_in(nobody, "admin", PASSWORD)
    server = log_in(nobody, "demo", PASSWORD)
    client = Client(admin)
    projects = client.ask(Call("GET", "/identity/v3/projects?name=demo"))["projects"]
    quota = {"quota": {"network": -1, "port": -1}}
    client.ask(Call("PUT", f"/network/v2.0/quotas/{projects[0]['id']}", quota))
    for number in range(FLAVORS):
        flavor = {"name": f"bench-{number}", "ram": 512, "vcpus": 1, "disk": 5}
        client.ask(Call("POST", "/compute/v2.1/flavors", {"flavor": flavor}))
    client.close()
    return server


def _calls(client: Client, server: Server) -> tuple[dict[str, tuple[Call, Goal]], Call]:
    """What is measured, and the change of a network. What lists need is made first."""

    def network(name: str) -> Call:
        return Call("POST", "/network/v2.0/networks", {"network": {"name": name}})

    made = [client.ask(network(f"bench-{n}"))["network"]["id"] for n in range(NETWORKS)]
    subnet = {"network_id": made[0], "cidr": "10.6.0.0/16", "ip_version": 4}
    client.ask(Call("POST", "/network/v2.0/subnets", {"subnet": subnet}))
    for number in range(IMAGES):
        image = {"name": f"bench-{number}", "disk_format": "raw", "container_format": "bare"}
        client.ask(Call("POST", "/image/v2/images", image))
    change = Call("PUT", f"/network/v2.0/networks/{made[0]}", {"network": {"description": "other"}})
    validate = Call("GET", "/identity/v3/auth/tokens", headers={"X-Subject-Token": server.token})
    calls = {
        "an empty route": (Call("GET", "/empty/"), Goal()),
        "GET auth/tokens, validating": (validate, Goal(1.2, 1000, 0.40, 0.40)),
        "GET networks": (Call("GET", "/network/v2.0/networks"), Goal(1.5, 800, 0.32, 0.32)),
        "GET flavors/detail": (
            Call("GET", "/compute/v2.1/flavors/detail"),
            Goal(1.0, 1000, 0.40, 0.40),
        ),
        "GET images": (Call("GET", "/image/v2/images"), Goal(1.2, 900, 0.36, 0.36)),
        "POST ports": (
            Call("POST", "/network/v2.0/ports", {"port": {"network_id": made[0]}}),
            Goal(6, 200),
        ),
        "POST networks": (network("bench"), Goal(5, 250)),
    }
    return calls, change


def _measure(
    server: Server, pid: int, what: str, call: Call, change: Call | None = None
) -> Measured:
    before = _cpu_ms(pid)
    ms = one_by_one(server, call, ONE_BY_ONE)
    per_s = together(server, call, clients=CLIENTS, times=EACH)
    requests = ONE_BY_ONE + 1 + CLIENTS * (EACH + 1)
    cpu_ms = (_cpu_ms(pid) - before) / requests
    changed_ms = [] if change is None else one_by_one(server, call, ONE_BY_ONE, after=change)
    return Measured(what, ms, per_s, cpu_ms, changed_ms)


def _cpu_ms(pid: int) -> float:
    """Processor time of a process, user and system."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) * TICK_MS


# The processes.


@contextlib.contextmanager
def _processes() -> Iterator[tuple[Server, int, Server, int]]:
    """The API, and a plain empty route with the same certificate: where they are, and their ids."""
    with (
        tempfile.TemporaryDirectory(prefix="kumoi-bench-") as directory,
        contextlib.ExitStack() as ends,
    ):
        api = ends.enter_context(process(serve_api, Path(directory)))
        plain = ends.enter_context(process(_serve_plain, Path(directory)))
        yield *api, *plain


@contextlib.contextmanager
def process(target: Callable[[Pipe, Path], None], directory: Path) -> Iterator[tuple[Server, int]]:
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    child = context.Process(target=target, args=(theirs, directory))
    child.start()
    try:
        port: int = ours.recv()
        server = Server(ADDRESS, port, "", directory / "pki" / "ca.crt")
        until(lambda: answers(server), within_s=START_S)
        yield server, child.pid or 0
    finally:
        child.terminate()
        child.join(30)


def serve_api(pipe: Pipe, directory: Path) -> None:
    log.set_up("bench", level=QUIET)
    port = free_port()
    cloud = CloudSettings(
        name="bench",
        database_url=f"sqlite:///{directory}/store.db",
        api_public_url=f"https://{ADDRESS}:{port}",
    )
    host = HostSettings(name="host1", state_dir=str(directory))
    host.image_dir.mkdir(parents=True)
    pki.ensure(cloud, host, datetime.now(UTC))
    database = Database(cloud.database_url, wake_dir=host.wake_dir)
    metadata.create_all(database.engine)
    first = bootstrap.prepare(admin_password=Secret(PASSWORD), demo_password=Secret(PASSWORD))
    with database.write() as connection:
        bootstrap.bootstrap(connection, cloud, first)
    services = api_serve.build_services(cloud, host, database, Clock(), inspect.check_file)
    pipe.send(port)
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_until_ended(services, host.pki_dir, port))


async def _until_ended(services: Services, pki_dir: Path, port: int) -> None:
    alarm = Alarm(services.database.listen)
    certificates = Certificates(pki_dir / "api.crt", pki_dir / "api.key")
    cloud = services.cloud
    app = App(
        services,
        (*api_serve.SERVICES, EMPTY),
        root=cloud.api_url,
        body_max_bytes=cloud.body_max_bytes,
        recorder=Recorder(services.database, services.clock),
    )
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(api_serve.watch_revocations(services, alarm))
        tasks.create_task(serve([Listener(app, ADDRESS, port, certificates)], Activation.none()))


def _serve_plain(pipe: Pipe, directory: Path) -> None:
    """What stands under us, as it comes: nothing is set but the address and the certificate."""
    app = Starlette(routes=[PlainRoute("/", _plainly_nothing)])
    port = free_port()
    pipe.send(port)
    pki_dir = directory / "pki"
    uvicorn.run(
        app,
        host=ADDRESS,
        port=port,
        ssl_certfile=pki_dir / "api.crt",
        ssl_keyfile=pki_dir / "api.key",
        access_log=False,
        log_level="error",
    )


def _plainly_nothing(_request: PlainRequest) -> Response:
    return Response(b"{}", media_type="application/json")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind((ADDRESS, 0))
        return int(probe.getsockname()[1])


def _nothing(_request: Request[Any, Any]) -> Reply:
    return Reply(200, b"{}")


EMPTY = Service(type="empty", prefix="empty", routes=(Route("GET", "/", _nothing, OPEN),))
