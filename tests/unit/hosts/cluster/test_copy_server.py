"""Who may ask a control host for its copies, and what happens where one is cut off: over real TLS."""

from __future__ import annotations

import asyncio
import contextlib
import io
import socket
import ssl
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

import pytest
from tests.free_port import free_port

from kumoi import config, members
from kumoi.base.errors import NotFound, Transient
from kumoi.config import CloudSettings, HostSettings, first_host
from kumoi.control_host import ControlHost
from kumoi.engine.activation import Activation
from kumoi.engine.http.serving import Certificates, Listener, serve
from kumoi.hosts.cluster import copies, copy_calls, copy_server
from kumoi.hosts.cluster.copy_calls import CopiesClient
from kumoi.hosts.cluster.copy_plan import Copies, CopyKind, CopyName, CopyState, Wanted
from kumoi.hosts.first_use import engines_pki, pki

SHA = "a" * 64
CONTENT = b"0123456789" * 100_000
ME = ControlHost("t1-host1", "127.0.0.1")
CLOUD = config.changed(
    CloudSettings(name="t1"), southbound_url="ssl:127.0.0.1:6642", control_hosts=(ME,)
)


@dataclass
class Things:
    """Of one kind, that a store names and a disk has."""

    kind: CopyKind
    named: dict[str, Wanted] = field(default_factory=dict)
    held: dict[str, CopyState] = field(default_factory=dict)
    others: dict[str, CopyState] = field(default_factory=dict)
    fails: set[str] = field(default_factory=set)

    def here(self) -> Copies:
        return {CopyName(self.kind, name): state for name, state in self.held.items()}

    def wanted(self) -> Mapping[CopyName, Wanted]:
        return {CopyName(self.kind, name): each for name, each in self.named.items()}

    def take(self, name: str, _wanted: Wanted, _peers: Sequence[CopiesClient]) -> CopyState:
        if name in self.fails or name not in self.others:
            raise Transient("the disk is full")
        self.held[name] = self.others[name]
        return self.held[name]

    def remove(self, name: str, _state: CopyState) -> None:
        del self.held[name]


@dataclass
class Host:
    settings: HostSettings
    images: Things
    pushed: Things
    keeper: copies.CopyKeeper

    def client(self, certificate: str) -> CopiesClient:
        return CopiesClient(
            ME, copy_calls.tls_context(members.certificate(self.settings, certificate))
        )


def opened(sha256: str) -> IO[bytes]:
    if sha256 != SHA:
        raise FileNotFoundError
    file = tempfile.TemporaryFile()  # noqa: SIM115 - whoever reads it closes it
    file.write(CONTENT)
    return file


def packed(name: str, haves: list[str]) -> IO[bytes]:
    if name != "p/app":
        raise NotFound("repository", name)
    file = tempfile.TemporaryFile()  # noqa: SIM115 - whoever reads it closes it
    file.write(",".join(haves).encode())
    return file


@contextlib.contextmanager
def serving(server: copy_server.CopyServer, host: HostSettings) -> Iterator[int]:
    """The port, on which it answers in a thread of its own."""
    key, certificate, authority = members.certificate(host, members.COPIES)
    ready, over = threading.Event(), asyncio.Event()
    state: dict[str, asyncio.AbstractEventLoop] = {}
    listener = Listener(
        server.app, ME.address, members.COPIES_PORT, Certificates(certificate, key, authority)
    )

    class Told(Activation):
        def tell_ready(self) -> None:
            ready.set()

    async def run() -> None:
        state["loop"] = asyncio.get_running_loop()
        task = asyncio.create_task(serve([listener], Told({}, pid=0)))
        await over.wait()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    thread = threading.Thread(target=asyncio.run, args=[run()])
    thread.start()
    try:
        assert ready.wait(20)
        yield members.COPIES_PORT
    finally:
        state["loop"].call_soon_threadsafe(over.set)
        thread.join()


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    settings = config.changed(
        first_host(CLOUD, str(tmp_path_factory.mktemp("host"))), underlay_address="127.0.0.1"
    )
    now = datetime.now(UTC)
    pki.ensure(CLOUD, settings, now)
    engines_pki.ensure(CLOUD, settings, (), now)
    images, pushed = Things(CopyKind.IMAGE), Things(CopyKind.REPOSITORY)
    keeper = copies.CopyKeeper([images, pushed], [])
    server = copy_server.CopyServer(keeper, opened, packed)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(members, "COPIES_PORT", free_port())
        with serving(server, settings):
            yield Host(settings, images, pushed, keeper)


