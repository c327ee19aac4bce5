"""What a listener does with clients that keep it waiting, or say more than it will hold."""

from __future__ import annotations

import asyncio
import contextlib

import pytest
from tests.plain_listener import WITHIN_S, connected

from kumoi.engine.http import limits, serving
from kumoi.engine.http.errors import TooSlow
from kumoi.engine.http.limits import reading


def test_a_head_without_end_is_not_held() -> None:
    async def story() -> bytes:
        async with connected() as (reader, writer):
            writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n")
            with contextlib.suppress(ConnectionError):
                for number in range(64):
                    writer.write(b"X-%d: %s\r\n" % (number, b"x" * 8_192))
                    await writer.drain()
            with contextlib.suppress(ConnectionError):
                return await reader.read()
            return b""

    assert b"200" not in asyncio.run(story())


@pytest.mark.parametrize("begun", [b"", b"\r\n", b"GET / HTTP/1.1\r\nHost:"])
def test_a_head_that_does_not_come_is_not_waited_for(
    begun: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serving, "HEAD_TIMEOUT_S", 0.05)

    async def story() -> bytes:
        async with connected() as (reader, writer):
            writer.write(begun)
            with contextlib.suppress(ConnectionError):
                return await reader.read()
            return b""

    assert asyncio.run(story()) == b""


def test_who_ends_a_listener_does_not_wait_for_its_next_look(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(serving, "DATE_EVERY_S", 3_600.0)

    async def story() -> bytes:
        async with asyncio.timeout(WITHIN_S), connected() as (reader, writer):
            writer.write(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            return await reader.read()

    assert b"\r\ndate: " in asyncio.run(story())


def test_nobody_says_by_a_header_who_calls() -> None:
    async def story() -> bytes:
        async with connected() as (reader, writer):
            writer.write(
                b"GET / HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: 10.9.9.9\r\nConnection: close\r\n\r\n"
            )
            return await reader.read()

    assert asyncio.run(story()).endswith(b"127.0.0.1")


def test_a_connection_serves_one_request_after_the_other() -> None:
    async def story() -> list[bytes]:
        said = []
        async with connected() as (reader, writer):
            for _ in range(3):
                writer.write(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello")
                await reader.readuntil(b"\r\n\r\n")
                said.append(await reader.readexactly(len("127.0.0.1")))
        return said

    assert asyncio.run(story()) == [b"127.0.0.1"] * 3


def test_a_body_is_no_head_however_it_is_cut() -> None:
    size = 4 * serving.HEAD_MAX_BYTES

    async def story() -> list[bytes]:
        said = []
        async with connected() as (reader, writer):
            for _ in range(3):
                head = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % size
                writer.write(head + bytes(size))
                said.append(await reader.readuntil(b"\r\n"))
                await reader.readuntil(b"\r\n\r\n")
                await reader.readexactly(len("127.0.0.1"))
        return said

    assert asyncio.run(story()) == [b"HTTP/1.1 200 OK\r\n"] * 3


def test_a_body_that_does_not_come_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "BODY_TIMEOUT_S", 0.01)

    async def story() -> None:
        async with reading():
            await asyncio.sleep(WITHIN_S)

    with pytest.raises(TooSlow):
        asyncio.run(story())
