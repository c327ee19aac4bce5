"""An address that leaves a host: what is left of its connections is reset, for those elsewhere and those on it."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.system.slots import free_slot

from kumoi.base import namespace
from kumoi.base.process import run
from kumoi.hosts.wires import shared_address

pytestmark = pytest.mark.system

SHARED, PORT = "10.77.0.9", 5000
BOUND_S = 10.0


@dataclass(frozen=True, slots=True)
class World:
    """Two hosts and a wire: the first has the address, beside its own."""

    holder: str
    other: str

    def at(self, name: str) -> Path:
        return namespace.NAMESPACES / name

    def ip(self, name: str, words: str) -> None:
        run(["ip", "-n", name, *words.split()])


@pytest.fixture
def world() -> Iterator[World]:
    with free_slot() as slot:
        made = World(f"kshare{slot}-a", f"kshare{slot}-b")
        try:
            for name in (made.holder, made.other):
                run(["ip", "netns", "add", name])
                made.ip(name, "link set dev lo up")
            made.ip(made.holder, f"link add name one type veth peer name one netns {made.other}")
            for number, name in enumerate((made.holder, made.other), 1):
                made.ip(name, f"address add 10.77.0.{number}/24 dev one")
                made.ip(name, "link set dev one up")
            made.ip(made.holder, f"address add {SHARED}/32 dev one")
            yield made
        finally:
            for name in (made.holder, made.other):
                run(["ip", "netns", "delete", name], check=False)


def connected() -> socket.socket:
    client = socket.create_connection((SHARED, PORT), timeout=BOUND_S)
    client.sendall(b"GET / HTTP/1.1\r\n\r\n")
    return client


def test_whoever_waits_for_an_answer_hears_that_none_comes(world: World) -> None:
    """The listener stays, as the roles' do; so do connections to the host's own address."""
    holder, other = world.at(world.holder), world.at(world.other)
    listener = namespace.within(
        holder,
        lambda: socket.create_server(("0.0.0.0", PORT)),
    )
    here, elsewhere = namespace.within(holder, connected), namespace.within(other, connected)
    to_own = namespace.within(
        other, lambda: socket.create_connection(("10.77.0.1", PORT), timeout=BOUND_S)
    )
    accepted = [listener.accept()[0] for _ in range(3)]
    assert namespace.within(holder, lambda: shared_address.is_here(SHARED))
    world.ip(world.holder, f"address delete {SHARED}/32 dev one")
    assert not namespace.within(holder, lambda: shared_address.is_here(SHARED))
    namespace.within(holder, lambda: shared_address.end_connections(SHARED))
    for client in (here, elsewhere):
        with pytest.raises(ConnectionError):
            client.recv(1)
    assert not namespace.within(holder, lambda: shared_address.is_here(SHARED))
    accepted[2].sendall(b"x")
    assert to_own.recv(1) == b"x"
    for each in (listener, here, elsewhere, to_own, *accepted):
        each.close()


def test_what_was_borrowed_by_one_that_was_killed_is_given_back(world: World) -> None:
    world.ip(world.holder, f"address delete {SHARED}/32 dev one")
    world.ip(world.holder, f"address add {SHARED}/32 dev {shared_address.LOOPBACK}")
    namespace.within(world.at(world.holder), lambda: shared_address.give_back(SHARED))
    assert not namespace.within(world.at(world.holder), lambda: shared_address.is_here(SHARED))
    namespace.within(world.at(world.holder), lambda: shared_address.give_back(SHARED))
