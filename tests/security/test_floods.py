"""Somebody opens more connections, sends more requests, or reads and writes more slowly than the API
can bear. Others do not notice, also those who share an address with him.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import socket
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from starlette.requests import Request as HttpRequest

from kumoi.base.clock import Clock
from kumoi.base.errors import Invalid, Unauthenticated
from kumoi.engine.activation import Activation
from kumoi.engine.db import Database
from kumoi.engine.http import app as app_module
from kumoi.engine.http import connections, limits, serving, turns
from kumoi.engine.http.app import App
from kumoi.engine.http.connections import ConnectionLimits
from kumoi.engine.http.request import Reply, Request
from kumoi.engine.http.routing import KNOWN, OPEN, Route
from kumoi.engine.http.running import HandlerRunner
from kumoi.engine.http.service import Scheme, Service
from kumoi.engine.http.serving import Certificates, Listener, serve
from kumoi.engine.http.turns import LoopTurns, ThreadTurns
from kumoi.hosts.first_use import pki
from kumoi.policy.caller import PolicySubject
from tests.free_port import free_port

WITHIN_S = 30.0
OWN, ONE, OTHER, THIRD = "127.0.0.1", "127.0.0.2", "127.0.0.3", "127.0.0.4"
SMALL = ConnectionLimits(each=3, most=5, own=frozenset({OWN}))
REQUESTS_MAX = 4
LONG = 8 << 20

Client = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@dataclass
class Hall:
    """What the handlers work with. Requests that wait go on when the gate opens."""

    database: Database
    clock: Clock
    gate: asyncio.Event
    waiting: int = 0
    ended: int = 0
    refused: list[weakref.ref[_Held]] = field(default_factory=list)


class _Held:
    """What a request has in hand."""


def plain(_request: Request[Hall, Any]) -> Reply:
    return Reply(200, b"ok")


async def wait(request: Request[Hall, Any]) -> Reply:
    request.services.waiting += 1
    await request.services.gate.wait()
    request.services.waiting -= 1
    return Reply(200, b"ok")


async def take(request: Request[Hall, Any]) -> Reply:
    return Reply(200, [len(part) async for part in limits.parts(request.http)])


async def take_later(request: Request[Hall, Any]) -> Reply:
    await wait(request)
    return await take(request)


def refuse(request: Request[Hall, Any]) -> Reply:
    held = _Held()
    request.services.refused.append(weakref.ref(held))
    raise Invalid("refused", field="")


def fail(request: Request[Hall, Any]) -> Reply:
    held = _Held()
    request.services.refused.append(weakref.ref(held))
    raise RuntimeError


async def give(request: Request[Hall, Any]) -> Reply:
    async def blocks() -> AsyncIterator[bytes]:
        try:
            for _ in range(LONG >> 16):
                yield bytes(1 << 16)
        finally:
            request.services.ended += 1

    return Reply(200, stream=blocks())


def by_project(request: Request[Hall, Any]) -> PolicySubject:
    project = request.http.headers.get("X-Project")
    if project is None:
        raise Unauthenticated("which project?")
    return PolicySubject("user", project, frozenset())


HALL = Service(
    type="hall",
    prefix="hall",
    routes=(
        Route("GET", "/open", plain, OPEN),
        Route("GET", "/plain", plain, KNOWN, scheme="project"),
        Route("GET", "/wait", wait, KNOWN, scheme="project", streams=True),
        Route("PUT", "/take", take, KNOWN, scheme="project", streams=True),
        Route("PUT", "/take-later", take_later, KNOWN, scheme="project", streams=True),
        Route("GET", "/refuse", refuse, OPEN),
        Route("GET", "/fail", fail, OPEN),
        Route("GET", "/give", give, KNOWN, scheme="project", streams=True),
    ),
    schemes={"project": Scheme(by_project)},
)


class Served:
    """The service on a listener of its own."""

    def __init__(self, port: int, hall: Hall) -> None:
        self._port = port
        self._clients = contextlib.AsyncExitStack()
        self.hall = hall

    async def connect(self, address: str) -> Client:
        client = await asyncio.open_connection("127.0.0.1", self._port, local_addr=(address, 0))
        self._clients.callback(client[1].close)
        return client

    async def ask(self, client: Client, path: str, project: str = "") -> bytes:
        """The answer's head and body, as far as it came."""
        client[1].write(request_of(path, project))
        return await answer(client[0])

    async def close(self) -> None:
        await self._clients.aclose()


