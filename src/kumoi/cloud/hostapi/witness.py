"""What a host is asked about another one, in the answer of what is wanted of it, and what it answers."""

from __future__ import annotations

from typing import Annotated

import msgspec

from kumoi.cloud.hostapi.things import Message, Name

WITNESS_PATH = "/witness"
UP, DOWN, UNKNOWN = "up", "down", ""


class Question(Message, frozen=True, kw_only=True):
    """Does that host answer at this address on the underlay?"""

    host: Name
    address: Annotated[str, msgspec.Meta(max_length=64)]


class WitnessAnswer(Message, frozen=True, kw_only=True):
    """`tunnel` is what the host's switch knows of its tunnel to the other by BFD."""

    host: Name
    reached: bool
    tunnel: Annotated[str, msgspec.Meta(pattern="^(up|down|)$")] = UNKNOWN
