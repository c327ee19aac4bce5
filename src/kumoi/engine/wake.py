"""A hint between processes that something was written. A hint is never data: losing one costs
latency, nothing else, since every listener looks for itself at its own interval too.

On SQLite each listener owns a datagram socket in one directory and a writer pokes them all. On
PostgreSQL it is LISTEN and NOTIFY. Either way a listener is a file descriptor that turns readable.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import socket
from pathlib import Path
from typing import Protocol

import psycopg

CHANNEL = "kumoi_wake"
DRAIN_MAX = 1_000


class Listener(Protocol):
    def fileno(self) -> int: ...

    def drain(self) -> None:
        """Forget the hints that have arrived."""

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

    def listen(self) -> Listener:
        self._directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        return _DatagramListener(self._directory / f"{os.getpid()}-{secrets.token_hex(4)}")


class PostgresWake:
    """NOTIFY travels in the writer's own transaction; see Database.write."""

    def __init__(self, url: str) -> None:
        self._url = url

    def ring(self) -> None:
        """Nothing: the transaction carried it."""

    def listen(self) -> Listener:
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
        self._connection = psycopg.connect(url, autocommit=True)
        self._connection.execute(f"LISTEN {CHANNEL}")

    def fileno(self) -> int:
        return self._connection.fileno()

    def drain(self) -> None:
        for _ in self._connection.notifies(timeout=0):
            pass

    def close(self) -> None:
        self._connection.close()


class Alarm:
    """A listener that any number of coroutines wait for. `count` is the hints so far: read it
    before you look, and wait for one `after` it, so that none is lost in between.
    """

    def __init__(self, listener: Listener) -> None:
        self.count = 0
        self._listener = listener
        self._rung = asyncio.Event()
        asyncio.get_running_loop().add_reader(listener.fileno(), self._hear)

    def _hear(self) -> None:
        self._listener.drain()
        self.ring()

    def ring(self) -> None:
        """A hint from within this process, in the event loop's own thread."""
        self.count += 1
        self._rung.set()
        self._rung = asyncio.Event()

    async def wait(self, timeout_s: float, *, after: int) -> None:
        """Until a hint after the given count has arrived, or the time is up."""
        if self.count > after:
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._rung.wait()

    def close(self) -> None:
        asyncio.get_running_loop().remove_reader(self._listener.fileno())
        self._listener.close()
