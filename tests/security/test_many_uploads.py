"""A project uploads many images at once, and looking into one takes its time: others upload meanwhile, and hosts are
answered.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections.abc import Iterator
from dataclasses import replace
from typing import IO, Any

import msgspec
import pytest
from starlette.requests import Request as HttpRequest
from starlette.types import ASGIApp

from kumoi.cloud.api import serve as api_serve
from kumoi.cloud.api.host.app import host_app
from kumoi.cloud.api.image.image_import import DOWNLOADS_EACH, DOWNLOADS_SHARED
from kumoi.cloud.api.services import IMAGE_THREADS_EACH
from kumoi.cloud.drivers.image import inspect
from kumoi.cloud.drivers.image.inspect import Finding
from kumoi.engine.wake import Alarm
from tests.security.in_process import ADMIN_PASSWORD, DEMO_PASSWORD, InProcessCloud

UPLOADS = 60  # The library that runs handlers has 40 threads for all of them.
WITHIN_S = 20.0
SLOW = b"slow"


class SlowInspector:
    """Which looks for long into what says so."""

    def __init__(self) -> None:
        self.gate, self.began, self.looks = threading.Event(), threading.Semaphore(0), 0

    def look(self, file: IO[bytes], disk_format: str, size: int) -> Finding:
        if file.read(len(SLOW)) == SLOW:
            self.looks += 1
            self.began.release()
            self.gate.wait(WITHIN_S * 2)
        file.seek(0)
        return inspect.check_file(file, disk_format, size)


async def status_of(
    app: ASGIApp, method: str, path: str, *, token: str = "", body: bytes = b"", query: bytes = b""
) -> int:
    said, asked = 0, iter(({"type": "http.request", "body": body},))

    async def receive() -> dict[str, Any]:
        return next(asked, {"type": "http.disconnect"})

    async def send(message: Any) -> None:
        nonlocal said
        said = message.get("status", said)

    scope = {
        "type": "http",
        "method": method,
        "path": path,
        "query_string": query,
        "client": ("127.0.0.1", 1),
        "headers": [
            (b"x-auth-token", token.encode()),
            (b"content-type", b"application/octet-stream"),
            (b"content-length", str(len(body)).encode()),
        ],
    }
    await app(scope, receive, send)
    return said


async def _of_host(cloud: InProcessCloud, alarm: Alarm) -> ASGIApp:
    async def identify(_http: HttpRequest) -> str:
        return "host1"

    return host_app(cloud.services, alarm, identify=identify)


async def asked_meanwhile(
    cloud: InProcessCloud, slow: SlowInspector, token: str, images: list[str]
) -> None:
    app = api_serve.app(replace(cloud.services, inspect_image=slow.look))
    alarm = Alarm(cloud.database.listen)
    host = await _of_host(cloud, alarm)
    mine = images.pop()
    uploads = [
        asyncio.create_task(
            status_of(app, "PUT", f"/image/v2/images/{each}/file", token=token, body=SLOW)
        )
        for each in images
    ]
    try:
        for _ in range(IMAGE_THREADS_EACH):
            await asyncio.to_thread(slow.began.acquire, timeout=WITHIN_S)
        async with asyncio.timeout(WITHIN_S):
            own = f"/image/v2/images/{mine}/file"
            assert await status_of(app, "PUT", own, token=cloud.token, body=b"quick") == 204
            for _ in range(UPLOADS):
                assert await status_of(host, "GET", "/host/v1/wanted", query=b"wait_s=0") == 200
        assert slow.looks == IMAGE_THREADS_EACH
    finally:
        slow.gate.set()
        await alarm.close()
    assert set(await asyncio.gather(*uploads)) == {204}


def test_who_uploads_many_images_keeps_no_other_project_and_no_host_waiting(
    on_sqlite: InProcessCloud,
) -> None:
    """Slow look-ups of the names to import from did the same: nobody's servers started meanwhile."""
    on_sqlite.add_host()
    token = on_sqlite.log_in("demo", DEMO_PASSWORD, "demo")[0]
    new = {"disk_format": "raw", "container_format": "bare"}
    images = []
    for each in [*[token] * UPLOADS, on_sqlite.token]:
        answer = on_sqlite.ask("POST", "/image/v2/images", new, token=each)
        images.append(str(answer.json()["id"]))
    asyncio.run(asked_meanwhile(on_sqlite, SlowInspector(), token, images))


