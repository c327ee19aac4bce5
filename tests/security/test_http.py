"""Requests that mean one thing to one reader and another to the next, and what comes with a body and is none."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from kumoi.engine.http import serving
from tests.plain_listener import connected

HEAD = b"POST / HTTP/1.1\r\nHost: x\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
BLOCKS, BLOCK_BYTES = 64, 1 << 16
HIDDEN = b"GET /hidden HTTP/1.1\r\nHost: x\r\n\r\n"
LIES = {
    "a length and chunks": HEAD
    + b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunks and a length": HEAD
    + b"Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n",
    "two lengths": HEAD + b"Content-Length: 4\r\nContent-Length: 0\r\n\r\n",
    "a list of lengths": HEAD + b"Content-Length: 4, 0\r\n\r\n",
    "a signed length": HEAD + b"Content-Length: +4\r\n\r\n",
    "a length without end": HEAD + b"Content-Length: %s\r\n\r\n" % (b"9" * 30),
    "another coding": HEAD + b"Transfer-Encoding: xchunked\r\n\r\n",
    "chunks that are not last": HEAD + b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
    "a blank before the colon": HEAD + b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
    "a folded field": HEAD + b"Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n",
    "lines without a return": HEAD.replace(b"\r", b"") + b"Content-Length: 0\n\n",
    "a return without a line": HEAD + b"X-A: a\rX-B: b\r\n\r\n",
    "a NUL": HEAD + b"X-A: a\x00b\r\n\r\n",
    "a chunk of a size without end": CHUNKED + b"F" * 17 + b"\r\n",
    "a chunk of less than nothing": CHUNKED + b"-1\r\n",
}


@pytest.mark.parametrize("lie", LIES)
def test_a_request_that_can_be_read_in_two_ways_is_refused_with_all_that_follows(lie: str) -> None:
    async def story() -> bytes:
        async with connected() as (reader, writer):
            writer.write(LIES[lie] + HIDDEN)
            return await reader.read()

    answer = asyncio.run(story())
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert answer.count(b"HTTP/1.1") == 1


@pytest.mark.parametrize(
    ("begun", "block"),
    [
        (b"0\r\n", b"X-A: b\r\n" * (BLOCK_BYTES // 8)),
        (b"0\r\nX-A: ", b"a" * BLOCK_BYTES),
        (b"1;a=", b"a" * BLOCK_BYTES),
    ],
    ids=["fields after the body", "one field after it", "words with a chunk"],
)
def test_what_comes_with_a_body_and_is_none_of_it_is_not_held(begun: bytes, block: bytes) -> None:
    """Forty megabytes of fields after a body took six hundred of the API's memory, from who had no account."""

    async def story() -> int:
        sent = 0
        async with connected() as (_, writer):
            writer.write(CHUNKED + begun)
            with contextlib.suppress(ConnectionError):
                for _ in range(BLOCKS):
                    writer.write(block)
                    await writer.drain()
                    sent += len(block)
        return sent

    assert asyncio.run(story()) < BLOCKS * BLOCK_BYTES


def test_a_body_in_many_small_chunks_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serving, "HEAD_MAX_BYTES", 1_000)

    async def story() -> bytes:
        async with connected() as (reader, writer):
            writer.write(CHUNKED)
            for _ in range(100):
                writer.write(b"1;a=b\r\nx\r\n" * 100)
                await writer.drain()
            writer.write(b"0\r\nX-A: b\r\n\r\n")
            return await reader.readuntil(b"\r\n")

    assert b"200 OK" in asyncio.run(story())
