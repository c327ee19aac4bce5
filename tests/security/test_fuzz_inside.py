"""What a host of the cloud and a pipeline's runner may say: of each route many bodies, some spoilt, as
test_fuzz.py sends them to the APIs of tenants. A runner has a tenant's code beside it, and a host is a machine
that servers run on: neither takes the control plane down, nor makes it grow.
"""

from __future__ import annotations

import asyncio
import base64
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from random import Random
from typing import Any

import pytest
from starlette.requests import Request as HttpRequest

from kumoi.cloud.api.host.app import host_app
from kumoi.cloud.hostapi.hello import HostHello
from kumoi.cloud.hostapi.load_balancer import BalancerStatus
from kumoi.cloud.hostapi.messages import ServerStatus
from kumoi.cloud.hostapi.things import ThingReport
from kumoi.engine.audit import Recorder
from kumoi.engine.db import Database
from kumoi.engine.http.app import App
from kumoi.engine.wake import Alarm
from kumoi.pipeline.api.request import Pipeline
from kumoi.pipeline.api.routes import SERVICES
from kumoi.pipeline.api.runner import LogBatch, RunnerClaim, StageResult
from kumoi.pipeline.keys import digest
from kumoi.pipeline.store import repository, run, runner
from kumoi.pipeline.store.schema import metadata
from tests.conftest import database_url
from tests.security.bodies import Known, Make, any_json, of_shape, text
from tests.security.fuzzed import (
    BODIES,
    BYTES_MAX,
    COMPUTE,
    HALVES,
    OURS,
    Fuzzed,
    make_things,
    maybe_spoilt,
)
from tests.security.in_process import InProcessCloud, in_process_cloud

HOST = "host1"
SESSION, RUN = "s" * 40, "0123456789ab"
Told = Fuzzed[InProcessCloud]
SPARE = "no report is of it"
QUERIES = ("since=1&epoch=x", "wait_s=nan", "since=-1", "since=1e400", "epoch=%00")
BLOCKS_MAX = 20
"""That the process may grow by for each body: some say 500 things."""


@pytest.fixture(scope="class")
def asked(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Told, Told]]:
    """As a host, and as a runner."""
    directory = tmp_path_factory.mktemp("cloud")
    (directory / "pipeline").mkdir()
    with (
        database_url(request.cls.backend, directory, request) as url,
        database_url(request.cls.backend, directory / "pipeline", request) as pipeline_url,
        in_process_cloud(directory, url) as cloud,
        asyncio.Runner() as loop,
    ):
        cloud.add_host()
        cloud.lift_quotas()
        host = Fuzzed(cloud, loop.run(_host_app(cloud)), loop)
        make_things(host)
        host.by_words[SPARE] = deque([_spare_server(host)])
        database = Database(pipeline_url, wake_dir=directory / "pipeline")
        yield host, loop.run(_as_runner(cloud, database, loop))
        database.close()


def _spare_server(host: Told) -> str:
    flavor, image = host.by_words["flavors"][0], host.by_words["images"][0]
    body = {"name": "s", "flavorRef": flavor, "imageRef": image, "networks": "none"}
    answer = host.at.ask("POST", f"{COMPUTE}/servers", {"server": body})
    return str(answer.json()["server"]["id"])


async def _host_app(cloud: InProcessCloud) -> Any:
    async def identify(_http: HttpRequest) -> str:
        return HOST

    return host_app(cloud.services, Alarm(cloud.database.listen), identify=identify)


async def _as_runner(cloud: InProcessCloud, database: Database, loop: asyncio.Runner) -> Told:
    """Of a run whose job it has claimed."""
    metadata.create_all(database.engine)
    now = cloud.services.clock.now()
    with database.write() as connection:
        wanted = repository.Repository("r", cloud.project_id, "admin", "hello", now)
        owner = repository.ensure(connection, wanted)
        run.add(
            connection,
            run.Run(
                RUN,
                owner.id,
                cloud.project_id,
                "main",
                "0" * 40,
                1,
                "running",
                "verify",
                "",
                "",
                [],
                now,
            ),
        )
        runner.add(
            connection,
            runner.Runner(
                RUN,
                "",
                digest("token"),
                "key",
                "key",
                "",
                session_hash=digest(SESSION),
                job={"a": 1},
            ),
        )
    nobody: Any = None
    alarm = Alarm(database.listen)
    services = Pipeline(
        cloud.services.cloud,
        nobody,
        database,
        cloud.services.clock,
        nobody,
        nobody,
        alarm,
        heads=nobody,
        copies=nobody,
    )
    recorder = Recorder(database, cloud.services.clock)
    app = App(services, SERVICES, root="http://asked", recorder=recorder)
    return Fuzzed(cloud, app, loop, authorization=f"Bearer {SESSION}")


