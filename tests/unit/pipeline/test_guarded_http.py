"""Which servers may be named, and what is taken of them."""

from __future__ import annotations

import contextlib
import io
import socket
import threading
from collections.abc import Callable, Iterator

import pytest

from kumoi.base.errors import Invalid, Permanent, Transient
from kumoi.base.secret import Secret
from kumoi.pipeline import git_remote, guarded_http
from kumoi.pipeline.git_remote import GitRemote
from kumoi.pipeline.guarded_http import Guard, place
from kumoi.pipeline.push_packets import FLUSH, packet
from kumoi.pipeline.webhook import GitHost

LOOPBACK = Guard.of(["127.0.0.0/8"])
A, B = "a" * 40, "b" * 40
Serve = Callable[[bytes], str]


@pytest.mark.parametrize(
    "address",
    ["127.0.0.1", "10.0.0.1", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0",
     "224.0.0.1", "255.255.255.255", "[::1]", "[::]", "[fe80::1]", "[fd00::1]", "[::ffff:127.0.0.1]",
     "[64:ff9b::7f00:1]", "[2002:7f00:1::]", "[2001:0:1::]", "[ff02::1]", "2130706433", "0x7f.1", "localhost"],
)  # fmt: skip
def test_no_way_to_write_an_internal_address_leads_there(address: str) -> None:
    with pytest.raises(Invalid, match="internal address"):
        Guard().addresses(place(f"https://{address}/x.git"))


def test_a_public_address_is_asked_by_tls_alone() -> None:
    assert Guard().addresses(place("https://1.1.1.1/x.git")) == ["1.1.1.1"]
    with pytest.raises(Invalid, match="https:// only"):
        Guard().addresses(place("http://1.1.1.1/x.git"))


def test_a_name_with_one_internal_address_is_refused_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = [(2, 1, 6, "", ("1.1.1.1", 443)), (2, 1, 6, "", ("10.0.0.1", 443))]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_a, **_k: answers)
    with pytest.raises(Invalid, match=r"git.example is at 10.0.0.1, an internal address"):
        Guard().addresses(place("https://git.example/x.git"))