@pytest.fixture
def silent() -> Iterator[tuple[str, threading.Semaphore]]:
    """The URL of a host that never answers, and how often it was asked."""
    asked, held = threading.Semaphore(0), list[socket.socket]()

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                held.append(listener.accept()[0])
                asked.release()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = threading.Thread(target=accept, daemon=True)
        server.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/x", asked
        listener.shutdown(socket.SHUT_RDWR)
        server.join(WITHIN_S)
    for each in held:
        each.close()


async def imported_meanwhile(
    app: ASGIApp, url: str, asked: threading.Semaphore, wanted: list[tuple[str, str]]
) -> list[int]:
    """What those are answered that are not begun. `wanted` are tokens and images."""
    body = msgspec.json.encode({"method": {"name": "web-download", "uri": url}})
    begun: set[asyncio.Task[int]] = set()
    refused: list[int] = []
    for token, image in wanted:
        path = f"/image/v2/images/{image}/import"
        new = asyncio.create_task(status_of(app, "POST", path, token=token, body=body))
        reached = asyncio.create_task(asyncio.to_thread(asked.acquire, timeout=WITHIN_S))
        done, _ = await asyncio.wait((new, reached), return_when=asyncio.FIRST_COMPLETED)
        if new in done:
            asked.release()
            refused.append(await new)
            await reached
        else:
            assert await reached
            begun.add(new)
    for each in begun:
        each.cancel()
    return refused


def imported(
    cloud: InProcessCloud, silent: tuple[str, threading.Semaphore], tokens: list[str]
) -> list[int]:
    """An image by each token, in this order; what those are answered that are not begun."""
    new = {"disk_format": "raw", "container_format": "bare"}
    answers = [cloud.ask("POST", "/image/v2/images", new, token=token) for token in tokens]
    wanted = [(token, str(each.json()["id"])) for token, each in zip(tokens, answers, strict=True)]
    here = replace(cloud.services.cloud, image_import_networks="127.0.0.1/32")
    app = api_serve.app(replace(cloud.services, cloud=here))
    url, asked = silent
    return asyncio.run(imported_meanwhile(app, url, asked, wanted))


def token_of_project(cloud: InProcessCloud, name: str) -> str:
    """Of a new one, of which the administrator is a member."""
    identity = "/identity/v3"
    made = cloud.ask("POST", f"{identity}/projects", {"project": {"name": name}}).json()["project"]
    (admin,) = cloud.ask("GET", f"{identity}/users?name=admin").json()["users"]
    (role,) = cloud.ask("GET", f"{identity}/roles?name=member").json()["roles"]
    given = f"{identity}/projects/{made['id']}/users/{admin['id']}/roles/{role['id']}"
    cloud.ask("PUT", given).raise_for_status()
    return cloud.log_in("admin", ADMIN_PASSWORD, name)[0]


def test_who_imports_images_from_silent_hosts_leaves_room_for_others(
    on_sqlite: InProcessCloud, silent: tuple[str, threading.Semaphore]
) -> None:
    """All of it was one project's, for a quarter of an hour each."""
    demo = on_sqlite.log_in("demo", DEMO_PASSWORD, "demo")[0]
    tokens = [*[demo] * (DOWNLOADS_EACH + 1), on_sqlite.token]
    assert imported(on_sqlite, silent, tokens) == [409]


def test_projects_that_have_all_that_they_may_leave_another_its_first_import(
    on_sqlite: InProcessCloud, silent: tuple[str, threading.Semaphore]
) -> None:
    """Four of them had it all."""
    demo = on_sqlite.log_in("demo", DEMO_PASSWORD, "demo")[0]
    greedy = [
        token_of_project(on_sqlite, f"greedy-{number}")
        for number in range(DOWNLOADS_SHARED // DOWNLOADS_EACH)
    ]
    tokens = [*greedy * DOWNLOADS_EACH, demo, demo]
    assert imported(on_sqlite, silent, tokens) == [409], "its second waits for others to end"
