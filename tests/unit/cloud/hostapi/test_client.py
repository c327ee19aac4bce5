"""The agent asks whichever control host answers."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import socket
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import pytest
from starlette.responses import Response
from starlette.types import Receive, Scope, Send
from tests.free_port import free_port

from kumoi.base.errors import Transient
from kumoi.cloud.hostapi.client import HostRefused, HttpUpstream
from kumoi.cloud.hostapi.hello import PATH, Hello, HostHello
from kumoi.cloud.hostapi.messages import ImageContent
from kumoi.cloud.hostapi.things import WantedThings
from kumoi.engine.activation import Activation
from kumoi.engine.http.serving import Listener, serve
from kumoi.engine.position import Position

pytestmark = pytest.mark.anyio

BOUND_S = 20.0
CONTENT = b"content"
IMAGE = ImageContent(id="i1", sha256=hashlib.sha256(CONTENT).hexdigest(), disk_format="root-tar")
HELLO = HostHello(release="1", hostname="h", drivers=[], vcpus=1, ram_mib=1, disk_gib=1)


@dataclass
class ControlHost:
    """A host API that answers, says that it cannot now, or keeps whoever asks waiting."""

    port: int = field(default_factory=free_port)
    helps: bool = True
    refuses: bool = False
    told_urls: tuple[str, ...] = ()
    asked: list[str] = field(default_factory=list)
    is_asked: asyncio.Event = field(default_factory=asyncio.Event)
    holds: asyncio.Event | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["path"].removeprefix(PATH)
        self.asked.append(path)
        self.is_asked.set()
        if self.holds is not None and path == "/wanted":
            await self.holds.wait()
        content = {
            "/hello": msgspec.json.encode(Hello(release="1", host_api_urls=self.told_urls)),
            "/wanted": msgspec.json.encode(
                WantedThings(epoch="e", revision=1, complete=True, things=[])
            ),
            f"/images/{IMAGE.id}": CONTENT,
        }[path]
        answer = Response(content, 200) if self.helps else Response(b"{}", 503)
        if self.refuses:
            answer = Response(b'{"error": {"message": "newer than the control plane"}}', 409)
        await answer(scope, receive, send)


@contextlib.asynccontextmanager
async def serving(*hosts: ControlHost) -> AsyncIterator[None]:
    """Their sockets are open from the beginning, so that nobody is refused before they answer."""
    task = asyncio.create_task(
        serve([Listener(each, "127.0.0.1", each.port, grace_s=0) for each in hosts], Opened(hosts))
    )
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


class Opened(Activation):
    def __init__(self, hosts: Sequence[ControlHost]) -> None:
        super().__init__({}, pid=0)
        self._sockets = [socket.create_server(("127.0.0.1", each.port)) for each in hosts]


async def test_one_that_is_gone_is_left_for_the_next_and_not_asked_again() -> None:
    gone, there = ControlHost(), ControlHost()
    async with serving(there), HttpUpstream([gone.url, there.url], tls=False) as upstream:
        await upstream.hello(HELLO)
        await upstream.hello(HELLO)
        assert there.asked == ["/hello", "/hello"]
        gone_again = ControlHost(port=gone.port)
        async with serving(gone_again):
            await upstream.hello(HELLO)
        assert gone_again.asked == []


async def test_one_that_cannot_help_now_is_left_for_the_next() -> None:
    first, second = ControlHost(helps=False), ControlHost()
    async with serving(first, second), HttpUpstream([first.url, second.url], tls=False) as upstream:
        await upstream.hello(HELLO)
    assert (first.asked, second.asked) == (["/hello"], ["/hello"])


async def test_where_none_can_help_the_call_is_to_be_made_again() -> None:
    hosts = [ControlHost(helps=False), ControlHost(helps=False)]
    async with serving(*hosts), HttpUpstream([host.url for host in hosts], tls=False) as upstream:
        with pytest.raises(Transient):
            await upstream.hello(HELLO)
    assert [host.asked for host in hosts] == [["/hello"], ["/hello"]]


async def test_one_of_the_release_before_that_refuses_a_newer_host_is_not_the_only_one() -> None:
    """While a cloud is upgraded, this host's own control host accepts it."""
    older, newer = ControlHost(refuses=True), ControlHost()
    async with serving(older, newer), HttpUpstream([older.url, newer.url], tls=False) as upstream:
        await upstream.hello(HELLO)
        newer.refuses = True
        with pytest.raises(HostRefused, match="newer than the control plane"):
            await upstream.hello(HELLO)


async def test_an_image_comes_from_whoever_has_it(tmp_path: Path) -> None:
    first, second = ControlHost(helps=False), ControlHost()
    urls = [first.url, second.url]
    async with serving(first, second), HttpUpstream(urls, tls=False) as upstream:
        await upstream.fetch_image(IMAGE, tmp_path / "image")
    assert (tmp_path / "image").read_bytes() == CONTENT


async def test_who_waits_at_one_that_fell_silent_asks_the_one_that_answers() -> None:
    silent, there = ControlHost(holds=asyncio.Event()), ControlHost()
    urls = [silent.url, there.url]
    async with serving(silent, there), HttpUpstream(urls, tls=False) as upstream:
        waiting = asyncio.create_task(upstream.wanted(Position(), 60.0))
        async with asyncio.timeout(BOUND_S):
            await silent.is_asked.wait()
        silent.helps = False
        await upstream.hello(HELLO)
        with pytest.raises(Transient, match="another control host"):
            await waiting
        assert (await upstream.wanted(Position(), 0.0)).epoch == "e"
        assert silent.holds is not None
        silent.holds.set()


async def test_what_the_control_plane_says_of_itself_outlives_the_agent(tmp_path: Path) -> None:
    known = tmp_path / "control-hosts.json"
    first, second = ControlHost(), ControlHost()
    first.told_urls = (first.url, second.url)
    async with serving(first), HttpUpstream([first.url], tls=False, known=known) as upstream:
        await upstream.hello(HELLO)
    assert json.loads(known.read_text()) == [first.url, second.url]
    async with serving(second), HttpUpstream([first.url], tls=False, known=known) as upstream:
        await upstream.hello(HELLO)
    assert second.asked == ["/hello"]


async def test_a_list_that_cannot_be_read_is_as_none(tmp_path: Path) -> None:
    known = tmp_path / "control-hosts.json"
    known.write_text("{")
    there = ControlHost()
    async with serving(there), HttpUpstream([there.url], tls=False, known=known) as upstream:
        await upstream.hello(HELLO)
