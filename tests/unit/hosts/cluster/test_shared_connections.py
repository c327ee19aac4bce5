"""What control hosts tell each other of clients at the shared address: real sockets on the loopback link."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator

import pytest
from tests.free_port import free_port

from kumoi.hosts.cluster import shared_connections
from kumoi.hosts.cluster.shared_connections import SharedConnections, datagrams, told
from kumoi.hosts.wires import tickle
from kumoi.hosts.wires.tickle import TcpConnection

ME, OTHER, STRANGER, SHARED = "127.0.0.11", "127.0.0.12", "127.0.0.13", "127.0.0.14"
OWN = "127.0.0.1"  # Of who connects from here.


def of(count: int) -> list[TcpConnection]:
    return [
        TcpConnection(f"10.0.{number >> 8}.{number & 255}", 40_000, 5000) for number in range(count)
    ]


@pytest.fixture
def port() -> int:
    return free_port(ME)


@pytest.fixture
def mine(port: int) -> Iterator[SharedConnections]:
    with contextlib.closing(SharedConnections(SHARED, ME, [OTHER], port=port)) as made:
        yield made


def test_what_is_told_is_heard() -> None:
    """However many: a datagram fits into a packet."""
    connections = of(400)
    parts = [*datagrams(connections)]
    assert [each for part in parts for each in told(part)] == connections
    assert max(map(len, parts)) < 1_400


def test_no_more_is_told_than_is_kept() -> None:
    assert sum(len(told(part)) for part in datagrams(of(5_000))) == shared_connections.MOST


@pytest.mark.parametrize("datagram", [b"", b"x", b"kumoi tcp 1\nx", b"kumoi tcp 2\n" + b"x" * 8])
def test_what_is_not_understood_says_nothing(datagram: bytes) -> None:
    assert told(datagram) == []


@contextlib.contextmanager
def client_at(shared: str) -> Iterator[TcpConnection]:
    with socket.create_server((shared, 0)) as listener:
        there = listener.getsockname()
        with socket.create_connection(there) as client, listener.accept()[0]:
            yield TcpConnection(OWN, client.getsockname()[1], there[1])


def test_clients_of_another_host_are_known(mine: SharedConnections, port: int) -> None:
    other = SharedConnections(SHARED, OTHER, [ME], port=port)
    with contextlib.closing(other), client_at(SHARED) as client, client_at(OTHER):
        other.tell()
        mine.hear()
        assert mine.heard == [client]


def test_what_is_connected_is_told_each_time(mine: SharedConnections, port: int) -> None:
    """Also who came later, and who came long ago."""
    other = SharedConnections(SHARED, OTHER, [ME], port=port)
    with contextlib.closing(other), client_at(SHARED) as first:
        other.tell()
        mine.hear()
        with client_at(SHARED) as second:
            other.tell()
            mine.hear()
            assert {*mine.heard} == {first, second}


def test_a_host_that_begins_later_hears_of_who_came_before(port: int) -> None:
    other = SharedConnections(SHARED, OTHER, [ME], port=port)
    with contextlib.closing(other), client_at(SHARED) as client:
        other.tell()
        with contextlib.closing(SharedConnections(SHARED, ME, [OTHER], port=port)) as late:
            other.tell()
            late.hear()
            assert late.heard == [client]


def test_a_stranger_is_not_heard(mine: SharedConnections, port: int) -> None:
    stranger = SharedConnections(SHARED, STRANGER, [ME], port=port)
    with contextlib.closing(stranger), client_at(SHARED):
        stranger.tell()
        mine.hear()
        assert mine.heard == []


def test_what_was_heard_long_ago_is_forgotten(
    mine: SharedConnections, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind((OTHER, port))
        for part in datagrams(of(3)):
            other.sendto(part, (ME, port))
    mine.hear()
    assert mine.heard == of(3)
    monkeypatch.setattr(shared_connections, "KNOWN_S", 0.0)
    mine.hear()
    assert mine.heard == []


def test_a_segment_is_as_rfc_9293_has_it() -> None:
    """Its checksum by the rule for who receives it: the sum of all is 0xFFFF."""
    made = tickle.segment("10.0.0.1", TcpConnection("10.0.0.2", 40_000, 5000))
    pseudo = socket.inet_aton("10.0.0.1") + socket.inet_aton("10.0.0.2") + bytes([0, 6, 0, 20])
    words = pseudo + made
    total = sum(int.from_bytes(words[at : at + 2]) for at in range(0, len(words), 2))
    assert (total >> 16) + (total & 0xFFFF) == 0xFFFF
    assert made[:4] == (5000).to_bytes(2) + (40_000).to_bytes(2)
    assert made[13] == 0x10  # ACK alone.
