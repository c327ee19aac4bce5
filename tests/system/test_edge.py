"""Between the machine and what is tenants': what passes, told on an engine host where an address on
its external bridge stands for a server behind its router. With real servers: test_operation.py.
"""

from __future__ import annotations

import contextlib
import errno
import ipaddress
import select
import socket
import subprocess
import sys
from collections.abc import Iterator

import pytest
from tests.system.conftest import EngineHost
from tests.system.live import eventually

from kumoi.base.process import run
from kumoi.config import CLOUD_FILE
from kumoi.hosts.wires import edge, links

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]

ECHO = """
import socket, sys
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as mine:
    mine.bind(("0.0.0.0", int(sys.argv[1])))
    print("ready", flush=True)
    while True:
        said, sender = mine.recvfrom(100)
        mine.sendto(said, sender)
"""
CONNECT = """
import socket, sys
with socket.socket() as tried:
    tried.settimeout(3)
    print(tried.connect_ex((sys.argv[1], int(sys.argv[2]))))
"""
REFUSED = """
import socket, sys
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as mine:
    mine.settimeout(3)
    mine.connect((sys.argv[1], int(sys.argv[2])))
    mine.send(b"hello")
    try:
        mine.recv(100)
    except OSError as error:
        print(error.errno)
"""
STRAY = """
import socket, struct, sys
mine, there, flags = sys.argv[1], sys.argv[2], [int(word) for word in sys.argv[4:]]
def checksum(data):
    total = sum(struct.unpack("!%dH" % (len(data) // 2), data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF
with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_TCP) as raw:
    raw.settimeout(1)
    for at, flag in enumerate(flags):
        here = 20000 + at
        def segment(total):
            words = (here, int(sys.argv[3]), 1, 1, 5 << 4, flag, 1024, total, 0)
            return struct.pack("!HHLLBBHHH", *words)
        pseudo = socket.inet_aton(mine) + socket.inet_aton(there) + struct.pack("!BBH", 0, 6, 20)
        raw.sendto(segment(checksum(pseudo + segment(0))), (there, 0))
        try:
            while True:
                packet = raw.recv(100)
                if struct.unpack("!H", packet[22:24])[0] == here:
                    print(flag)
                    break
        except TimeoutError:
            pass
"""
PIECES = """
import socket, struct, sys
mine, there, port = sys.argv[1], sys.argv[2], int(sys.argv[3])
ends = [socket.inet_aton(mine), socket.inet_aton(there)]
def checksum(data):
    total = sum(struct.unpack("!%dH" % (len(data) // 2), data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF
def opening(here, total=0):
    return struct.pack("!HHLLBBHHH", here, port, 1, 0, 5 << 4, 2, 1024, total, 0)
def piece(content, here, at, more):
    head = (0x45, 0, 20 + len(content), here, more << 13 | at // 8, 64, 6, 0, *ends)
    return struct.pack("!BBHHHBBH4s4s", *head) + content
with (
    socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_TCP) as heard,
    socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW) as raw,
):
    heard.settimeout(3)
    for here, cuts in ((21000, (0, 20)), (21001, (0, 8, 20)), (21002, (0, 8, 16, 20))):
        pseudo = b"".join(ends) + struct.pack("!BBH", 0, 6, 20)
        whole = opening(here, checksum(pseudo + opening(here)))
        for at, end in zip(cuts, cuts[1:]):
            raw.sendto(piece(whole[at:end], here, at, end < 20), (there, 0))
        try:
            while True:
                packet = heard.recv(100)
                if struct.unpack("!H", packet[22:24])[0] == here:
                    print(len(cuts) - 1, packet[33])
                    break
        except TimeoutError:
            print(len(cuts) - 1, "nothing")
"""
SEND = """
import socket, sys
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as mine:
    mine.sendto(b"hello", (sys.argv[1], int(sys.argv[2])))
"""
FAR = "192.88.99.1"  # Of nobody any more, and no private address.
ECHO_PORT = 7007
BOUND_S = 10.0


def tenant_address(host: EngineHost) -> str:
    """An address of the external network in the host's namespace, which goes to the machine by its
    gateway as a router would. The kernel there takes nothing by that link, but for this test, and until `up` is called.
    """
    config = host.config
    cidr = ipaddress.ip_network(config.public_cidr)
    address = str(cidr[20])
    for line in (
        f"address replace {address}/{cidr.prefixlen} dev br-ex",
        "link set dev br-ex up",
        f"route replace default via {config.public_address}",
    ):
        run(["ip", "-n", host.here.name, *line.split()])
    let = ["insert", "rule", "inet", "host", "prerouting", "iifname", "br-ex", "accept"]
    run(["nft", *let], namespace=host.here.name)
    eventually(lambda: pinged(address), within_s=BOUND_S, what=f"a ping of {address}")
    return address


def pinged(address: str, *, namespace: str | None = None) -> bool:
    ask = ["ping", "-c", "1", "-W", "1", address]
    return run(ask, namespace=namespace, check=False).status == 0


def inside(host: EngineHost, program: str, *words: str) -> str:
    """What a program says that runs where tenants are."""
    ask = [sys.executable, "-c", program, *words]
    return run(ask, namespace=host.here.name).out.strip()


@contextlib.contextmanager
def listening(kind: socket.SocketKind, address: str, port: int = 0) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET, kind) as opened:
        opened.settimeout(BOUND_S)
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        opened.bind((address, port))
        if kind is socket.SOCK_STREAM:
            opened.listen()
        yield opened


