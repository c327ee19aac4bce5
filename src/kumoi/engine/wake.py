"""A hint between processes that something was written. A hint is never data: losing one costs
latency, nothing else, since every listener looks for itself at its own interval too.

On SQLite each listener owns a datagram socket in one directory and a writer pokes them all. On
PostgreSQL it is LISTEN and NOTIFY. Either way a listener is a file descriptor that turns readable,
and an Alarm gets itself a new one when the database that it listened to went away.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import psycopg

from kumoi.base import log
from kumoi.base.backoff import Backoff
from kumoi.base.errors import StoreLost

CHANNEL = "kumoi_wake"
DRAIN_MAX = 1_000
AGAIN = Backoff(first_s=0.05, most_s=1.0)

# For libpq: a server whose machine is gone is found out within seconds.
CONNECT: dict[str, int] = {
    "connect_timeout": 5,
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 15_000,
}


class WakeListener(Protocol):
    def fileno(self) -> int: ...

    def drain(self) -> None:
        """Forget the hints that have arrived. Raises StoreLost when no more will come."""

    def close(self) -> None: ...


class Wake:
    """The datagram sockets of one directory."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def ring(self) -> None:
        """Poke every listener; one that is gone is swept away."""
        if not self._directory.is_dir():
            return
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as sender:
            for path in self._directory.iterdir():
                if path.is_dir():
                    continue  # Another store's, within ours.
                try:
                    sender.sendto(b"!", str(path))
                except (ConnectionRefusedError, FileNotFoundError):
                    path.unlink(missing_ok=True)
                except OSError:
                    continue  # Its queue is full: it has a hint already.

    def listen(self) -> WakeListener:
        self._directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        return _DatagramListener(self._directory / f"{os.getpid()}-{secrets.token_hex(4)}")


class PostgresWake:
    """NOTIFY travels in the writer's own transaction; see Database.write."""

    def __init__(self, url: str) -> None:
        self._url = url

    def ring(self) -> None:
        """Nothing: the transaction carried it."""

    def listen(self) -> WakeListener:
        return _PostgresListener(self._url)


class _DatagramListener:
    def __init__(self, path: Path) -> None:
        self._path = path
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self._socket.bind(str(path))

    def fileno(self) -> int:
        return self._socket.fileno()

    def drain(self) -> None:
        with contextlib.suppress(BlockingIOError):
            for _ in range(DRAIN_MAX):
                self._socket.recv(1)

    def close(self) -> None:
        self._socket.close()
        self._path.unlink(missing_ok=True)


class _PostgresListener:
    def __init__(self, url: str) -> None:
        connect: dict[str, Any] = {**CONNECT}
        try:
            self._connection = psycopg.connect(url, autocommit=True, **connect)
            self._connection.execute(f"LISTEN {CHANNEL}")
            self._descriptor = self._connection.fileno()
        except psycopg.OperationalError as cause:
            raise StoreLost("listen to the store") from cause

    def fileno(self) -> int:
        return self._descriptor

    def drain(self) -> None:
        try:
            for _ in self._connection.notifies(timeout=0):
                pass
        except psycopg.OperationalError as cause:
            raise StoreLost("listen to the store") from cause

    def close(self) -> None:
        self._connection.close()


class Alarm:
    """What any number of coroutines wait for. `count` is the hints so far: read it before you look,
    and wait for one `after` it, so that none is lost in between.

    It listens from shortly after it is made, and again after the database was away; each time it
    rings, since what was written before was not heard.
    """

    def __init__(self, listen: Callable[[], WakeListener]) -> None:
        self.count = 0
        self._rung = asyncio.Event()
        self._listening = asyncio.create_task(self._listen(listen), name="alarm")

    async def _listen(self, listen: Callable[[], WakeListener]) -> None:
        failures = 0
        while True:
            try:
                listener = await asyncio.to_thread(listen)
            except StoreLost:
                failures += 1
            else:
                await self._hear(listener)
                log.warning("store.not_heard")
                failures = 1
            await asyncio.sleep(AGAIN.after(failures))

    async def _hear(self, listener: WakeListener) -> None:
        """Until the listener hears nothing more."""
        loop, deaf = asyncio.get_running_loop(), asyncio.Event()
        descriptor = listener.fileno()

        def hear() -> None:
            try:
                listener.drain()
            except StoreLost:
                loop.remove_reader(descriptor)
                deaf.set()
            self.ring()

        loop.add_reader(descriptor, hear)
        self.ring()
        try:
            await deaf.wait()
        finally:
            loop.remove_reader(descriptor)
            listener.close()

    def ring(self) -> None:
        """A hint from within this process, in the event loop's own thread."""
        self.count += 1
        self._rung.set()
        self._rung = asyncio.Event()

    async def wait(self, timeout_s: float, *, after: int) -> None:
        """Until a hint after the given count has arrived, or the time is up. Raises what made it
        impossible to listen, other than a database that is away.
        """
        if self._listening.done():
            self._listening.result()
        if self.count > after:
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._rung.wait()

    async def close(self) -> None:
        self._listening.cancel()
        await asyncio.gather(self._listening, return_exceptions=True)
