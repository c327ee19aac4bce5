"""An end for clients' connections to an address that has come here from a host that is lost.

TCP tells such a client nothing: it waits for an answer and sends nothing, until its own keepalive asks, which is after a
minute with openstacksdk. A segment outside of its window makes it say at once which it expects (RFC 9293, 3.10.7.4);
nobody here has that connection, so Linux answers with a reset of just that number. Samba's CTDB calls such a segment a
tickle ACK. A connection that has ended, or that is to whoever has the address now, takes no harm.
"""

from __future__ import annotations

import contextlib
import socket
import struct
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

TABLE = Path("/proc/thread-self/net/tcp")
COUNTERS = Path("/proc/thread-self/net/snmp")
ESTABLISHED = "01"  # As the kernel's Documentation/networking/proc_net_tcp.rst has it.
_HEADER = struct.Struct("!HHIIBBHHH")
_OFFSET, _ACK, _WINDOW = (_HEADER.size // 4) << 4, 0x10, 1024
_PSEUDO_HEADER = struct.Struct("!4s4sBBH")


class TcpConnection(NamedTuple):
    """Of a client, to a port of the address."""

    client: str
    client_port: int
    port: int


def established(address: str, table: Path = TABLE) -> Iterator[TcpConnection]:
    """Those of this network namespace whose own end is the IPv4 address."""
    with table.open() as lines:
        next(lines)
        for line in lines:
            _, own, other, state, *_ = line.split(maxsplit=4)
            if state != ESTABLISHED:
                continue
            own_address, own_port = _end(own)
            if own_address == address:
                yield TcpConnection(*_end(other), own_port)


def accepted(counters: Path = COUNTERS) -> int:
    """How many connections others have begun to this network namespace (PassiveOpens of RFC 4022). The table has those of
    all namespaces, so a look at it takes 5 ms on a machine of 24 GiB; this takes none.
    """
    with counters.open() as lines:
        names, values = (line.split() for line in lines if line.startswith("Tcp: "))
    return int(values[names.index("PassiveOpens")])


def send(address: str, connections: Iterable[TcpConnection]) -> None:
    """A tickle ACK to each client. The address is on a link of this network namespace, and whoever calls has
    CAP_NET_RAW. Where there is no way to a client, none is sent. Raises OSError.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_TCP) as sending:
        sending.bind((address, 0))
        for each in connections:
            with contextlib.suppress(OSError):
                sending.sendto(segment(address, each), (each.client, 0))


def segment(address: str, connection: TcpConnection) -> bytes:
    """Its numbers are 0, which no client that has sent anything expects but by one chance of 65,536."""
    words = (connection.port, connection.client_port, 0, 0, _OFFSET, _ACK, _WINDOW)
    unsummed = _HEADER.pack(*words, 0, 0)
    ends = socket.inet_aton(address), socket.inet_aton(connection.client)
    pseudo = _PSEUDO_HEADER.pack(*ends, 0, socket.IPPROTO_TCP, len(unsummed))
    return _HEADER.pack(*words, _checksum(pseudo + unsummed), 0)


def _checksum(data: bytes) -> int:
    """RFC 1071's, of an even number of bytes."""
    total: int = sum(value for (value,) in struct.iter_unpack("!H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def _end(words: str) -> tuple[str, int]:
    """From `0100007F:1F90`: an address as the machine's own integer, a port."""
    address, _, port = words.partition(":")
    return socket.inet_ntoa(struct.pack("=I", int(address, 16))), int(port, 16)
