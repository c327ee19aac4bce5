"""Real sockets on the loopback: what is probed answers as a member would."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest
from tests import certificates
from tests.free_port import free_port
from tests.unit.cloud.agent.control_plane import until

from kumoi.base.clock import Clock
from kumoi.cloud.agent.prober import ProbeRequest, codes
from kumoi.cloud.agent.probing import FIRST_PROBES, ProberProcess, Probing, Unanswered
from kumoi.cloud.hostapi.load_balancer import (
    BalancerThing,
    MemberSpec,
    MemberTlsSpec,
    MonitorSpec,
    PoolSpec,
    StationLink,
)

ADDRESS = "127.0.0.1"


@contextlib.asynccontextmanager
async def prober() -> AsyncIterator[ProberProcess]:
    """The real process, without the walls that only root can build."""
    started: list[subprocess.Popen[bytes]] = []

    def start(end: int) -> None:
        argv = [sys.executable, "-m", "kumoi.cloud.agent.prober", str(end)]
        started.append(subprocess.Popen(argv, pass_fds=[end]))

    def opened(_balancer: str, family: int, kind: int, protocol: int) -> socket.socket:
        return socket.socket(family, kind, protocol)

    one = ProberProcess(start, opened)
    try:
        yield one
    finally:
        one.close()
        for child in started:
            child.wait(10)


@contextlib.asynccontextmanager
async def answering(words: bytes, tls: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    """A member that answers so; its port."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(EOFError):
            await reader.readuntil(b"\r\n\r\n")
        writer.write(words)
        writer.close()

    server = await asyncio.start_server(answer, ADDRESS, 0, ssl=tls)
    async with server:
        yield server.sockets[0].getsockname()[1]


def request(kind: str, port: int, **said: str) -> ProbeRequest:
    usual = {
        "http_method": "GET",
        "url_path": "/",
        "expected_codes": "200",
        "http_version": "1.0",
    }
    return ProbeRequest(
        number=0, type=kind, address=ADDRESS, port=port, timeout_s=2.0, **(usual | said)
    )


def test_codes_are_one_several_or_a_range() -> None:
    assert codes("200") == {200}
    assert codes("200,202") == {200, 202}
    assert codes("200-204") == {200, 201, 202, 203, 204}


def test_whoever_listens_is_good_and_whoever_does_not_is_bad() -> None:
    async def tell() -> None:
        async with prober() as probe, answering(b"") as port:
            assert await probe("lb", request("TCP", port))
            assert not await probe("lb", request("TCP", free_port(ADDRESS)))
            assert not await probe("lb", request("UDP-CONNECT", free_port(ADDRESS)))

    asyncio.run(tell())


@pytest.mark.parametrize(
    ("words", "expected", "good"),
    [
        (b"HTTP/1.1 200 OK\r\n\r\n", "200", True),
        (b"HTTP/1.0 204 No Content\r\n\r\n", "200-204", True),
        (b"HTTP/1.1 500 Oops\r\n\r\n", "200", False),
        (b"SSH-2.0-other\r\n", "200", False),
        (b"HTTP/1.1 two-hundred\r\n", "200", False),
        (b"", "200", False),
        (b"x" * 100_000, "200", False),
    ],
)
def test_http_is_good_by_its_code(words: bytes, expected: str, *, good: bool) -> None:
    async def tell() -> None:
        async with prober() as probe, answering(words) as port:
            asked = request("HTTP", port, expected_codes=expected)
            assert await probe("lb", asked) is good

    asyncio.run(tell())


def test_a_member_that_asks_for_a_certificate_is_shown_that_of_its_pool(tmp_path: Path) -> None:
    key, mine = certificates.signed("balancer.example")
    shown = (certificates.certificate_pem(mine) + certificates.key_pem(key)).decode()
    strict = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    (tmp_path / "pem").write_text(shown)
    strict.load_cert_chain(tmp_path / "pem")
    strict.load_verify_locations(tmp_path / "pem")
    strict.verify_mode = ssl.CERT_REQUIRED

    async def tell() -> None:
        async with prober() as probe, answering(b"HTTP/1.0 200 OK\r\n\r\n", strict) as port:
            assert not await probe("lb", request("HTTPS", port))
            assert await probe("lb", request("HTTPS", port, certificate=shown))
            assert not await probe("lb", request("HTTPS", port, certificate="none"))

    asyncio.run(tell())


