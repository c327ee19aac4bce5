"""What a host says of another one that it is asked about."""

from __future__ import annotations

import asyncio
import json
import socket
from pathlib import Path

import pytest
from tests.unit.cloud.agent.control_plane import Host, until

from kumoi.cloud.agent import witness
from kumoi.cloud.hostapi.witness import DOWN, UNKNOWN, UP, Question

TUNNELS = json.dumps({
    "headings": ["options", "bfd_status"],
    "data": [
        [["map", []], ["map", []]],
        [["map", [["remote_ip", "10.1.0.2"]]], ["map", [["state", "up"]]]],
        [["map", [["remote_ip", "10.1.0.3"]]], ["map", [["state", "down"]]]],
        [["map", [["remote_ip", "10.1.0.4"]]], ["map", []]],
    ],
})  # fmt: skip


@pytest.mark.parametrize(
    ("address", "state"),
    [("10.1.0.2", UP), ("10.1.0.3", DOWN), ("10.1.0.4", UNKNOWN), ("10.1.0.5", UNKNOWN)],
)
def test_a_tunnel_is_what_the_switch_says_of_it(address: str, state: str) -> None:
    assert witness.tunnel_to(address, TUNNELS) == state


def test_a_host_on_which_nobody_listens_is_reached(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        monkeypatch.setattr(witness, "PORTS", (port,))
        assert asyncio.run(witness.is_reached("127.0.0.1"))
    assert asyncio.run(witness.is_reached("127.0.0.1"))


def test_a_host_that_is_silent_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    """A listener whose queue is full says nothing to whoever knocks."""
    monkeypatch.setattr(witness, "CONNECT_TIMEOUT_S", 0.2)
    with socket.socket() as server, socket.socket() as first, socket.socket() as second:
        server.bind(("127.0.0.1", 0))
        server.listen(0)
        monkeypatch.setattr(witness, "PORTS", (server.getsockname()[1],))
        for knocking in (first, second):
            knocking.setblocking(False)  # noqa: FBT003 - the socket's own
            knocking.connect_ex(server.getsockname())
        assert not asyncio.run(witness.is_reached("127.0.0.1"))


def test_an_agent_answers_what_it_is_asked(tmp_path: Path) -> None:
    host = Host(tmp_path)
    host.control.questions = [Question(host="other", address="127.0.0.1")]

    async def steps() -> None:
        async with host.running():
            await until(lambda: host.control.answers)

    asyncio.run(asyncio.wait_for(steps(), timeout=30))
    answer = host.control.answers[0]
    assert (answer.host, answer.reached, answer.tunnel) == ("other", True, UNKNOWN)