def test_another_hosts_unit_is_told_and_given_all(host: Host) -> None:
    host.images.held[SHA] = CopyState()
    host.pushed.held["p/app"] = CopyState("r", 4)
    client = host.client(members.COPIES)
    assert client.held().states == {
        CopyName(CopyKind.IMAGE, SHA): CopyState(),
        CopyName(CopyKind.REPOSITORY, "p/app"): CopyState("r", 4),
    }
    assert b"".join(client.image(SHA, 0)) == CONTENT
    assert b"".join(client.image(SHA, 999_990)) == CONTENT[999_990:]
    out = io.BytesIO()
    client.pack("p/app", ["c1", "c2"], out, 1_000)
    assert out.getvalue() == b"c1,c2"


def test_what_is_not_here_is_told(host: Host) -> None:
    client = host.client(members.COPIES)
    with pytest.raises(NotFound):
        list(client.image("b" * 64, 0))
    with pytest.raises(NotFound):
        client.pack("p/nothing", [], io.BytesIO(), 1_000)
    with pytest.raises(NotFound):
        list(client.image("../../etc/passwd", 0))


def test_a_pack_that_is_larger_than_the_disk_has_room_for_is_given_up(host: Host) -> None:
    with pytest.raises(Transient, match="larger than it may be"):
        host.client(members.COPIES).pack("p/app", ["c" * 40], io.BytesIO(), 10)


def test_the_api_and_the_pipeline_have_their_own_brought_and_read_nothing(host: Host) -> None:
    host.images.named["c" * 64] = Wanted()
    host.images.others["c" * 64] = CopyState()
    host.pushed.named["p/far"] = Wanted(CopyState("r", 5), "t1-host2")
    host.pushed.others["p/far"] = CopyState("r", 6)
    api, pipeline = host.client("store-cloud"), host.client("store-pipeline")
    api.bring_image("c" * 64)
    assert "c" * 64 in host.images.held
    assert pipeline.bring_repository("p/far", 6) == 6
    for client in (api, pipeline):
        with pytest.raises(Transient):
            client.held()
        with pytest.raises(Transient):
            list(client.image(SHA, 0))
    with pytest.raises(Transient):
        api.bring_repository("p/far", 6)
    with pytest.raises(Transient):
        pipeline.bring_image(SHA)


def test_what_no_store_names_or_nobody_has_is_not_brought(host: Host) -> None:
    host.pushed.named["p/ahead"] = Wanted(CopyState("r", 5), "t1-host2")
    host.pushed.others["p/ahead"] = CopyState("r", 4)
    pipeline = host.client("store-pipeline")
    with pytest.raises(NotFound):
        pipeline.bring_repository("p/unknown", 2)
    with pytest.raises(Transient):
        pipeline.bring_repository("p/ahead", 6)
    assert pipeline.bring_repository("p/ahead", 4) == 4


@pytest.mark.parametrize("name", ["etcd", "patroni"])
def test_another_engines_certificate_opens_nothing(host: Host, name: str) -> None:
    with pytest.raises(Transient):
        host.client(name).held()