def request_of(path: str, project: str = "") -> bytes:
    return f"GET /hall/{path} HTTP/1.1\r\nHost: x\r\nX-Project: {project}\r\n\r\n".encode()


async def answer(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readuntil(b"\r\n\r\n")
    length = next(
        int(line[15:])
        for line in head.split(b"\r\n")
        if line.lower().startswith(b"content-length:")
    )
    return head + await reader.readexactly(length)


async def is_ended(client: Client) -> bool:
    try:
        return await client[0].read(1) == b""
    except ConnectionError:
        return True


async def until(level: Callable[[], bool]) -> None:
    while not level():  # noqa: ASYNC110 - of what runs in threads, too
        await asyncio.sleep(0.01)


def told(directory: Path, story: Callable[[Served], Awaitable[None]], **of_listener: Any) -> None:
    """Tell a story to the service, within a bound."""

    async def tell() -> None:
        database = Database(f"sqlite:///{directory / 'hall.db'}", wake_dir=directory)
        hall, port = Hall(database, Clock(), asyncio.Event()), free_port()
        app = App(hall, [HALL], root="http://hall", requests_max=REQUESTS_MAX)
        listener = Listener(app, "127.0.0.1", port, **{"limits": SMALL, **of_listener})
        task = asyncio.create_task(serve([listener], Activation.none()))
        served = Served(port, hall)
        try:
            async with asyncio.timeout(WITHIN_S):
                await _listens(port)
                await story(served)
        finally:
            hall.gate.set()
            await served.close()
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
            database.close()

    asyncio.run(tell())


async def _listens(port: int) -> None:
    while True:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        await asyncio.sleep(0.01)


def test_the_longest_idle_connection_of_an_address_gives_way(tmp_path: Path) -> None:
    async def story(served: Served) -> None:
        held = [await served.connect(ONE) for _ in range(SMALL.each)]
        for client in held:
            await served.ask(client, "open")
        await served.ask(held[0], "open")
        new = await served.connect(ONE)
        assert b"200 OK" in await served.ask(new, "open")
        assert await is_ended(held[1])
        assert b"200 OK" in await served.ask(held[0], "open")

    told(tmp_path, story)


def test_an_address_whose_connections_are_all_at_work_gets_no_more(tmp_path: Path) -> None:
    async def story(served: Served) -> None:
        for number in range(SMALL.each):
            (await served.connect(ONE))[1].write(request_of("wait", f"project-{number}"))
        await until(lambda: served.hall.waiting == SMALL.each)
        assert await is_ended(await served.connect(ONE))
        assert b"200 OK" in await served.ask(await served.connect(OTHER), "open")

    told(tmp_path, story)


def test_who_holds_most_gives_way_when_the_listener_is_full(tmp_path: Path) -> None:
    async def story(served: Served) -> None:
        held = [await served.connect(ONE) for _ in range(SMALL.each)]
        others = [await served.connect(OTHER) for _ in range(SMALL.most - SMALL.each)]
        for client in (*held, *others):
            await served.ask(client, "open")
        assert b"200 OK" in await served.ask(await served.connect(THIRD), "open")
        assert await is_ended(held[0])
        for client in others:
            assert b"200 OK" in await served.ask(client, "open")

    told(tmp_path, story)


def test_a_project_holds_no_more_connections_from_many_addresses(tmp_path: Path) -> None:
    async def story(served: Served) -> None:
        held = [await served.connect(address) for address in (ONE, OTHER, THIRD)]
        for client in held:
            await served.ask(client, "plain", "noisy")
        neighbour = await served.connect(ONE)
        await served.ask(neighbour, "plain", "neighbour")
        last = await served.connect(OTHER)
        assert b"200 OK" in await served.ask(last, "plain", "noisy")
        assert await is_ended(held[0])
        assert b"200 OK" in await served.ask(neighbour, "plain", "neighbour")

    told(tmp_path, story)


def test_our_own_programs_are_never_refused(tmp_path: Path) -> None:
    async def story(served: Served) -> None:
        held = [await served.connect(OWN) for _ in range(2 * SMALL.most)]
        for client in held:
            assert b"200 OK" in await served.ask(client, "open")

    told(tmp_path, story)


def test_a_handshake_that_does_not_come_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "HANDSHAKE_TIMEOUT_S", 0.05)
    certificates = made_certificates(tmp_path)

    async def story(served: Served) -> None:
        assert await is_ended(await served.connect(ONE))

    told(tmp_path, story, certificates=certificates)


