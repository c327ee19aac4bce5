"""What pings lost, by what `ping` says when it is asked: a program that says so in its place."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from kumoi.base import process
from kumoi.drill.pings import Pinging, PingStream

SAYS = """
import signal, sys, time
counts = sys.argv[1:]
def say(*_):
    print(counts[0], "packets", flush=True)
    del counts[: len(counts) > 1]
signal.signal(signal.SIGQUIT, say)
while True:
    time.sleep(60)
"""
STREAM = PingStream("a to b", "192.0.2.1", frozenset({"a", "b"}))

Says = Callable[..., Pinging]


@pytest.fixture
def saying(tmp_path: Path) -> Iterator[Says]:
    with ExitStack() as ended:

        def start(*counts: str) -> Pinging:
            log = tmp_path / "ping.log"
            child = process.start([sys.executable, "-c", SAYS, *counts], log=log)
            ended.callback(child.wait)
            ended.callback(child.kill)
            return Pinging(STREAM, child, log)

        yield start


def test_what_is_still_on_its_way_is_not_lost(saying: Says) -> None:
    on_their_way = ["10/12", "21/22", "30/33", "40/41", "52/54", "61/62"]
    pinging = saying(*on_their_way, "70/70")
    assert pinging.lost() == 0


def test_what_was_lost_before_is_not_waited_for(saying: Says) -> None:
    pinging = saying("10/12", "20/22", *["30/33"] * 60, "40/42")
    assert [pinging.lost(), pinging.lost()] == [2, 2]
