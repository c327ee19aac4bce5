"""Limits: the size and the duration of a body. A handler that streams reads `parts`."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable

from starlette.requests import Request as HttpRequest

from kumoi.base.errors import TooLarge
from kumoi.engine.http.errors import TooSlow

QUERY_MAX_BYTES = (
    8 << 10
)  # As OpenStack's servers have it for a whole URL; its clients ask in parts beyond.
BODY_MAX_BYTES = 1 << 20  # Of what programs of ours send: hosts and runners.
BODY_TIMEOUT_S = 60.0  # For what is read whole.
PART_TIMEOUT_S = 60.0  # For the next part of what is read in parts, however long it is.


async def at_once() -> None:
    """Nobody else reads bodies here."""


async def body(
    http: HttpRequest, most: int, turn: Callable[[], Awaitable[None]] = at_once
) -> bytes:
    """The whole body; each of its parts but the first is read in a `turn` of its client. Raises
    TooLarge before more than `most` bytes are held, TooSlow.
    """
    declared = http.headers.get("Content-Length", "")
    if declared.isdecimal() and int(declared) > most:
        raise _too_large(most)
    if not declared and "Transfer-Encoding" not in http.headers:
        return b""  # Nothing else says that there is a body (RFC 9112, 6.3).
    whole = int(declared) if declared.isdecimal() else most
    held = bytearray()
    async with reading():
        async for chunk in http.stream():
            held += chunk
            if len(held) > most:
                raise _too_large(most)
            if len(held) < whole:
                await turn()
    return bytes(held)


async def parts(http: HttpRequest) -> AsyncIterator[bytes]:
    """The body as it comes. Raises TooSlow."""
    stream = http.stream()
    while True:
        try:
            async with asyncio.timeout(PART_TIMEOUT_S):
                part = await anext(stream, None)
        except TimeoutError as cause:
            raise TooSlow(f"no more of the body came for {PART_TIMEOUT_S:g} s") from cause
        if part is None:
            return
        yield part


@contextlib.asynccontextmanager
async def reading() -> AsyncIterator[None]:
    """Bounds the time in which a whole body is read. Raises TooSlow."""
    try:
        async with asyncio.timeout(BODY_TIMEOUT_S):
            yield
    except TimeoutError as cause:
        raise TooSlow(f"the body did not come within {BODY_TIMEOUT_S:g} s") from cause


def _too_large(most: int) -> TooLarge:
    return TooLarge(f"Request is too large: at most {most} bytes")
