"""Wake-ups: hints between processes that the store was written. A hint is never data: a lost one
costs only latency, since every listener also looks at an interval of its own.

On SQLite each listener owns a datagram socket in one directory and a writer sends to them all. On
PostgreSQL it is LISTEN and NOTIFY. Either way a listener is a file descriptor that turns readable,
and an Alarm opens a new one after the database was away.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar, Protocol
from weakref import WeakKeyDictionary

import psycopg

from kumoi.base import log
from kumoi.base.backoff import Backoff
from kumoi.base.errors import StoreLost

CHANNEL = "kumoi_wake"
DRAIN_MAX = 1_000
AGAIN = Backoff(first_s=0.05, most_s=1.0)

# Parameters of libpq by which a client notices within seconds that the server's machine is gone.
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
        """Send a hint to every listener; the socket of one that is gone is removed."""
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
        """Does nothing: the transaction itself has sent NOTIFY."""

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
    """Wakes any number of coroutines. `count` is the number of hints so far: read it before looking
    for work, then wait for a hint `after` it, so that none is lost in between.

    It begins to listen shortly after it is made, and again after the database was away; each time
    it rings, since hints before that were not received. Those of one event loop that listen to the same share a
    listener: on PostgreSQL each would be a connection and a process of the server's, which every write wakes.
    """

    def __init__(self, listen: Callable[[], WakeListener]) -> None:
        self.count = 0
        self._rung = asyncio.Event()
        self._ear = _Ear.of(listen)
        self._ear.join(self)

    def ring(self) -> None:
        """Wake all that wait. Called in the event loop's own thread."""
        self.count += 1
        self._rung.set()
        self._rung = asyncio.Event()

    async def wait(self, timeout_s: float, *, after: int) -> None:
        """Returns once there was a hint after the given count, or the time is up. Raises the error
        that ended the listening, which a database that is away does not.
        """
        self._ear.require_no_error()
        if self.count > after:
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._rung.wait()

    async def close(self) -> None:
        await self._ear.leave(self)


class _Ear:
    """One listener, opened again after the database was away, and the alarms that it rings. It ends with the last."""

    _every: ClassVar[
        WeakKeyDictionary[asyncio.AbstractEventLoop, dict[Callable[[], WakeListener], _Ear]]
    ] = WeakKeyDictionary()

    def __init__(self, listen: Callable[[], WakeListener]) -> None:
        self._alarms: set[Alarm] = set()
        self._is_hearing = False
        self._listening = asyncio.create_task(self._listen(listen), name="alarm")

    @classmethod
    def of(cls, listen: Callable[[], WakeListener]) -> _Ear:
        """The one of this event loop; another where nobody is left of it, or an error has ended it."""
        ears = cls._every.setdefault(asyncio.get_running_loop(), {})
        ear = ears.get(listen)
        if ear is None or ear.is_over:
            ear = ears[listen] = cls(listen)
        return ear

    @property
    def is_over(self) -> bool:
        return not self._alarms or self._listening.done()

    def join(self, alarm: Alarm) -> None:
        self._alarms.add(alarm)
        if self._is_hearing:
            asyncio.get_running_loop().call_soon(alarm.ring)

    async def leave(self, alarm: Alarm) -> None:
        self._alarms.discard(alarm)
        if self._alarms:
            return
        ears = self._every.get(asyncio.get_running_loop(), {})
        for listen in [each for each, ear in ears.items() if ear is self]:
            del ears[listen]
        self._listening.cancel()
        await asyncio.gather(self._listening, return_exceptions=True)

    def require_no_error(self) -> None:
        if self._listening.done():
            self._listening.result()

    def _ring(self) -> None:
        for alarm in tuple(self._alarms):
            alarm.ring()

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
        """Ring at each hint, until the listener has lost the database."""
        loop, deaf = asyncio.get_running_loop(), asyncio.Event()
        descriptor = listener.fileno()

        def hear() -> None:
            try:
                listener.drain()
            except StoreLost:
                loop.remove_reader(descriptor)
                deaf.set()
            self._ring()

        loop.add_reader(descriptor, hear)
        self._is_hearing = True
        self._ring()
        try:
            await deaf.wait()
        finally:
            self._is_hearing = False
            loop.remove_reader(descriptor)
            listener.close()