@pytest.mark.parametrize("name", ["api", "pipeline", "t1-host1"])
def test_a_certificate_of_the_clouds_other_authority_is_refused(host: Host, name: str) -> None:
    """A host's, an agent's, whatever its name is."""
    key, certificate, _ = members.certificate(host.settings, name)
    authority = host.settings.pki_dir / "engines.crt"
    client = CopiesClient(ME, copy_calls.tls_context((key, certificate, authority)))
    with pytest.raises(Transient):
        client.held()


def test_nobody_without_a_certificate_is_answered(host: Host) -> None:
    tls = ssl.create_default_context(cafile=str(host.settings.pki_dir / "engines.crt"))
    with pytest.raises(Transient):
        CopiesClient(ME, tls).held()


def test_a_server_of_the_clouds_other_authority_is_not_believed(host: Host) -> None:
    key, certificate, _ = members.certificate(host.settings, members.COPIES)
    authority = host.settings.pki_dir / "ca.crt"
    with pytest.raises(Transient):
        CopiesClient(ME, copy_calls.tls_context((key, certificate, authority))).held()


def test_what_is_cut_off_is_not_taken_for_the_whole(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    key, certificate, authority = members.certificate(host.settings, members.COPIES)
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(authority))
    tls.load_cert_chain(certificate, key)

    def cut_off(listener: socket.socket) -> None:
        with tls.wrap_socket(listener.accept()[0], server_side=True) as connection:
            connection.recv(1 << 16)
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nsome of it")

    with socket.create_server(("127.0.0.1", 0)) as listener:
        monkeypatch.setattr(members, "COPIES_PORT", listener.getsockname()[1])
        client = host.client(members.COPIES)
        thread = threading.Thread(target=cut_off, args=[listener])
        thread.start()
        taken: list[bytes] = []
        with pytest.raises(Transient):
            taken.extend(client.image(SHA, 0))
        thread.join()
    assert taken == [b"some of it"]


def test_what_fails_keeps_nothing_else_waiting_and_is_told() -> None:
    things = Things(
        CopyKind.IMAGE,
        named={"aa": Wanted(), "bb": Wanted(), "cc": Wanted()},
        held={"old": CopyState()},
        others={"aa": CopyState(), "bb": CopyState(), "cc": CopyState()},
        fails={"bb"},
    )
    keeper = copies.CopyKeeper([things], [HasAll()])  # type: ignore[list-item]
    keeper.round()
    assert set(things.held) == {"aa", "cc"}
    assert keeper.held().failing == {"image bb": "the disk is full"}
    things.fails.clear()
    keeper.round()
    assert set(things.held) == {"aa", "bb", "cc"}
    assert keeper.held().failing == {}


class HasAll:
    """Another host."""

    host = "t1-host2"

    def held(self) -> copy_calls.HeldCopies:
        return copy_calls.HeldCopies(images=["aa", "bb", "cc"])


def test_a_host_that_lost_an_authoritys_key_has_it_back_from_another(tmp_path: Path) -> None:
    first, second = (first_host(CLOUD, str(tmp_path / name)) for name in ("1", "2"))
    second = config.changed(second, name="t1-host2")
    cloud = config.changed(CLOUD, control_hosts=(ME, ControlHost("t1-host2", "127.0.0.2")))
    now = datetime.now(UTC)
    pki.ensure(cloud, first, now)
    engines_pki.ensure(cloud, first, [second], now)
    marks = {name: engines_pki.key_mark(first.pki_dir, name) for name in ("ca", "engines")}
    assert all(marks.values())
    for name in ("ca", "engines"):
        assert engines_pki.key_mark(second.pki_dir, name) == marks[name]
        key = second.pki_dir / f"{name}.key"
        assert key.stat().st_mode & 0o777 == 0o600
        (first.pki_dir / f"{name}.key").unlink()
        assert not engines_pki.key_mark(first.pki_dir, name)
    engines_pki.bring_back(first, [second])
    pki.ensure(cloud, first, now)
    engines_pki.ensure(cloud, first, [second], now)
    assert {name: engines_pki.key_mark(first.pki_dir, name) for name in marks} == marks
