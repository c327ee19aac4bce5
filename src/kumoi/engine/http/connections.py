"""The connections of a listener: how many a client may hold, and which one gives way to a new one.

A client is an address, and once its caller is known, a project as well: a project that has many
addresses holds no more than one that has one. When a client holds as many as it may, its longest idle
connection is closed for the new one, so that whoever shares an address with an attacker still gets
in; where none is idle the new one is closed. When the listener holds as many as it may, the client
with the most gives way. Our own machine's addresses are never refused and never give way.

A connection counts from its accept, before its TLS handshake. Called by serving.py and app.py.
"""

from __future__ import annotations

import asyncio
import collections
import contextlib
import socket
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from kumoi.base.address import source_network
from kumoi.config import CloudSettings

HANDSHAKE_TIMEOUT_S = 10.0
CONNECTION = "kumoi.connection"
"""The key of a request's HeldConnection in its scope's extensions."""

Peer = tuple[Any, ...]
"""Of a socket: address, port, and what else its family has."""


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """`each` is a client's, `most` all clients' together; `own` are the addresses of this machine."""

    each: int = 256
    most: int = 4_096
    own: frozenset[str] = frozenset()

    @classmethod
    def of(cls, cloud: CloudSettings) -> ConnectionLimits:
        return cls(cloud.connections_per_client, cloud.connections_max, cloud.own_addresses)


class HeldConnection(socket.socket):
    """One accepted connection. It is `busy` from the end of a request's head to that of its answer."""

    def __init__(self, accepted: socket.socket, peer: Peer, connections: Connections) -> None:
        super().__init__(fileno=accepted.detach())
        self.peer = peer
        self.address = source_network(str(peer[0]))
        self.project = ""
        self.busy = False
        self.handshake: asyncio.TimerHandle | None = None
        self.transport: asyncio.Transport | None = None  # Once the handshake is done.
        self._connections = connections

    def close(self) -> None:
        """The transport closes it once, at the end."""
        super().close()
        if self.handshake is not None:
            self.handshake.cancel()
        self._connections.forget(self)

    def give_way(self) -> None:
        """End it as if the client had: its transport reads the end and closes."""
        with contextlib.suppress(OSError):
            self.shutdown(socket.SHUT_RDWR)

    @contextlib.contextmanager
    def unread(self) -> Iterator[None]:
        """What arrives meanwhile is read afterwards."""
        if self.transport is None:
            yield
            return
        self.transport.pause_reading()
        try:
            yield
        finally:
            self.transport.resume_reading()

    def answered(self) -> None:
        """Idle from now on."""
        self.busy = False
        self._connections.touch(self)

    def belongs_to(self, project: str) -> None:
        """Its caller is of this project; what the project holds too many of gives way."""
        if project != self.project:
            self._connections.give_to(self, project)


class Connections:
    """Of one listener, by client; each client's in the order in which they became idle."""

    def __init__(self, limits: ConnectionLimits) -> None:
        self._limits = limits
        self._own = frozenset(map(source_network, limits.own))
        self._by_peer: dict[Peer, HeldConnection] = {}
        self._of: collections.defaultdict[str, dict[HeldConnection, None]] = (
            collections.defaultdict(dict)
        )

    def __len__(self) -> int:
        return len(self._by_peer)

    def served(self, peer: Peer) -> HeldConnection | None:
        """The connection, whose handshake is done."""
        connection = self._by_peer.get(peer)
        if connection is not None and connection.handshake is not None:
            connection.handshake.cancel()
        return connection

    def admit(self, accepted: socket.socket, peer: Peer) -> HeldConnection | None:
        """The connection, or None when it was closed because its client holds too many."""
        connection = HeldConnection(accepted, peer, self)
        if not self._has_room(connection.address):
            super(HeldConnection, connection).close()
            return None
        self._by_peer[peer] = connection
        self._of[connection.address][connection] = None
        return connection

    def touch(self, connection: HeldConnection) -> None:
        for client in _clients(connection):
            if connection in self._of[client]:
                self._of[client][connection] = self._of[client].pop(connection)

    def give_to(self, connection: HeldConnection, project: str) -> None:
        self._leave(connection, connection.project)
        connection.project = project
        self._of[project][connection] = None
        if len(self._of[project]) > self._limits.each and connection.address not in self._own:
            self._one_gives_way(project)

    def forget(self, connection: HeldConnection) -> None:
        if self._by_peer.pop(connection.peer, None) is not None:
            for client in _clients(connection):
                self._leave(connection, client)

    def _has_room(self, address: str) -> bool:
        if address in self._own:
            return True
        if len(self._of.get(address, ())) >= self._limits.each:
            return self._one_gives_way(address)
        if len(self._by_peer) >= self._limits.most:
            others = {key: held for key, held in self._of.items() if key not in self._own}
            return bool(others) and self._one_gives_way(
                max(others, key=lambda key: len(others[key]))
            )
        return True

    def _one_gives_way(self, client: str) -> bool:
        for connection in self._of[client]:
            if not connection.busy and connection.address not in self._own:
                connection.give_way()
                self.forget(connection)
                return True
        return False

    def _leave(self, connection: HeldConnection, client: str) -> None:
        held = self._of.get(client, {})
        held.pop(connection, None)
        if not held:
            self._of.pop(client, None)


def _clients(connection: HeldConnection) -> Iterable[str]:
    return filter(None, (connection.address, connection.project))


class Listening(socket.socket):
    """A listening socket that accepts one connection in each turn of the event loop, so that many that
    come together, whose handshakes cost time, keep no request waiting.

    asyncio accepts until nobody is there: every second look here finds nobody.
    """

    def __init__(self, listening: socket.socket, connections: Connections) -> None:
        super().__init__(fileno=listening.detach())
        self._connections = connections
        self._has_accepted = False

    def accept(self) -> tuple[socket.socket, Peer]:
        if self._has_accepted:
            self._has_accepted = False
            raise BlockingIOError
        accepted, peer = super().accept()
        connection = self._connections.admit(accepted, peer)
        if connection is None:
            raise ConnectionAbortedError
        self._has_accepted = True
        loop = asyncio.get_running_loop()
        connection.handshake = loop.call_later(HANDSHAKE_TIMEOUT_S, connection.give_way)
        return connection, peer
