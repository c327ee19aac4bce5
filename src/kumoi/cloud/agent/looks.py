"""Looks that an agent takes again and again, at what changes without a word."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from kumoi.base import log
from kumoi.base.errors import KumoiError

EVERY_S = 1.0


async def again_and_again(look: Callable[[], None], *, failure: str) -> None:
    """In a thread, and a while later once more; as `in_turns`."""
    await in_turns(lambda: asyncio.to_thread(look), lambda: asyncio.sleep(EVERY_S), failure=failure)


async def in_turns(
    look: Callable[[], Awaitable[None]], rest: Callable[[], Awaitable[None]], *, failure: str
) -> None:
    """Until cancelled. The first of several failures in a row is logged, as the event `failure`."""
    fails = False
    while True:
        try:
            await look()
            fails = False
        except (KumoiError, OSError) as error:
            if not fails:
                log.failure(failure, error)
            fails = True
        await rest()
