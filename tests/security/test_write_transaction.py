"""A tenant wants to keep everyone else from writing."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from kumoi.engine import db
from kumoi.engine.db import Database
from kumoi.engine.write_turns import CLIENT
from tests.security.in_process import InProcessCloud

DEADLINE_S = 60
NETWORK = {"network": {"name": "mine"}}


def test_who_waits_too_long_for_the_writer_is_told_when_to_come_again(
    inside: InProcessCloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(db, "WRITER_WAIT_S", 0.01)
    with inside.database.write():
        refused = inside.ask("POST", "/network/v2.0/networks", NETWORK)
        read = inside.ask("GET", "/network/v2.0/networks")
    assert refused.status_code == 503
    assert refused.headers["Retry-After"] == "1"
    assert read.status_code == 200
    assert inside.ask("POST", "/network/v2.0/networks", NETWORK).status_code == 201


def test_who_writes_much_waits_for_itself(inside: InProcessCloud) -> None:
    """Three writes of a project wait when a neighbour's comes: it is the next."""
    turns: list[str] = []

    def write(client: str) -> None:
        CLIENT.set(client)
        with inside.database.write():
            turns.append(client)

    with inside.database.write():
        threads = [
            _waits_for_its_turn(inside.database, number, write, client)
            for number, client in enumerate(("noisy", "noisy", "noisy", "neighbour", "third"))
        ]
    for thread in threads:
        thread.join(DEADLINE_S)
    assert turns == ["noisy", "neighbour", "third", "noisy", "noisy"]


def test_who_gave_up_waiting_has_no_turn(
    inside: InProcessCloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(db, "WRITER_WAIT_S", 0.01)
    with inside.database.write():
        assert inside.ask("POST", "/network/v2.0/networks", NETWORK).status_code == 503
    monkeypatch.undo()
    assert inside.ask("POST", "/network/v2.0/networks", NETWORK).status_code == 201


def test_what_is_recorded_of_refusals_takes_its_clients_turns(
    inside: InProcessCloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A flood of refused requests wrote its records from as many threads as there were requests."""
    seen: list[str] = []
    runner = inside.app._runner
    in_thread = runner.in_thread

    async def spied(pool: str, client: str, act: Callable[[], Any]) -> Any:
        seen.append(client)
        return await in_thread(pool, client, act)

    monkeypatch.setattr(runner, "in_thread", spied)
    assert inside.ask("POST", "/network/v2.0/networks", {"network": 5}).status_code == 400
    assert seen == [inside.project_id] * 2


def _waits_for_its_turn(
    database: Database, number: int, write: Callable[[str], None], client: str
) -> threading.Thread:
    thread = threading.Thread(target=write, args=(client,))
    thread.start()
    deadline = time.monotonic() + DEADLINE_S
    while sum(len(each) for each in database._turns._waiting.values()) <= number:
        assert time.monotonic() < deadline
        time.sleep(0.001)
    return thread
