"""Limits: the size and the duration of a body, and the number of failed logins per source."""

from __future__ import annotations

import asyncio
import collections
import contextlib
import threading
from collections.abc import AsyncIterator

from starlette.requests import Request as HttpRequest

from kumoi.base.address import source_network
from kumoi.base.clock import Clock
from kumoi.base.errors import RateLimited, TooLarge
from kumoi.engine.http.errors import TooSlow

BODY_MAX_BYTES = 1 << 20  # Of what programs of ours send: hosts and runners.
BODY_TIMEOUT_S = 60.0  # For what is read whole.
SOURCES_MAX = 10_000
WINDOW_S = 60.0


async def body(http: HttpRequest, most: int) -> bytes:
    """The whole body. Raises TooLarge before more than `most` bytes are held, TooSlow."""
    declared = http.headers.get("Content-Length", "")
    if declared.isdecimal() and int(declared) > most:
        raise _too_large(most)
    if not declared and "Transfer-Encoding" not in http.headers:
        return b""  # Nothing else says that there is a body (RFC 9112, 6.3).
    held = bytearray()
    async with reading():
        async for chunk in http.stream():
            held += chunk
            if len(held) > most:
                raise _too_large(most)
    return bytes(held)


@contextlib.asynccontextmanager
async def reading() -> AsyncIterator[None]:
    """Bounds the time in which a whole body is read. Raises TooSlow."""
    try:
        async with asyncio.timeout(BODY_TIMEOUT_S):
            yield
    except TimeoutError as cause:
        raise TooSlow(f"the body did not come within {BODY_TIMEOUT_S:g} s") from cause


class Attempts:
    """Bounds the failed logins per minute of a source address. The check comes before a password is
    hashed, so that guessing is slow and a flood costs little. At most SOURCES_MAX sources are
    remembered; the one whose last failure is oldest is forgotten first. Each process counts for
    itself.
    """

    def __init__(self, clock: Clock, per_minute: int) -> None:
        self._clock = clock
        self._most = per_minute
        self._failures: collections.OrderedDict[str, collections.deque[float]] = (
            collections.OrderedDict()
        )
        self._lock = threading.Lock()

    def allow(self, source: str) -> None:
        """Raises RateLimited when the source has no attempts left."""
        now = self._clock.monotonic()
        with self._lock:
            failures = self._failures.get(source_network(source))
            if failures is None:
                return
            while failures and failures[0] <= now - WINDOW_S:
                failures.popleft()
            if len(failures) >= self._most:
                raise RateLimited(
                    "Too many failed logins from this address",
                    retry_after_s=failures[0] + WINDOW_S - now,
                )

    def failed(self, source: str) -> None:
        """Count a failure."""
        key = source_network(source)
        with self._lock:
            failures = self._failures.setdefault(key, collections.deque(maxlen=self._most))
            failures.append(self._clock.monotonic())
            self._failures.move_to_end(key)
            while len(self._failures) > SOURCES_MAX:
                self._failures.popitem(last=False)

    def forget(self, source: str) -> None:
        """Let the source try again at once."""
        with self._lock:
            self._failures.pop(source_network(source), None)


def _too_large(most: int) -> TooLarge:
    return TooLarge(f"Request is too large: at most {most} bytes")