@contextlib.contextmanager
def echoing(host: EngineHost) -> Iterator[None]:
    """A program where tenants are, which sends back what comes by UDP."""
    inside = ["ip", "netns", "exec", host.here.name]
    with subprocess.Popen(
        [*inside, sys.executable, "-c", ECHO, str(ECHO_PORT)], stdout=subprocess.PIPE, text=True
    ) as echo:
        try:
            assert echo.stdout is not None
            assert echo.stdout.readline() == "ready\n"
            yield
        finally:
            echo.kill()


def test_tenants_open_the_api_and_the_pipeline_of_the_machine_and_nothing_else(
    engine_host: EngineHost,
) -> None:
    engine_host.up()
    there = tenant_address(engine_host)
    cloud, host = engine_host.config, engine_host.here
    here = cloud.public_address
    assert pinged(here, namespace=host.name)
    with (
        listening(socket.SOCK_STREAM, here, cloud.api_port),
        listening(socket.SOCK_STREAM, here, cloud.pipeline_port),
        listening(socket.SOCK_STREAM, "0.0.0.0") as foreign,
        listening(socket.SOCK_DGRAM, "0.0.0.0") as deaf,
    ):
        tcp, udp = foreign.getsockname()[1], deaf.getsockname()[1]
        for port in (cloud.api_port, cloud.pipeline_port):
            assert inside(engine_host, CONNECT, here, str(port)) == "0"
        for address in set(links.addresses()) - {"127.0.0.1", cloud.control_address}:
            inside(engine_host, SEND, address, str(udp))
            assert inside(engine_host, CONNECT, address, str(tcp)) == str(errno.ECONNREFUSED)
        assert inside(engine_host, CONNECT, here, str(cloud.api_port)) == "0"
        assert not select.select([deaf], [], [], 0)[0]  # What was sent first has had its time.
        with socket.create_connection((here, tcp), BOUND_S):
            """They listen: the machine itself opens them."""
    with echoing(engine_host), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        asking.settimeout(BOUND_S)
        for said in (b"one", b"two"):  # What the machine opens is answered, whatever it is.
            asking.sendto(said, (there, ECHO_PORT))
            assert asking.recv(100) == said


def test_outbound_opens_the_internet_and_not_what_is_the_machines_when_up_is_called(
    engine_host: EngineHost,
) -> None:
    engine_host.up()
    file = engine_host.state / CLOUD_FILE
    file.write_text(file.read_text().replace("outbound = false", "outbound = true"))
    engine_host.up()
    tenant_address(engine_host)
    far = f"{engine_host.name}-far"
    run(["ip", "link", "add", "name", far, "type", "bridge"])
    try:
        run(["ip", "address", "add", f"{FAR}/32", "dev", far])
        run(["ip", "link", "set", "dev", far, "up"])
        with listening(socket.SOCK_STREAM, "0.0.0.0") as foreign:
            port = str(foreign.getsockname()[1])
            here = engine_host.config.public_address
            assert inside(engine_host, CONNECT, FAR, port) == "0"
            assert inside(engine_host, CONNECT, here, port) == str(errno.ECONNREFUSED)
            engine_host.up()
            tenant_address(engine_host)
            assert inside(engine_host, CONNECT, FAR, port) == str(errno.ECONNREFUSED)
    finally:
        links.delete_link(far)


def test_up_replaces_the_bridge_that_stood_in_the_machine_before_there_was_an_edge(
    engine_host: EngineHost,
) -> None:
    engine_host.up()
    cloud = engine_host.config
    link, host = edge.machine_link(cloud), engine_host.here.name
    run(["ip", "netns", "delete", cloud.edge_name])
    eventually(lambda: link not in links.names(), within_s=BOUND_S, what="the edge is gone")
    for line in (
        f"link add name {link} type bridge",
        f"link add name {link}h type veth peer name eth1 netns {host}",
        f"link set dev {link}h master {link} up",
        f"link set dev {link} up",
        f"address add {cloud.public_address}/25 dev {link}",
        f"-n {host} link set dev eth1 up",
    ):
        run(["ip", *line.split()])
    engine_host.up()
    assert f"{link}h" not in links.names()
    assert "veth" in run(["ip", "-d", "link", "show", "dev", link]).out
    tenant_address(engine_host)
    engine_host.kumoi("down", "--purge")
    assert {name for name in links.names() if name.startswith(engine_host.name)} == set()
    assert cloud.edge_name not in run(["ip", "netns", "list"]).out


def test_what_is_refused_is_refused_aloud_and_stray_segments_are_answered_with_nothing(
    engine_host: EngineHost,
) -> None:
    engine_host.up()
    mine, here = tenant_address(engine_host), engine_host.config.public_address
    fin, syn, rst, push_urgent, ack = 1, 2, 4, 40, 16
    stray = [0, fin, ack, fin | ack, fin | push_urgent, syn | fin, syn | ack, rst]
    with (
        listening(socket.SOCK_STREAM, "0.0.0.0") as foreign,
        listening(socket.SOCK_DGRAM, "0.0.0.0") as deaf,
    ):
        udp = str(deaf.getsockname()[1])
        assert inside(engine_host, REFUSED, here, udp) == str(errno.ECONNREFUSED)
        for port in (foreign.getsockname()[1], 1):  # One that is open to others, and a closed one.
            flags = [str(flag) for flag in (*stray, syn)]  # The last shows that answers are heard.
            assert inside(engine_host, STRAY, mine, here, str(port), *flags) == str(syn)
            # In pieces of 8 bytes, of which none says that it opens a connection and where.
            answers = inside(engine_host, PIECES, mine, here, str(port)).splitlines()
            assert answers == [f"{count} {rst | ack}" for count in (1, 2, 3)]
        foreign.settimeout(0)
        with pytest.raises(BlockingIOError):
            foreign.accept()
