"""Ports for listeners of tests, of which one may be named before something listens there."""

from __future__ import annotations

import contextlib
import itertools
import os
import random
import socket

FIRST, LAST = (
    20_000,
    31_999,
)  # Below those that the kernel gives to clients: nobody gets one by chance.
PARTS = 16  # Workers of one run have ports of their own.

_size = (LAST + 1 - FIRST) // PARTS
_part = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % PARTS
_begin = random.randrange(_size)
_numbers = (FIRST + _part * _size + (_begin + n) % _size for n in itertools.count())


def free_port(address: str = "127.0.0.1") -> int:
    """Another one each time, at which nothing listens."""
    for port in itertools.islice(_numbers, _size):
        with contextlib.suppress(OSError), socket.socket() as probe:
            probe.bind((address, port))
            return port
    raise OSError(f"no port of {address} is free")
