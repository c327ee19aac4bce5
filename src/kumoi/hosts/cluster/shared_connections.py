"""Which clients are connected to the shared address: whoever has it tells the other control hosts, and the one that gets
it from a host that is lost ends their connections (wires/tickle.py).

By datagrams between the control hosts' own addresses. They are trusted as VRRP is there: a false one makes this host send
segments that harm no connection, and no more than MOST of them.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import time
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

from kumoi.hosts.wires import tickle
from kumoi.hosts.wires.tickle import TcpConnection

KIND = b"kumoi tcp 1\n"
MOST = 4_096
TOGETHER = 150  # In one datagram, which is not to be divided on its way.
KNOWN_S = 30.0  # Longer than the address takes to come here.
_CONNECTION = struct.Struct("!4sHH")
_DATAGRAM_MAX = 65_536


class SharedConnections:
    """`me` and `others` are the control hosts' own addresses. Raises OSError where this one is not here."""

    def __init__(self, shared: str, me: str, others: Sequence[str], *, port: int) -> None:
        self._shared = shared
        self._others = others
        self._port = port
        self._heard: dict[TcpConnection, float] = {}
        self._accepted = -1
        self._told: list[bytes] = []
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.settimeout(0.0)
        self._socket.bind((me, port))

    def tell(self) -> None:
        """What is connected here. While nobody new is, that is what was told before, but for who has left."""
        accepted = tickle.accepted()
        if accepted != self._accepted:
            self._told = [*datagrams(tickle.established(self._shared))]
            self._accepted = accepted
        for datagram in self._told:
            for other in self._others:
                with contextlib.suppress(OSError):  # It may be away, and this host cut off.
                    self._socket.sendto(datagram, (other, self._port))

    def hear(self) -> None:
        """What others told since the last call."""
        now_s = time.monotonic()
        while True:
            try:
                datagram, sender = self._socket.recvfrom(_DATAGRAM_MAX)
            except BlockingIOError:
                break
            if sender[0] in self._others:
                for each in told(datagram):
                    self._heard.pop(each, None)
                    self._heard[each] = now_s
        newest = [*self._heard.items()][-MOST:]
        self._heard = {each: at_s for each, at_s in newest if now_s - at_s < KNOWN_S}

    @property
    def heard(self) -> list[TcpConnection]:
        """All that others told of late."""
        return [*self._heard]

    def tickle(self) -> None:
        """Their clients, since this host has got the address."""
        tickle.send(self._shared, self._heard)

    def close(self) -> None:
        self._socket.close()


def datagrams(connections: Iterable[TcpConnection]) -> Iterator[bytes]:
    packed = [
        _CONNECTION.pack(socket.inet_aton(each.client), each.client_port, each.port)
        for each in islice(connections, MOST)
    ]
    for first in range(0, len(packed), TOGETHER):
        yield KIND + b"".join(packed[first : first + TOGETHER])


def told(datagram: bytes) -> list[TcpConnection]:
    """Nothing by who speaks otherwise."""
    words = datagram.removeprefix(KIND)
    if not datagram.startswith(KIND) or len(words) % _CONNECTION.size:
        return []
    return [
        TcpConnection(socket.inet_ntoa(client), client_port, port)
        for client, client_port, port in _CONNECTION.iter_unpack(words)
    ]
