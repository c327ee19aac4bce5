"""Whose turn it is to write."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator

from kumoi.base.errors import Transient
from kumoi.engine.write_turns import CLIENT, WriteTurns

DEADLINE_S = 60


class Writers:
    """Threads that wait for their turn in the order in which they came; `wrote` says who had one, and when."""

    def __init__(self) -> None:
        self.turns = WriteTurns()
        self.wrote: list[str] = []
        self._threads: list[threading.Thread] = []

    @contextlib.contextmanager
    def first(self, client: str) -> Iterator[None]:
        """Whose turn it is while the others come."""
        before = CLIENT.set(client)
        try:
            with self.turns.turn(DEADLINE_S):
                yield
        finally:
            CLIENT.reset(before)

    def comes(self, client: str) -> None:
        thread = threading.Thread(target=self._write, args=(client,))
        self._threads.append(thread)
        thread.start()
        deadline = time.monotonic() + DEADLINE_S
        while sum(map(len, self.turns._waiting.values())) < len(self._threads):
            assert time.monotonic() < deadline
            time.sleep(0.001)

    def _write(self, client: str) -> None:
        CLIENT.set(client)
        with self.turns.turn(DEADLINE_S):
            self.wrote.append(client)

    def end(self) -> None:
        for thread in self._threads:
            thread.join(DEADLINE_S)


def test_whoever_has_just_written_waits_for_another_that_came_later() -> None:
    """Who waits longest is the first only of those that did not write last."""
    writers = Writers()
    with writers.first("noisy"):
        for client in ("noisy", "noisy", "neighbour"):
            writers.comes(client)
    writers.end()
    assert writers.wrote == ["neighbour", "noisy", "noisy"]


def test_clients_take_turns_however_many_writes_each_has() -> None:
    writers = Writers()
    with writers.first("other"):
        for client in ("a", "a", "a", "b", "c", "b"):
            writers.comes(client)
    writers.end()
    assert writers.wrote == ["a", "b", "c", "a", "b", "a"]


def test_one_client_alone_writes_in_the_order_in_which_it_came() -> None:
    writers = Writers()
    with writers.first("a"):
        for _ in range(3):
            writers.comes("a")
    writers.end()
    assert writers.wrote == ["a", "a", "a"]
    assert not writers.turns._waiting


def test_whoever_waits_too_long_is_told_so_and_is_in_nobodys_way() -> None:
    turns = WriteTurns()
    refused: list[Transient] = []

    def write() -> None:
        try:
            with turns.turn(0.001):
                pass
        except Transient as error:
            refused.append(error)

    with turns.turn(DEADLINE_S):
        thread = threading.Thread(target=write)
        thread.start()
        thread.join(DEADLINE_S)
        assert len(refused) == 1
        assert not turns._waiting
    with turns.turn(0.0):
        pass
