"""What msgspec learns of each shape, learnt before requests come.

It does so at a shape's first use, and keeps what it has so far where other threads find it: two first
requests at once, with a garbage collection in between, have ended a process (0.22.0). Called by app.py.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec


def prepare() -> None:
    """Every shape of every module that has been imported."""
    for shape in _below(msgspec.Struct):
        msgspec.json.Decoder(shape)


def _below(shape: type[msgspec.Struct]) -> Iterator[type[msgspec.Struct]]:
    for each in shape.__subclasses__():
        yield each
        yield from _below(each)
