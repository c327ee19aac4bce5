"""Connections that are kept: with a real listener, which ends them as it likes."""

from __future__ import annotations

import contextlib
import ssl
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from kumoi.config import CloudSettings, HostSettings
from kumoi.engine.etcd import Etcd, EtcdLost, EtcdRefused
from kumoi.engine.https_pool import HttpsPool
from kumoi.hosts.first_use import pki

CLOUD = CloudSettings(name="t1", public_cidr="10.0.4.0/24", underlay_cidr="10.0.5.0/28")


class Member(ThreadingHTTPServer):
    """Of etcd, as far as these tests ask it."""

    daemon_threads = True

    def __init__(self, tls: ssl.SSLContext, status: int = 200, leader: str = "7") -> None:
        super().__init__(("127.0.0.1", 0), _Answering)
        self.socket = tls.wrap_socket(self.socket, server_side=True)
        self.status, self.leader = status, leader
        self.begun = 0  # Connections.
        self.ends_each = False
        self.open: list[Any] = []

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.server_address[1]}"

    def hang_up(self) -> None:
        """On all who are connected."""
        for connection in self.open:
            with contextlib.suppress(OSError):
                connection.shutdown(2)
        self.open.clear()


class _Answering(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Member

    def setup(self) -> None:
        super().setup()
        self.server.begun += 1
        self.server.open.append(self.connection)

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        content = f'{{"leader": "{self.server.leader}"}}'.encode()
        self.send_response(self.server.status)
        self.send_header("Content-Length", str(len(content)))
        if self.server.ends_each:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Nobody reads it."""


class World:
    def __init__(self, directory: Path) -> None:
        host = HostSettings(state_dir=str(directory))
        pki.ensure(CLOUD, host, datetime.now(UTC))
        self.served = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self.served.load_cert_chain(host.pki_dir / "api.crt", host.pki_dir / "api.key")
        self.tls = ssl.create_default_context(cafile=host.pki_dir / "ca.crt")
        self.running = contextlib.ExitStack()

    def member(self, **of_member: Any) -> Member:
        made = Member(self.served, **of_member)
        threading.Thread(target=made.serve_forever).start()
        self.running.callback(made.server_close)
        self.running.callback(made.shutdown)
        return made


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    with made.running:
        yield made


def test_a_connection_is_used_again(world: World) -> None:
    member, pool = world.member(), HttpsPool(world.tls, timeout_s=5)
    with contextlib.closing(pool):
        assert [pool.post(member.address, "/v3/x", b"{}").status for _ in range(3)] == [200] * 3
    assert member.begun == 1


def test_one_that_was_hung_up_meanwhile_is_not(world: World) -> None:
    member, pool = world.member(), HttpsPool(world.tls, timeout_s=5)
    with contextlib.closing(pool):
        for _ in range(3):
            assert pool.post(member.address, "/v3/x", b"{}").status == 200
            member.hang_up()
        member.ends_each = True
        for _ in range(2):
            assert pool.post(member.address, "/v3/x", b"{}").status == 200
    assert member.begun == 5


def test_who_does_not_answer_gives_way_to_the_next_member(world: World) -> None:
    ill, well = world.member(status=503), world.member()
    with contextlib.closing(Etcd([ill.address, well.address], world.tls)) as client:
        client.put("key", "value")
        client.put("key", "value")
        assert ill.begun == 1  # The one that answered is asked first now.
        well.status = 503
        with pytest.raises(EtcdLost, match="ask etcd for kv/put: no member answers"):
            client.put("key", "value")


def test_who_refuses_has_answered(world: World) -> None:
    refusing, well = world.member(status=400), world.member()
    with (
        contextlib.closing(Etcd([refusing.address, well.address], world.tls)) as client,
        pytest.raises(EtcdRefused, match="it answered 400"),
    ):
        client.grant(1, 12)
    assert well.begun == 0


def test_nobody_leads_when_most_members_say_so_or_have_no_process(world: World) -> None:
    gone = world.member()
    address = gone.address
    gone.shutdown()
    gone.server_close()
    lost, ill, well = world.member(leader="0"), world.member(status=503), world.member()
    for members, without in (
        ([lost.address, address, well.address], True),
        ([lost.address, ill.address, well.address], False),
    ):
        with contextlib.closing(Etcd(members, world.tls)) as client:
            assert client.has_no_leader() is without
    with contextlib.closing(Etcd([lost.address, address, well.address], world.tls)) as client:
        assert client.answering() == {lost.address: False, well.address: True}