def test_a_name_is_looked_up_once_and_then_means_what_was_checked(
    monkeypatch: pytest.MonkeyPatch, serve: Serve
) -> None:
    port = int(serve(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi").rpartition(":")[2])
    looked: list[str] = []

    def look(host: str, *_a: object, **_k: object) -> list[object]:
        looked.append(host)
        where = "127.0.0.1" if len(looked) == 1 else "10.0.0.1"
        return [(2, 1, 6, "", (where, port))]

    monkeypatch.setattr(socket, "getaddrinfo", look)
    connected: list[object] = []

    def connect(where: tuple[str, int], within_s: float) -> socket.socket:
        connected.append(where[0])
        one = socket.socket()
        one.settimeout(within_s)
        one.connect(where)
        return one

    monkeypatch.setattr(socket, "create_connection", connect)
    with guarded_http.asked(LOOPBACK, f"http://git.example:{port}/x") as answer:
        assert answer.read(10) == b"hi"
    assert (looked, connected) == (["git.example"], ["127.0.0.1"])


@pytest.fixture
def serve() -> Iterator[Serve]:
    """A function that starts a server which answers anything with these bytes; its URL."""
    listeners: list[socket.socket] = []

    def start(content: bytes) -> str:
        listener = socket.create_server(("127.0.0.1", 0))
        listeners.append(listener)

        def answer() -> None:
            while True:
                try:
                    one, _ = listener.accept()
                except OSError:
                    return
                with one:
                    one.recv(65_536)
                    with contextlib.suppress(OSError):
                        one.sendall(content)
                        one.shutdown(socket.SHUT_WR)
                        while one.recv(65_536):  # Closed with something unread it would be reset.
                            pass

        threading.Thread(target=answer, daemon=True).start()
        return f"http://127.0.0.1:{listener.getsockname()[1]}"

    yield start
    for each in listeners:
        each.shutdown(socket.SHUT_RDWR)
        each.close()


@pytest.mark.parametrize(
    ("answer", "error", "says"),
    [
        (
            b"HTTP/1.1 302 X\r\nLocation: http://10.0.0.1/\r\n\r\n",
            Permanent,
            "redirects to 10.0.0.1",
        ),
        (b"HTTP/1.1 301 X\r\n\r\n", Permanent, "redirects to somewhere"),
        (b"HTTP/1.1 301 X\r\nLocation: http://[\r\n\r\n", Permanent, "redirects to somewhere"),
        (b"HTTP/1.1 404 X\r\nContent-Length: 0\r\n\r\n", Permanent, "refused with status 404"),
        (b"HTTP/1.1 503 X\r\nContent-Length: 0\r\n\r\n", Transient, "status 503"),
        (b"", Transient, "did not answer"),
        (b"nonsense\r\n\r\n", Transient, "did not answer"),
        (b"HTTP/1.1 200 X\r\nA: " + b"x" * 100_000, Transient, "did not answer"),
    ],
)
def test_what_is_no_good_answer_is_said_in_words(
    serve: Serve, answer: bytes, error: type[Exception], says: str
) -> None:
    url = serve(answer)
    with pytest.raises(error, match=says), guarded_http.asked(LOOPBACK, f"{url}/x"):
        pass


@pytest.mark.parametrize("token", ["a\nX-More: b", "a\rb", "a\0b", "\u20ac"])
def test_a_token_that_no_header_can_have_is_refused_in_words(serve: Serve, token: str) -> None:
    """It would end the round that tells other projects' git hosts, too."""
    url, headers = serve(b"HTTP/1.1 200 OK\r\n\r\n"), {"Authorization": f"token {token}"}
    with (
        pytest.raises(Invalid, match="no HTTP header can have"),
        guarded_http.asked(LOOPBACK, url, method="POST", headers=headers),
    ):
        pass


def test_more_than_was_to_come_is_not_kept(serve: Serve) -> None:
    url = serve(b"HTTP/1.1 200 X\r\n\r\n0008NAK\nPACK" + b"x" * 3_000_000)
    remote = GitRemote(GitHost.GITEA, f"{url}/x.git", Secret(""), LOOPBACK)
    kept = io.BytesIO()
    with pytest.raises(Permanent, match="more than 1 MiB"):
        remote.fetch(A, [B], kept, 1 << 20)
    assert kept.tell() <= 1 << 20


def test_a_commit_that_vanished_is_asked_for_again_later(serve: Serve) -> None:
    said = packet(b"ERR upload-pack: not our ref " + A.encode())
    url = serve(b"HTTP/1.1 200 X\r\n\r\n" + said)
    remote = GitRemote(GitHost.GITEA, f"{url}/x.git", Secret(""), LOOPBACK)
    with pytest.raises(Transient, match="it may just have vanished"):
        remote.fetch(A, [], io.BytesIO(), 1 << 20)


def test_a_hosts_branches_are_read_from_its_list() -> None:
    listed = packet(b"# service=git-upload-pack\n") + FLUSH
    listed += packet(f"{A} HEAD\0caps".encode()) + packet(f"{A} refs/heads/main\n".encode())
    listed += packet(f"{B} refs/heads/f/x".encode()) + packet(f"{B} refs/tags/v1".encode()) + FLUSH
    assert git_remote.heads(listed) == {"main": A, "f/x": B}
    for cut in (b"", b"zz", listed[:-4], listed[:50]):
        with pytest.raises(Permanent):
            git_remote.heads(cut)


def test_a_branch_that_no_ref_could_have_is_left_out() -> None:
    names = [b"a b", b"x\x01", b"y" * 300, b"fine"]
    lines = b"".join(packet(A.encode() + b" refs/heads/" + name) for name in names)
    assert git_remote.heads(packet(b"#") + FLUSH + lines + FLUSH) == {"fine": A}