def made_certificates(directory: Path) -> Certificates:
    from datetime import UTC, datetime

    from kumoi.config import CloudSettings, HostSettings

    host = HostSettings(name="host1", state_dir=str(directory))
    pki.ensure(CloudSettings(name="story"), host, datetime.now(UTC))
    return Certificates(host.pki_dir / "api.crt", host.pki_dir / "api.key")


@pytest.fixture
def _no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app_module, "RETRY_AFTER_S", 0.0)


@pytest.mark.usefixtures("_no_pause")
def test_a_project_with_many_requests_in_flight_is_told_to_wait(tmp_path: Path) -> None:
    async def story(served: Served) -> None:
        for _ in range(REQUESTS_MAX):
            (await served.connect(OWN))[1].write(request_of("wait", "noisy"))
        await until(lambda: served.hall.waiting == REQUESTS_MAX)
        client = await served.connect(OWN)
        refused = await served.ask(client, "plain", "noisy")
        assert refused.startswith(b"HTTP/1.1 429")
        assert b"retry-after: 1\r\n" in refused.lower()
        assert b"200 OK" in await served.ask(client, "plain", "neighbour")
        served.hall.gate.set()
        await until(lambda: served.hall.waiting == 0)
        assert b"200 OK" in await served.ask(client, "plain", "noisy")

    told(tmp_path, story)


def test_who_sends_requests_ahead_of_their_answers_is_cut(tmp_path: Path) -> None:
    async def story(served: Served) -> None:
        client = await served.connect(ONE)
        client[1].write(request_of("wait", "noisy") + request_of("open") * 2 * serving.AHEAD_MAX)
        assert b"HTTP/1.1 400" in await client[0].read()

    told(tmp_path, story)


def test_an_answer_that_nobody_reads_is_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serving, "WRITE_LOOK_S", 0.05)

    async def story(served: Served) -> None:
        client = await served.connect(ONE)
        client[1].write(request_of("give", "noisy"))
        await until(lambda: served.hall.ended == 1)

    told(tmp_path, story)


def test_an_answer_that_is_read_comes_whole(tmp_path: Path) -> None:
    async def story(served: Served) -> None:
        client = await served.connect(ONE)
        client[1].write(
            request_of("give", "noisy").replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
        )
        assert len(await client[0].read()) > LONG

    told(tmp_path, story)


def test_an_upload_that_does_not_go_on_is_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "PART_TIMEOUT_S", 0.05)

    async def story(served: Served) -> None:
        client = await served.connect(ONE)
        client[1].write(
            b"PUT /hall/take HTTP/1.1\r\nHost: x\r\nX-Project: a\r\nContent-Length: 9\r\n\r\nx"
        )
        assert b"HTTP/1.1 408" in await answer(client[0])

    told(tmp_path, story)


@pytest.mark.parametrize("path", ["refuse", "fail"])
def test_of_a_refused_request_nothing_is_left_to_the_garbage_collector(
    tmp_path: Path, path: str
) -> None:
    async def story(served: Served) -> None:
        client = await served.connect(ONE)
        gc.disable()
        try:
            await served.ask(client, path)  # In a thread, since its time is not known yet.
            assert b"200 OK" in await served.ask(client, "open")
            assert [held() for held in served.hall.refused] == [None]
        finally:
            gc.enable()

    told(tmp_path, story)