def test_a_pool_shows_its_certificate_where_it_speaks_tls() -> None:
    async def tell(*, tls: bool) -> str:
        asked: list[str] = []

        async def probe(_balancer_id: str, wanted: ProbeRequest) -> bool:
            asked.append(wanted.certificate)
            return True

        probing = Probing(probe, Clock())
        wanted = balancer(MemberSpec(id="a", address=ADDRESS, port=1))
        pool = msgspec.structs.replace(
            wanted.pools[0], tls=tls, tls_with=MemberTlsSpec(certificate="pem")
        )
        probing.want(msgspec.structs.replace(wanted, pools=[pool]))
        await until(lambda: asked)
        probing.forget_others([])
        return asked[0]

    assert asyncio.run(tell(tls=True)) == "pem"
    assert not asyncio.run(tell(tls=False))


def test_a_prober_that_died_is_started_again() -> None:
    async def tell() -> None:
        async with prober() as probe, answering(b"") as port:
            assert await probe("lb", request("TCP", port))
            probe.close()
            async with asyncio.timeout(10):
                while True:
                    with contextlib.suppress(Unanswered):
                        assert await probe("lb", request("TCP", port))
                        return
                    await asyncio.sleep(0.05)

    asyncio.run(tell())


def balancer(*members: MemberSpec, timeout_s: int = 1) -> BalancerThing:
    monitor = MonitorSpec(
        type="TCP", delay_s=1, timeout_s=timeout_s, max_retries=1, max_retries_down=1
    )
    pool = PoolSpec(id="pool", protocol="TCP", members=list(members), monitor=monitor)
    link = StationLink(
        id="s", port_id="s", mac="", mtu=1400, address="", gateway="", gateway_mac="", first_port=1,
        first_free_port=2, last_port=3,
    )  # fmt: skip
    return BalancerThing(id="lb", generation=1, address=ADDRESS, station=link, pools=[pool])


def test_a_state_is_told_once_and_forgotten_with_the_member() -> None:
    async def tell() -> None:
        heard: list[str] = []
        asked: list[int] = []

        async def probe(_balancer_id: str, wanted: ProbeRequest) -> bool:
            asked.append(wanted.port)
            return wanted.port != 2

        probing = Probing(probe, Clock(), heard.append)
        wanted = balancer(
            MemberSpec(id="a", address=ADDRESS, port=1),
            MemberSpec(id="b", address=ADDRESS, port=9, monitor_port=2),
        )
        probing.want(wanted)
        await until(lambda: {1, 2} <= set(asked) and "a" in probing.states(wanted))
        assert probing.states(wanted) == {"a": "ONLINE"}
        assert heard == ["lb"]
        probing.want(balancer(MemberSpec(id="b", address=ADDRESS, port=9)))
        assert probing.states(wanted) == {}
        probing.forget_others([])

    asyncio.run(tell())


def test_a_new_member_is_asked_again_without_waiting_for_what_was_sent_too_early() -> None:
    async def tell() -> None:
        asked: list[float] = []

        async def probe(_balancer_id: str, wanted: ProbeRequest) -> bool:
            asked.append(wanted.timeout_s)
            if len(asked) > 4:
                return True
            await asyncio.sleep(wanted.timeout_s)
            return False

        probing = Probing(probe, Clock())
        wanted = balancer(MemberSpec(id="a", address=ADDRESS, port=1), timeout_s=600)
        probing.want(wanted)
        async with asyncio.timeout(30):
            while not probing.states(wanted):  # noqa: ASYNC110 - a level, with a bound
                await asyncio.sleep(0.01)
        assert probing.states(wanted) == {"a": "ONLINE"}
        assert asked[1:5] == [600] * 4
        probing.forget_others([])

    asyncio.run(tell())


def test_a_new_member_that_never_answers_is_bad_once() -> None:
    async def tell() -> None:
        asked: list[int] = []

        async def probe(_balancer_id: str, wanted: ProbeRequest) -> bool:
            asked.append(wanted.port)
            return False

        probing = Probing(probe, Clock())
        wanted = balancer(MemberSpec(id="a", address=ADDRESS, port=1))
        probing.want(wanted)
        async with asyncio.timeout(30):
            while not probing.states(wanted):  # noqa: ASYNC110 - a level, with a bound
                await asyncio.sleep(0.01)
        assert probing.states(wanted) == {"a": "ERROR"}
        assert len(asked) >= FIRST_PROBES + 1
        probing.forget_others([])

    asyncio.run(tell())
