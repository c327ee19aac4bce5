"""A tenant names a host that answers a byte at a time: never silent for long, and never done."""

from __future__ import annotations

import contextlib
import ipaddress
import socket
import threading
import time
from collections.abc import Iterator

import pytest

from kumoi.base.errors import Invalid, Transient
from kumoi.cloud.drivers.image import download
from kumoi.pipeline import guarded_http
from kumoi.pipeline.guarded_http import Guard

WITHIN_S = 0.5
DRIPS, EVERY_S = 100, 0.1
NETWORK = "127.0.0.0/8"
HEAD = b"HTTP/1.1 200 OK\r\n"
WAYS = {
    "a status": b"",
    "a field": HEAD + b"X-Field: ",
    "a body": HEAD + b"Content-Length: 100000\r\n\r\n",
    "a body of no length": HEAD + b"\r\n",
    "parts": HEAD + b"Transfer-Encoding: chunked\r\n\r\n1000\r\n",
}


@pytest.fixture(params=list(WAYS.values()), ids=list(WAYS))
def url(request: pytest.FixtureRequest) -> Iterator[str]:
    """Of a host that begins so and then drips."""
    ended = threading.Event()

    def drip(one: socket.socket) -> None:
        one.recv(65_536)
        one.sendall(request.param)
        for _ in range(DRIPS):
            one.sendall(b"1")
            if ended.wait(EVERY_S):
                return

    def answer() -> None:
        one, _ = listener.accept()
        with one, contextlib.suppress(OSError):
            drip(one)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = threading.Thread(target=answer, daemon=True)
        server.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/x"
        ended.set()
        server.join(timeout=10)


def test_a_git_host_that_drips_is_left_in_time(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guarded_http, "WHOLE_MAX_S", WITHIN_S)
    began_s = time.monotonic()
    with (
        pytest.raises(Transient, match="did not answer in time"),
        guarded_http.asked(Guard.of([NETWORK]), url) as answer,
    ):
        answer.read(1 << 20)
    assert WITHIN_S <= time.monotonic() - began_s < DRIPS * EVERY_S / 2


def test_an_image_that_drips_is_left_in_time(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "DOWNLOAD_TIMEOUT_S", WITHIN_S)
    began_s = time.monotonic()
    with pytest.raises(Invalid, match="did not give the content in time"):
        list(download.blocks(url, [ipaddress.ip_network(NETWORK)]))
    assert WITHIN_S <= time.monotonic() - began_s < DRIPS * EVERY_S / 2
