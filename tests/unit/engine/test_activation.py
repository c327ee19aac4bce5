"""What a role is handed: systemd's protocol, and our supervisor's."""

from __future__ import annotations

import asyncio
import os
import socket
from pathlib import Path

import httpx
import pytest
from starlette.responses import PlainTextResponse
from starlette.types import Receive, Scope, Send

from kumoi.engine import activation
from kumoi.engine.activation import Activation
from kumoi.engine.http import serving
from kumoi.engine.http.serving import Listener


def handed(listener: socket.socket) -> Activation:
    return Activation({activation.OUR_LISTEN_FDS: str(os.dup(listener.fileno()))}, pid=1)


def test_a_socket_is_taken_once_and_by_its_address() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        activated = handed(listening)
        address, port = listening.getsockname()
        assert activated.take(address, port + 1) is None
        taken = activated.take(address, port)
        assert taken is not None
        taken.close()
        assert activated.take(address, port) is None


def test_systemds_descriptors_are_another_process_own() -> None:
    environment = {"LISTEN_PID": "77", "LISTEN_FDS": "2"}
    assert activation._descriptors(environment, 77) == [3, 4]
    assert activation._descriptors(environment, 78) == []


def test_ready_is_told_where_the_environment_says(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as heard:
        heard.bind(str(tmp_path / "notify"))
        Activation({"NOTIFY_SOCKET": str(tmp_path / "notify")}, pid=1).tell_ready()
        assert heard.recv(64) == b"READY=1"
    Activation({"NOTIFY_SOCKET": str(tmp_path / "nobody")}, pid=1).tell_ready()


async def _app(scope: Scope, receive: Receive, send: Send) -> None:
    await PlainTextResponse("here")(scope, receive, send)


async def _drained(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What a kept connection's answers say of it, before and during a drain. Whoever else has the
    socket takes the next connection.
    """
    monkeypatch.setattr(serving, "DRAIN_IDLE_S", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        address, port = listening.getsockname()
        activated = handed(listening)
        task = asyncio.create_task(serving.serve([Listener(_app, address, port)], activated))
        async with httpx.AsyncClient() as client:
            first = await client.get(f"http://{address}:{port}/")
            drain = asyncio.create_task(activated.drain())
            await asyncio.sleep(0)
            second = await client.get(f"http://{address}:{port}/")
            async with asyncio.timeout(10):
                await drain
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        with socket.create_connection((address, port), timeout=5):
            accepted, _ = listening.accept()
            accepted.close()
    return [answer.headers.get("connection", "") for answer in (first, second)]


def test_who_is_connected_is_answered_and_let_go_while_others_take_the_next(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert asyncio.run(_drained(monkeypatch)) == ["", "close"]
