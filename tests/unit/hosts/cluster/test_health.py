"""What a control host says of itself to keepalived: real listeners, of which some do not answer."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from kumoi.config import CloudSettings, HostSettings, Role
from kumoi.hosts.cluster import health
from kumoi.hosts.cluster.health import Asked, HealthCheck
from kumoi.hosts.first_use import pki

CLOUD = CloudSettings(name="t1", public_cidr="10.0.4.0/24", underlay_cidr="10.0.5.0/28")
Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def answering(line: str) -> Handler:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(f"{line}\r\nContent-Length: 0\r\n\r\n".encode())
        writer.close()

    return answer


async def _silent(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
    await reader.read()  # Until who asked has given up.


def added(tmp_path: Path, api: Handler, pipeline: Handler, *, looks: int) -> int:
    """What is found after so many looks."""
    host = HostSettings(state_dir=str(tmp_path))
    pki.ensure(CLOUD, host, datetime.now(UTC))

    async def look() -> int:
        served = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        served.load_cert_chain(host.pki_dir / "api.crt", host.pki_dir / "api.key")
        asked = []
        for role, handler in ((Role.API, api), (Role.PIPELINE, pipeline)):
            server = await asyncio.start_server(handler, "127.0.0.1", 0, ssl=served)
            tls = ssl.create_default_context(cafile=host.pki_dir / "ca.crt")
            asked.append(Asked(role, "127.0.0.1", server.sockets[0].getsockname()[1], tls))
        found = HealthCheck(asked)
        for _ in range(looks - 1):
            await found.look()
        return await found.look()

    return asyncio.run(look())


@pytest.fixture(autouse=True)
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "ANSWERS_WITHIN_S", 0.5)


WELL, ILL = answering("HTTP/1.1 300 Multiple Choices"), answering("HTTP/1.1 503 Unavailable")


@pytest.mark.parametrize(
    ("api", "pipeline", "found"),
    [
        (WELL, WELL, 0),
        (ILL, WELL, -60),
        (_silent, WELL, -60),
        (WELL, _silent, -30),
        (ILL, ILL, -90),
    ],
)
def test_a_host_is_worth_less_while_its_api_or_pipeline_does_not_answer(
    tmp_path: Path, api: Handler, pipeline: Handler, found: int
) -> None:
    assert added(tmp_path, api, pipeline, looks=max(health.MISSED_MAX.values())) == found


def test_a_connection_is_used_again_and_another_one_begun_now_and_then(tmp_path: Path) -> None:
    begun = 0

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal begun
        begun += 1
        with contextlib.suppress(asyncio.IncompleteReadError):
            while await reader.readuntil(b"\r\n\r\n"):
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        writer.close()

    assert added(tmp_path, answer, WELL, looks=health.USES_MAX + 1) == 0
    assert begun == 2


def test_one_late_answer_moves_no_address(tmp_path: Path) -> None:
    assert added(tmp_path, ILL, ILL, looks=1) == 0


def test_a_pipeline_that_is_late_as_often_as_an_api_may_be_moves_no_address(tmp_path: Path) -> None:
    looks = health.MISSED_MAX[Role.API]
    assert added(tmp_path, WELL, ILL, looks=looks) == 0
    assert added(tmp_path, ILL, ILL, looks=looks) == -60


def test_a_host_without_its_api_keeps_no_address_from_one_without_its_pipeline() -> None:
    assert health.WEIGHTS[Role.API] > health.WEIGHTS[Role.PIPELINE]
    assert (
        sum(health.WEIGHTS.values()) < 100
    )  # VRRP's priority stays above 0, which means to leave.


@pytest.mark.parametrize(
    ("roles", "weight"),
    [(("api", "worker", "pipeline"), 0), (("api",), 30), (("network", "agent"), 90)],
)
def test_a_control_host_that_has_no_api_yet_is_worth_less_than_one_that_begins_anew(
    roles: tuple[str, ...], weight: int
) -> None:
    host = HostSettings(roles=roles)
    assert health.weight_of_missing(host) == weight
    check = HealthCheck([], weight)
    assert asyncio.run(check.look()) == -weight
