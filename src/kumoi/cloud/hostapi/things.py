"""Things: what is wanted of a host and what it reports, whatever the kind.

A thing is a server, later a volume or a load balancer. What only its kind's code understands is its
`spec` towards the host and its `status` back: raw JSON until that code reads it. So a word that one
side does not know harms only the thing that carries it; the items of a list are read one by one for
the same reason.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, NamedTuple

import msgspec

from kumoi.base.errors import Permanent
from kumoi.base.ids import is_uuid

GENERATION_LAST = 2**31 - 1
"""Newer than any other: the control plane sends it to have a host remove what it does not know."""

NOTHING = msgspec.Raw(b"{}")

Name = Annotated[str, msgspec.Meta(max_length=255)]
Count = Annotated[int, msgspec.Meta(ge=0, le=2**31 - 1)]
"""What hosts report has room where it is kept."""
_KIND = re.compile(r"[a-z][a-z_]{0,31}")


class ThingKey(NamedTuple):
    """A thing's kind, and its id within the kind."""

    kind: str
    id: str

    def __str__(self) -> str:
        return f"{self.kind}/{self.id}"

    @property
    def is_proper(self) -> bool:
        """Whether it may become a path on a host."""
        return bool(_KIND.fullmatch(self.kind)) and is_uuid(self.id)


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """Fields that this release does not know are ignored: the other side may be one release ahead."""


class Thing(Message, frozen=True, kw_only=True, omit_defaults=True):
    """One thing as wanted. `generation` grows with each change that the host must act on; a host
    refuses one older than it knows. An `absent` thing must be removed with everything it has, and
    needs no spec: so a host can remove one whose spec it would not understand. `owner` is the project
    that it is of, where its kind shares what a host has by projects; an earlier release neither says nor reads it.
    """

    kind: str
    id: str
    generation: int
    absent: bool = False
    spec: msgspec.Raw = NOTHING
    owner: Annotated[str, msgspec.Meta(max_length=64)] = ""

    @property
    def key(self) -> ThingKey:
        return ThingKey(self.kind, self.id)


class ThingReport(Message, frozen=True, kw_only=True, omit_defaults=True):
    """What a thing is. `generation` is that of the spec that it was made by. A `fault` says, for an
    operator, why it could not be made; `status` is then what is there of it nevertheless. It is empty
    where nothing is there, and from a host of 0.2.0 always empty beside a fault.
    """

    kind: Annotated[str, msgspec.Meta(max_length=32)]
    id: Annotated[str, msgspec.Meta(max_length=36)]
    generation: Count
    absent: bool = False
    fault: str = ""
    status: msgspec.Raw = NOTHING

    @property
    def key(self) -> ThingKey:
        return ThingKey(self.kind, self.id)


class WantedThings(Message, frozen=True, kw_only=True):
    """Things that changed after the revision asked from; with `complete` all things of this host, so
    that whatever else it has must go. `epoch` and `revision` are the position to ask from next.
    `images` are worth prefetching; an empty list changes nothing. `questions` are about other hosts, see
    witness.py. Each item is read on its own.
    """

    epoch: str
    revision: int
    complete: bool
    things: list[msgspec.Raw]
    images: list[msgspec.Raw] = []
    questions: list[msgspec.Raw] = []


class Reports(Message, frozen=True, kw_only=True):
    """Each item is a ThingReport, read on its own."""

    reports: list[msgspec.Raw]


class NotUnderstood(Permanent):
    """A thing with a kind, a word or a driver that is not known here."""

    code = "thing.not_understood"


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A thing of which only kind, id and generation could be read, and why."""

    kind: str
    id: str
    generation: int
    why: str

    @property
    def key(self) -> ThingKey:
        return ThingKey(self.kind, self.id)


def absent(key: ThingKey, generation: int) -> Thing:
    return Thing(kind=key.kind, id=key.id, generation=generation, absent=True)


def raw(message: msgspec.Struct) -> msgspec.Raw:
    """A message as an item of a list."""
    return msgspec.Raw(msgspec.json.encode(message))


def read_all(raws: Iterable[msgspec.Raw]) -> list[tuple[bytes, Thing | Unreadable | None]]:
    """Each item's bytes, and the thing that they say; None where not even its kind and id could be
    read.
    """
    return [(bytes(raw), _read(raw)) for raw in raws]


def _read(raw: msgspec.Raw) -> Thing | Unreadable | None:
    try:
        return msgspec.json.decode(raw, type=Thing)
    except msgspec.DecodeError as error:
        why = str(error)
    try:
        name = msgspec.json.decode(raw, type=_ThingName)
    except msgspec.DecodeError:
        return None
    generation = name.generation if isinstance(name.generation, int) else 0
    return Unreadable(name.kind, name.id, generation, why)


class _ThingName(Message, frozen=True, kw_only=True):
    kind: str
    id: str
    generation: object = 0