def test_of_a_body_no_more_is_read_than_was_asked_for(tmp_path: Path) -> None:
    async def story(served: Served) -> None:
        client = await served.connect(ONE)
        head = request_of("take-later", "noisy").replace(b"GET", b"PUT")
        client[1].write(head.replace(b"\r\n\r\n", b"\r\nContent-Length: 9\r\n\r\nfirst"))
        await until(lambda: served.hall.waiting == 1)
        client[1].write(b"next")
        await served.ask(await served.connect(OTHER), "open")  # There was time to read it.
        served.hall.gate.set()
        assert (await answer(client[0])).endswith(b"\r\n\r\n[5,4,0]")

    told(tmp_path, story)


def test_a_part_of_a_body_may_come_after_its_size(tmp_path: Path) -> None:
    async def story(served: Served) -> None:
        client = await served.connect(ONE)
        head = request_of("take", "noisy").replace(b"GET", b"PUT")
        client[1].write(head.replace(b"\r\n\r\n", b"\r\nTransfer-Encoding: chunked\r\n\r\n"))
        for piece in (b"5\r\n", b"first\r\n", b"4\r\n", b"next\r\n", b"0\r\n", b"\r\n"):
            await served.ask(await served.connect(OWN), "open")  # So that they come one by one.
            client[1].write(piece)
        assert (await answer(client[0])).endswith(b"\r\n\r\n[5,4,0]")

    told(tmp_path, story)


def test_each_part_of_a_body_but_the_first_is_read_in_a_turn() -> None:
    order: list[str] = []
    parts = [b"one", b"two", b"three"]

    async def receive() -> dict[str, Any]:
        order.append("part")
        return {"type": "http.request", "body": parts.pop(0), "more_body": bool(parts)}

    async def turn() -> None:
        order.append("turn")

    headers = [(b"content-length", b"11")]
    http = HttpRequest({"type": "http", "headers": headers}, receive)
    assert asyncio.run(limits.body(http, 100, turn)) == b"onetwothree"
    assert order == ["part", "turn", "part", "turn", "part"]


def test_a_client_whose_requests_wait_for_each_other_has_the_next_one_read_in_its_turn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    turn, calls = asyncio.Event(), 0

    async def wait_for_turn(_runner: HandlerRunner, client: str) -> None:
        nonlocal calls
        calls += client == "noisy"
        if client == "noisy" and calls == 2:  # The first was the way to a thread.
            await turn.wait()

    monkeypatch.setattr(HandlerRunner, "turn", wait_for_turn)
    monkeypatch.setattr(HandlerRunner, "is_crowded", lambda _runner, client: client == "noisy")

    async def story(served: Served) -> None:
        client = await served.connect(ONE)
        await served.ask(client, "plain", "noisy")
        await until(lambda: calls == 2)
        client[1].write(request_of("wait", "noisy"))
        await served.ask(await served.connect(OTHER), "open")
        assert served.hall.waiting == 0
        turn.set()
        await until(lambda: served.hall.waiting == 1)

    told(tmp_path, story)


async def turns_of(*clients: str, gives_way: Callable[[str], bool] = lambda _client: False) -> str:
    """Whose turn it was in each look at the network, of requests that came at once; "." is nobody's."""
    loop_turns, had = LoopTurns(gives_way), list[str]()

    async def act(client: str) -> None:
        await loop_turns.wait(client)
        had.append(client)

    tasks = [asyncio.create_task(act(client)) for client in clients]
    looks = []
    for _ in range(12):
        await asyncio.sleep(0)
        looks.append("".join(had) or ".")
        had.clear()
    for task in tasks:
        task.cancel()
    return " ".join(looks)


def test_in_the_event_loop_each_client_has_one_turn_between_two_looks_at_the_network() -> None:
    assert asyncio.run(turns_of(*"aaaaa")).startswith("a . a a a a .")


def test_a_client_with_company_has_fewer_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "COMPANY_S", 3_600.0)
    assert asyncio.run(turns_of(*"aaaab")).startswith("ab . . . . a . . . a")


