"""Short calls by HTTPS to a few servers, over connections that are kept: by the standard library, as every process that asks
etcd would have a larger client for nothing else, and each call cost twice as much.
"""

from __future__ import annotations

import contextlib
import select
import ssl
import time
from collections import defaultdict, deque
from collections.abc import Iterator
from dataclasses import dataclass
from http.client import HTTPSConnection

IDLE_S = 60.0
JSON = {"Content-Type": "application/json"}


@dataclass(frozen=True, slots=True)
class HttpsAnswer:
    status: int
    content: bytes


class HttpsPool:
    """Used by several threads. The connection used last is taken first, and one that nobody has needed for long is closed."""

    def __init__(self, tls: ssl.SSLContext, *, timeout_s: float) -> None:
        tls.set_alpn_protocols(["http/1.1"])
        self._tls = tls
        self._timeout_s = timeout_s
        self._kept: defaultdict[str, deque[tuple[float, HTTPSConnection]]] = defaultdict(deque)

    def post(self, server: str, path: str, content: bytes) -> HttpsAnswer:
        """`server` is an address with its port. Raises OSError and HTTPException; each step may take `timeout_s`."""
        with self._connection(server) as connection:
            connection.request("POST", path, content, JSON)
            answer = connection.getresponse()
            return HttpsAnswer(answer.status, answer.read())

    def close(self) -> None:
        for kept in self._kept.values():
            while kept:
                kept.pop()[1].close()

    @contextlib.contextmanager
    def _connection(self, server: str) -> Iterator[HTTPSConnection]:
        connection = self._take(server) or HTTPSConnection(
            server, timeout=self._timeout_s, context=self._tls
        )
        try:
            yield connection
        except BaseException:
            connection.close()
            raise
        if connection.sock is not None:  # Else the other side wanted to end it.
            self._keep(server, connection)

    def _take(self, server: str) -> HTTPSConnection | None:
        """One that the other side has not closed meanwhile."""
        kept = self._kept[server]
        while True:
            try:
                _, connection = kept.pop()
            except IndexError:
                return None
            if not _has_news(connection):
                return connection
            connection.close()

    def _keep(self, server: str, connection: HTTPSConnection) -> None:
        kept, now_s = self._kept[server], time.monotonic()
        with contextlib.suppress(IndexError):  # Others take at the same time.
            if now_s - kept[0][0] >= IDLE_S:
                kept.popleft()[1].close()
        kept.append((now_s, connection))


def _has_news(connection: HTTPSConnection) -> bool:
    """Nobody says anything unasked but that this is the end."""
    poll = select.poll()
    poll.register(connection.sock, select.POLLIN)
    return bool(poll.poll(0))