def _reports(known: Known) -> Make:
    """Of things that there are, of kinds and with words that are known, and of others."""
    statuses = [of_shape(ServerStatus, known), of_shape(BalancerStatus, known), any_json]
    report = of_shape(ThingReport, known)

    def of_what_there_is(chance: Random) -> Any:
        made = {
            "kind": chance.choice(("server", "load_balancer")),
            "id": chance.choice(known.ids),
            "generation": chance.choice((chance.randint(0, 3), chance.randint(-(2**63), 2**63))),
            "status": chance.choice(statuses)(chance),
        }
        if chance.randrange(2):
            made["absent"] = chance.random() < 0.5
        if chance.randrange(2):
            made["fault"] = text(chance, 300)
        return made

    def made(chance: Random) -> Any:
        items = (of_what_there_is, of_what_there_is, report, any_json)
        if chance.randrange(3) == 0:
            return {"reports": [chance.choice(items)(chance)] * 500}
        return {"reports": [chance.choice(items)(chance) for _ in range(chance.randint(0, 3))]}

    return made


def _content(chance: Random) -> bytes:
    return chance.choice((b"\xff\x00" * 40_000, chance.randbytes(chance.randint(0, 2_000))))


def _outcomes(
    fuzzed: Told, chance: Random, method: str, paths: Sequence[str], make: Make
) -> set[bool]:
    """Whether some were accepted, and some refused. A body that is not bytes is spoilt now and then."""
    found = set()
    for _ in range(BODIES // len(HALVES)):
        body = make(chance)
        if not isinstance(body, bytes):
            body = maybe_spoilt(body, chance)
        found.add(fuzzed.sends(method, chance.choice(paths), body))
    return found


def _hello(host: Told, _told: Told, chance: Random) -> None:
    make = of_shape(HostHello, host.known)
    assert _outcomes(host, chance, "PUT", ["/host/v1/hello"], make) == {True, False}


def _say_reports(host: Told, _told: Told, chance: Random) -> None:
    make = _reports(host.known)
    assert True in _outcomes(host, chance, "POST", ["/host/v1/reports"], make)


def _consoles(host: Told, _told: Told, chance: Random) -> None:
    keys = (*host.by_words[SPARE], *list(host.known.ids)[:3], "none")
    consoles = [f"/host/v1/servers/{key}/console" for key in keys]
    assert _outcomes(host, chance, "PUT", consoles, _content) == {True, False}


def _images(host: Told, _told: Told, chance: Random) -> None:
    images = [f"/host/v1/images/{key}" for key in (*host.known.ids, "none")]
    _outcomes(host, chance, "PUT", images, _content)
    _outcomes(host, chance, "DELETE", images, lambda _: b"")


def _looks(host: Told, _told: Told, chance: Random) -> None:
    for _ in range(BODIES // len(HALVES)):
        query = chance.choice(QUERIES)
        status, _ = host.ask("GET", "/host/v1/wanted", b"", query=query)
        assert status < OURS


def _claim(_host: Told, told: Told, chance: Random) -> None:
    told.authorization = "Bearer token"
    make = of_shape(RunnerClaim, told.known)
    assert _outcomes(told, chance, "POST", ["/runner/v1/claim"], make) == {False}


def _log(_host: Told, told: Told, chance: Random) -> None:
    told.authorization = f"Bearer {SESSION}"
    make = of_shape(LogBatch, told.known)
    assert _outcomes(told, chance, "POST", ["/runner/v1/log"], make) == {True, False}


def _result(_host: Told, told: Told, chance: Random) -> None:
    told.authorization = f"Bearer {SESSION}"
    make = of_shape(StageResult, told.known)
    assert _outcomes(told, chance, "POST", ["/runner/v1/result"], make) == {True, False}


def _authorizations(_host: Told, told: Told, _chance: Random) -> None:
    for said in (
        "",
        "Bearer",
        "Bearer " + "x" * 5_000,
        "Basic " + base64.b64encode(b"a").decode(),
        "\xff",
    ):
        told.authorization = said
        for name in ("claim", "log", "result", "next"):
            status, _ = told.ask("POST", f"/runner/v1/{name}", b"{}")
            assert status == 401


SAID: dict[str, Callable[[Told, Told, Random], None]] = {
    "hello": _hello,
    "reports": _say_reports,
    "consoles": _consoles,
    "images": _images,
    "looks": _looks,
    "claim": _claim,
    "log": _log,
    "result": _result,
    "authorizations": _authorizations,
}


class OnDatabase:
    backend = ""

    @pytest.mark.parametrize(("half", "what"), [(half, what) for half in HALVES for what in SAID])
    def test_nothing_that_a_host_or_a_runner_says_is_our_fault(
        self, asked: tuple[Told, Told], half: str, what: str
    ) -> None:
        if half == HALVES[1]:
            asked[0].half_done()
        SAID[what](*asked, Random(f"{half} of {what}"))

    def test_the_process_does_not_grow(self, asked: tuple[Told, Told]) -> None:
        grown = asked[0].grown()
        assert grown.blocks <= BLOCKS_MAX
        assert grown.bytes <= BYTES_MAX


class TestOnSqlite(OnDatabase):
    backend = "sqlite"


class TestOnPostgresql(OnDatabase):
    backend = "postgresql"
