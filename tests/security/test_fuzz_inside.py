"""What a host of the cloud and a pipeline's runner may say: of each route many bodies, some spoilt, as
test_fuzz.py sends them to the APIs of tenants. A runner has a tenant's code beside it, and a host is a machine
that servers run on: neither takes the control plane down.
"""

from __future__ import annotations

import asyncio
import base64
import gc
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
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
from tests.security.bodies import ANY_JSON, JUNK, encoded, of_shape, spoilt
from tests.security.in_process import InProcessCloud, in_process_cloud
from tests.security.test_fuzz import (
    AGAIN,
    BODIES,
    GROWN_MAX,
    OURS,
    REFUSED,
    SAID_SO,
    Fuzzed,
    make_things,
)

HOST = "host1"
SESSION, RUN = "s" * 40, "0123456789ab"
BYTES = st.binary(max_size=2_000) | st.just(b"\xff\x00" * 40_000)


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def asked(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Fuzzed, Fuzzed]]:
    """As a host, and as a runner."""
    directory = tmp_path_factory.mktemp("cloud")
    (directory / "pipeline").mkdir()
    with (
        database_url(request.param, directory, request) as url,
        database_url(request.param, directory / "pipeline", request) as pipeline_url,
        in_process_cloud(directory, url) as cloud,
        asyncio.Runner() as loop,
    ):
        cloud.add_host()
        cloud.lift_quotas()
        host = Fuzzed(cloud, loop.run(_host_app(cloud)), loop)
        make_things(host)
        database = Database(pipeline_url, wake_dir=directory / "pipeline")
        yield host, loop.run(_as_runner(cloud, database, loop))
        database.close()


async def _host_app(cloud: InProcessCloud) -> Any:
    async def identify(_http: HttpRequest) -> str:
        return HOST

    return host_app(cloud.services, Alarm(cloud.database.listen), identify=identify)


async def _as_runner(cloud: InProcessCloud, database: Database, loop: asyncio.Runner) -> Fuzzed:
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


def _reports(ids: list[str]) -> st.SearchStrategy[Any]:
    """Of things that there are, of kinds and with words that are known, and of others."""
    known = st.fixed_dictionaries(
        {
            "kind": st.sampled_from(("server", "load_balancer")),
            "id": st.sampled_from(ids),
            "generation": st.integers(0, 3) | st.integers(-(2**63), 2**63),
            "status": of_shape(ServerStatus, ids) | of_shape(BalancerStatus, ids) | ANY_JSON,
        },
        optional={"absent": st.booleans(), "fault": st.text(max_size=300)},
    )
    one = known | known | of_shape(ThingReport, ids) | ANY_JSON
    few = st.lists(one, max_size=3)
    return (few | few | one.map(lambda each: [each] * 500)).map(lambda many: {"reports": many})


def _encoded(made: st.SearchStrategy[Any]) -> st.SearchStrategy[bytes]:
    def encode(parts: tuple[Any, int, Any]) -> bytes:
        body, number, junk = parts
        return encoded(spoilt(body, number, junk) if number % 3 == 0 else body)

    return st.tuples(made, st.integers(0, 10**6), st.sampled_from(JUNK)).map(encode)


def _never_our_fault(
    fuzzed: Fuzzed,
    method: str,
    paths: list[str],
    bodies: st.SearchStrategy[bytes],
    *,
    query: str = "",
) -> set[bool]:
    """Whether some were accepted, and some refused."""
    outcomes: set[bool] = set()

    @settings(
        max_examples=BODIES * 2,
        derandomize=True,
        database=None,
        deadline=None,
        phases=(Phase.generate,),
        suppress_health_check=list(HealthCheck),
    )
    @given(bodies, st.sampled_from(paths))
    def tried(content: bytes, path: str) -> None:
        status, answer = fuzzed.ask(method, path, content, query=query)
        assert status < OURS or status in SAID_SO, (status, path, content[:1_000], answer[:300])
        outcomes.add(status < REFUSED)
        if status >= REFUSED:
            fuzzed.refused[path] = (method, path, content)

    tried()
    return outcomes


def test_no_hello_of_a_host_is_our_fault(asked: tuple[Fuzzed, Fuzzed]) -> None:
    host = asked[0]
    bodies = _encoded(of_shape(HostHello, host.ids))
    assert _never_our_fault(host, "PUT", ["/host/v1/hello"], bodies) == {True, False}


def test_no_report_of_a_host_is_our_fault(asked: tuple[Fuzzed, Fuzzed]) -> None:
    host = asked[0]
    bodies = _encoded(_reports(host.ids))
    assert True in _never_our_fault(host, "POST", ["/host/v1/reports"], bodies)


def test_no_content_that_a_host_sends_is_our_fault(asked: tuple[Fuzzed, Fuzzed]) -> None:
    host = asked[0]
    consoles = [f"/host/v1/servers/{key}/console" for key in (*host.ids, "none")]
    assert True in _never_our_fault(host, "PUT", consoles, BYTES)
    images = [f"/host/v1/images/{key}" for key in (*host.ids, "none")]
    _never_our_fault(host, "PUT", images, BYTES)
    _never_our_fault(host, "DELETE", images, st.just(b""))
    words = st.sampled_from(
        ("since=1&epoch=x", "wait_s=nan", "since=-1", "since=1e400", "epoch=%00")
    )

    @settings(max_examples=BODIES, derandomize=True, database=None, deadline=None)
    @given(words)
    def looked(query: str) -> None:
        status, _ = host.ask("GET", "/host/v1/wanted", b"", query=query)
        assert status < OURS

    looked()


@pytest.mark.parametrize(
    ("name", "shape"), [("claim", RunnerClaim), ("log", LogBatch), ("result", StageResult)]
)
def test_nothing_that_a_runner_says_is_our_fault(
    asked: tuple[Fuzzed, Fuzzed], name: str, shape: Any
) -> None:
    told = asked[1]
    told.authorization = "Bearer token" if name == "claim" else f"Bearer {SESSION}"
    bodies = _encoded(of_shape(shape, told.ids))
    outcomes = _never_our_fault(told, "POST", [f"/runner/v1/{name}"], bodies)
    assert outcomes == ({False} if name == "claim" else {True, False})


def test_no_authorization_of_a_runner_is_our_fault(asked: tuple[Fuzzed, Fuzzed]) -> None:
    told = asked[1]
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


def test_the_process_does_not_grow(asked: tuple[Fuzzed, Fuzzed]) -> None:
    def send(times: int) -> int:
        for fuzzed in asked:
            for method, path, content in fuzzed.refused.values():
                for _ in range(times):
                    fuzzed.ask(method, path, content, source=0)
        gc.collect()
        return len(gc.get_objects())

    before = send(2)
    assert all(fuzzed.refused for fuzzed in asked)
    assert send(AGAIN) - before < GROWN_MAX
