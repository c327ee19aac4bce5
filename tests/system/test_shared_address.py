"""An address that leaves a host, or comes from one that is lost: what is left of its connections is reset, for those
elsewhere and those on it.
"""

from __future__ import annotations

import functools
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.system.container_host import until
from tests.system.slots import free_slot

from kumoi.base import namespace
from kumoi.base.process import run
from kumoi.config import CloudSettings
from kumoi.hosts.cluster.health import AddressWatch
from kumoi.hosts.cluster.shared_connections import SharedConnections
from kumoi.hosts.wires import shared_address, tickle

pytestmark = pytest.mark.system

SHARED, PORT = "10.77.0.9", 5000
OWN, FOLLOWING, CONNECTIONS_PORT = "10.77.0.1", "10.77.0.2", 8010
BOUND_S = 10.0


@dataclass(frozen=True, slots=True)
class World:
    """Two hosts, and another at the bridge between them: the first has the address, beside its own."""

    holder: str
    following: str
    other: str

    @property
    def every(self) -> tuple[str, ...]:
        return self.holder, self.following, self.other

    def at(self, name: str) -> Path:
        return namespace.NAMESPACES / name

    def ip(self, name: str, words: str) -> None:
        run(["ip", "-n", name, *words.split()])


@pytest.fixture
def world() -> Iterator[World]:
    with free_slot() as slot:
        made = World(f"kshare{slot}-a", f"kshare{slot}-b", f"kshare{slot}-c")
        try:
            for name in made.every:
                run(["ip", "netns", "add", name])
                made.ip(name, "link set dev lo up")
            made.ip(made.other, "link add name one type bridge")
            for number, name in enumerate((made.holder, made.following)):
                peer = f"port{number} netns {made.other}"
                made.ip(name, f"link add name one type veth peer name {peer}")
                made.ip(made.other, f"link set dev port{number} up master one")
            for name, address in zip(made.every, (OWN, FOLLOWING, "10.77.0.3"), strict=True):
                made.ip(name, f"address add {address}/24 dev one")
                made.ip(name, "link set dev one up")
            made.ip(made.holder, f"address add {SHARED}/32 dev one")
            yield made
        finally:
            for name in made.every:
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
    to_own = namespace.within(other, lambda: socket.create_connection((OWN, PORT), timeout=BOUND_S))
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


def test_whoever_connects_to_a_holder_that_lost_all_processes_waits_for_the_next_one(
    world: World,
) -> None:
    """Its kernel has the address still. Its other ports and its own address refuse, as any kernel does."""
    cloud = CloudSettings(name="kshare", shared_address=SHARED, api_port=PORT)
    shared_address.refuse_nobody(cloud, namespace=world.holder)
    shared_address.refuse_nobody(cloud, namespace=world.holder)
    following, other = world.at(world.following), world.at(world.other)
    for refused in ((SHARED, PORT + 5), (OWN, PORT)):
        with pytest.raises(ConnectionRefusedError):
            namespace.within(other, functools.partial(socket.create_connection, refused, BOUND_S))
    there = namespace.within(following, lambda: socket.create_server(("0.0.0.0", PORT)))
    with ThreadPoolExecutor(1) as thread:
        connecting = thread.submit(namespace.within, other, connected)
        until(lambda: asks(world.other))
        world.ip(world.following, f"address add {SHARED}/32 dev one")
        world.ip(world.other, "neighbour flush dev one")
        world.ip(world.holder, f"address delete {SHARED}/32 dev one")
        client = connecting.result(BOUND_S)
    for each in (client, there):
        each.close()


def asks(name: str) -> bool:
    """Whether a client there connects to the address, and nobody has answered."""
    return "SYN-SENT" in run(["ss", "--tcp", "--numeric", "dst", SHARED], namespace=name).out


def watch(me: str, other: str) -> AddressWatch:
    connections = SharedConnections(SHARED, me, [other], port=CONNECTIONS_PORT)
    return AddressWatch(SHARED, connections)


def test_a_host_that_is_lost_with_its_kernel_leaves_nobody_waiting(world: World) -> None:
    """A client that sends nothing any more: its kernel has heard that its request came."""
    holder, following, other = (world.at(name) for name in world.every)
    listener = namespace.within(holder, lambda: socket.create_server(("0.0.0.0", PORT)))
    client, another = (namespace.within(other, connected) for _ in range(2))
    lost = namespace.within(holder, lambda: watch(OWN, FOLLOWING))
    left = namespace.within(following, lambda: watch(FOLLOWING, OWN))
    namespace.within(following, left.look)  # The address is not there.
    namespace.within(holder, lost.look)
    world.ip(world.holder, "link set dev one down")
    world.ip(world.following, f"address add {SHARED}/32 dev one")
    world.ip(world.other, "neighbour flush dev one")
    there = namespace.within(following, lambda: socket.create_server(("0.0.0.0", PORT)))
    fresh = namespace.within(other, connected)
    serving, _ = there.accept()
    namespace.within(following, left.look)
    for waiting in (client, another):
        with pytest.raises(ConnectionError):
            waiting.recv(1)
    tickle_own(following, fresh)
    serving.sendall(b"x")
    assert fresh.recv(1) == b"x"
    for each in (listener, there, client, another, fresh, serving):
        each.close()
    for one in (lost, left):
        one.connections.close()


def tickle_own(following: Path, client: socket.socket) -> None:
    """As if it had been told of a connection that is its own by now."""
    address, port = client.getsockname()
    connection = tickle.TcpConnection(address, port, PORT)
    namespace.within(following, lambda: tickle.send(SHARED, [connection]))


def test_whoever_connects_here_while_the_address_is_borrowed_is_not_left_waiting(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The address went elsewhere before: what reached this host's listener by the loopback link has no answer after it."""
    holder = world.at(world.holder)
    listener = namespace.within(holder, lambda: socket.create_server(("0.0.0.0", PORT)))
    world.ip(world.holder, f"address delete {SHARED}/32 dev one")
    clients, give_back = [], shared_address.give_back

    def connect_first(address: str) -> None:
        clients.append(connected())
        give_back(address)

    monkeypatch.setattr(shared_address, "give_back", connect_first)
    namespace.within(holder, lambda: shared_address.end_connections(SHARED))
    (client,) = clients
    with pytest.raises(ConnectionError):
        client.recv(1)
    for each in (listener, client):
        each.close()


def test_what_was_borrowed_by_one_that_was_killed_is_given_back(world: World) -> None:
    world.ip(world.holder, f"address delete {SHARED}/32 dev one")
    world.ip(world.holder, f"address add {SHARED}/32 dev {shared_address.LOOPBACK}")
    namespace.within(world.at(world.holder), lambda: shared_address.give_back(SHARED))
    assert not namespace.within(world.at(world.holder), lambda: shared_address.is_here(SHARED))
    namespace.within(world.at(world.holder), lambda: shared_address.give_back(SHARED))
