"""Looks that an agent takes again and again, at what changes without a word."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from kumoi.base import log
from kumoi.base.errors import KumoiError

EVERY_S = 1.0


async def again_and_again(look: Callable[[], None], *, failure: str) -> None:
    """In a thread, until cancelled. The first of several failures in a row is logged, as the event `failure`."""
    fails = False
    while True:
        try:
            await asyncio.to_thread(look)
            fails = False
        except (KumoiError, OSError) as error:
            if not fails:
                log.failure(failure, error)
            fails = True
        await asyncio.sleep(EVERY_S)