def test_who_gives_way_has_the_next_turn_later(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "GAP", 0)
    monkeypatch.setattr(turns, "PACE_S", 3_600.0)
    took = asyncio.run(turns_of(*"aaabbb", gives_way=lambda client: client == "a"))
    assert took.startswith("ab . b b .")
    assert took.count("a") == 1


def test_a_client_gives_way_to_anothers_thread_unless_that_has_many_too() -> None:
    async def story() -> list[bool]:
        threads, gate = ThreadTurns(2, 1, at_once), asyncio.Event()
        loop = asyncio.get_running_loop()

        def act() -> None:
            asyncio.run_coroutine_threadsafe(gate.wait(), loop).result()

        found = [threads.serve_another("noisy")]
        async with asyncio.TaskGroup() as tasks:
            for count in (1, turns.FEW):
                for _ in range(count):
                    tasks.create_task(threads.run("neighbour", act))
                await asyncio.sleep(0)
                found.append(threads.serve_another("noisy"))
            found.append(threads.serve_another("neighbour"))
            gate.set()
        return found

    assert asyncio.run(story()) == [False, True, False, False]


def test_what_begins_in_a_thread_begins_in_its_clients_turn() -> None:
    order: list[str] = []

    async def turn(client: str) -> None:
        order.append(f"turn of {client}")

    asyncio.run(ThreadTurns(1, 1, turn).run("a", lambda: order.append("begun")))
    assert order == ["turn of a", "begun"]


async def at_once(_client: str) -> None:
    """It is everybody's turn."""


def test_of_a_pools_threads_one_client_has_few_and_another_is_next() -> None:
    order: list[str] = []
    calls = ("noisy", "noisy again", "noisy once more", "neighbour", "third")

    async def story() -> None:
        threads = ThreadTurns(2, 1, at_once)
        ends = {call: asyncio.Event() for call in calls}
        loop = asyncio.get_running_loop()

        def act(call: str) -> None:
            order.append(call)
            asyncio.run_coroutine_threadsafe(ends[call].wait(), loop).result()

        async with asyncio.TaskGroup() as tasks:
            for call in calls:
                tasks.create_task(threads.run(call.split()[0], lambda call=call: act(call)))  # type: ignore[misc]
            await until(lambda: len(order) == 2)
            for begun, ended in enumerate(("noisy", "noisy again", "third"), start=3):
                ends[ended].set()
                await until(lambda: len(order) == begun)  # noqa: B023 - used at once
            for end in ends.values():
                end.set()

    asyncio.run(story())
    assert sorted(order[:2]) == ["neighbour", "noisy"]
    assert order[2:] == ["noisy again", "third", "noisy once more"]


@pytest.mark.parametrize(("has_company", "order"), [(False, "aab"), (True, "aba")])
def test_in_company_a_client_whose_requests_wait_rests_after_each(
    monkeypatch: pytest.MonkeyPatch, *, has_company: bool, order: str
) -> None:
    """Meanwhile others have the thread, also who comes later."""
    monkeypatch.setattr(turns, "REST", 1e9)
    had: list[str] = []

    async def story() -> None:
        threads = ThreadTurns(1, 1, at_once, have_company=lambda: has_company)
        first = asyncio.create_task(threads.run("a", lambda: had.append("a")))
        second = asyncio.create_task(threads.run("a", lambda: had.append("a")))
        await first
        if not has_company:
            await second
        await threads.run("b", lambda: had.append("b"))
        await second

    asyncio.run(story())
    assert "".join(had) == order


def test_a_turn_of_a_request_that_was_given_up_is_the_next_ones() -> None:
    async def story() -> str:
        threads, gate = ThreadTurns(1, 1, at_once), asyncio.Event()
        loop = asyncio.get_running_loop()
        first = asyncio.create_task(
            threads.run("a", lambda: asyncio.run_coroutine_threadsafe(gate.wait(), loop).result())
        )
        await asyncio.sleep(0)
        given_up = asyncio.create_task(threads.run("b", lambda: "given up"))
        last = asyncio.create_task(threads.run("b", lambda: "last"))
        await asyncio.sleep(0)
        given_up.cancel()
        gate.set()
        await first
        return await last

    assert asyncio.run(story()) == "last"
