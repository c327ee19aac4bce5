"""Whose the ports and routers are that a host's switch has: asked by their ids, which the switch knows, answered by
projects, of which it knows nothing.
"""

from __future__ import annotations

from typing import Annotated

import msgspec

from kumoi.cloud.hostapi.things import Message, Name

OWNERS_PATH = "/owners"
ASKED_MAX = 1_000


class OwnersQuestion(Message, frozen=True, kw_only=True):
    """Ids of ports, of balancers' stations, of routers and of balancers."""

    ids: Annotated[list[Name], msgspec.Meta(max_length=ASKED_MAX)]


class Owners(Message, frozen=True, kw_only=True):
    """The project of each that there is."""

    owners: dict[str, str]
