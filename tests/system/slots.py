"""A place of its own for each world that a test makes: whoever holds its number names by it."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator

SLOTS = 8


@contextlib.contextmanager
def free_slot() -> Iterator[int]:
    """One of a few places, held by a socket's name, which goes with this process."""
    for slot in range(SLOTS):
        with socket.socket(socket.AF_UNIX) as held:
            try:
                held.bind(f"\0kumoi-test-{slot}")
            except OSError:
                continue
            yield slot
            return
    raise RuntimeError(f"{SLOTS} runs of these tests are under way")
