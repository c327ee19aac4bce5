"""Disks on their way from one host to another, in the host API: a kind of thing of the host that is to
have the server next.

The host that has the server is told of it in the server's own spec (messages.Departure), and sends its disk to
nobody else. What the two hosts say to each other is in copying.py.

copying     the disk is copied while the server runs, again and again until little is left to copy
ready       little is left. With `final` in the spec the rest is copied, from a server that has stopped
complete    all is there and synced
"""

from __future__ import annotations

import enum

import msgspec

from kumoi.cloud.hostapi.messages import ImageContent, Strict
from kumoi.cloud.hostapi.things import Count, Message, NotUnderstood, Thing, raw

ARRIVAL = "arrival"
"""The kind of such a thing; its id is the server's."""
COPYING_PORT = 16_645
"""Of the agent, on its host's address on the underlay."""


class ArrivalState(enum.StrEnum):
    COPYING = "copying"
    READY = "ready"
    COMPLETE = "complete"


class ArrivalSpec(Strict, frozen=True, kw_only=True):
    """`host`, at `address`, has the disk, and identifies itself with the key of that hash. `final`: the
    server has stopped there, in `generation` of its spec. `done`: fetch nothing, what is there is the server's.
    """

    driver: str
    build: int
    disk_gib: int
    image: ImageContent | None = None
    host: str
    address: str
    port: int = COPYING_PORT
    key_sha256: str
    final: bool = False
    done: bool = False


class Arrival(ArrivalSpec, frozen=True, kw_only=True):
    """With its thing's id, generation and owner."""

    id: str
    generation: int
    owner: str = ""


class ArrivalStatus(Message, frozen=True, kw_only=True):
    """`rounds` is how many times the disk was compared, `sent_mib` what came over the wire in all of
    them, `disk_mib` what the disk holds.
    """

    state: ArrivalState
    rounds: Count = 0
    sent_mib: Count = 0
    disk_mib: Count = 0


def arrival_thing(arrival: Arrival) -> Thing:
    fields = {name: getattr(arrival, name) for name in ArrivalSpec.__struct_fields__}
    spec = raw(ArrivalSpec(**fields))
    return Thing(
        kind=ARRIVAL, id=arrival.id, generation=arrival.generation, spec=spec, owner=arrival.owner
    )


def read_arrival(thing: Thing) -> Arrival:
    """Raises NotUnderstood."""
    try:
        spec = msgspec.json.decode(thing.spec, type=ArrivalSpec)
    except msgspec.DecodeError as error:
        raise NotUnderstood(str(error)) from error
    fields = msgspec.structs.asdict(spec)
    return Arrival(id=thing.id, generation=thing.generation, owner=thing.owner, **fields)
