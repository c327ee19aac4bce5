"""A listener of ours that takes whatever comes, and one connection to it. For tests of what it refuses."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.types import Receive, Scope, Send

from kumoi.engine.activation import Activation
from kumoi.engine.http.serving import Listener, serve
from tests.free_port import free_port

WITHIN_S = 10.0


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """Takes what there is, and says who calls."""
    while (await receive()).get("more_body"):
        pass
    source = Request(scope).client
    await PlainTextResponse(source.host if source else "")(scope, receive, send)


@contextlib.asynccontextmanager
async def connected() -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    port = free_port()
    task = asyncio.create_task(serve([Listener(app, "127.0.0.1", port)], Activation.none()))
    try:
        async with asyncio.timeout(WITHIN_S):
            while True:
                with contextlib.suppress(OSError):
                    reader, writer = await asyncio.open_connection("127.0.0.1", port)
                    break
                await asyncio.sleep(0.01)
            yield reader, writer
            writer.close()
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
