"""Things on a host, as control plane and host name them to each other, whatever their kind.

A thing is one row of what is wanted of a host: a server, later a volume or a load balancer. What
only its kind understands travels as `spec` towards the host and as `status` back, raw until the
kind's own code reads it. So a word that one side does not know harms the one thing that carries it.
A list is read one by one for the same reason.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

import msgspec

from kumoi.base.errors import Permanent
from kumoi.base.ids import is_uuid

GENERATION_LAST = 2**31 - 1
"""Newer than any: with it a host is told to remove what the control plane does not know."""

NOTHING = msgspec.Raw(b"{}")
_KIND = re.compile(r"[a-z][a-z_]{0,31}")


class ThingKey(NamedTuple):
    """What a thing is called: its kind, and its id within the kind."""

    kind: str
    id: str

    def __str__(self) -> str:
        return f"{self.kind}/{self.id}"

    @property
    def is_proper(self) -> bool:
        """Whether it may become a path on a host."""
        return bool(_KIND.fullmatch(self.kind)) and is_uuid(self.id)


class HeardPosition(NamedTuple):
    """How far a host has heard; none at all asks for everything."""

    epoch: str = ""
    revision: int = 0


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """Unknown fields are ignored: the other side may be one version ahead."""


class Thing(Message, frozen=True, kw_only=True, omit_defaults=True):
    """One thing as wanted. `generation` grows with each change that the host must act on, and a
    host refuses one older than it knows. An `absent` one must go, with everything it has, and needs
    no spec: so a host can remove what it would not understand.
    """

    kind: str
    id: str
    generation: int
    absent: bool = False
    spec: msgspec.Raw = NOTHING

    @property
    def key(self) -> ThingKey:
        return ThingKey(self.kind, self.id)


class ThingReport(Message, frozen=True, kw_only=True, omit_defaults=True):
    """What a thing is. `generation` is that of the wanted state it was made from. With a `fault`, in
    words for an operator, it could not be made so; the status is then what there is of it
    nevertheless. There is none where nothing is, and a host of 0.2.0 never gives one with a fault.
    """

    kind: str
    id: str
    generation: int
    absent: bool = False
    fault: str = ""
    status: msgspec.Raw = NOTHING

    @property
    def key(self) -> ThingKey:
        return ThingKey(self.kind, self.id)


class WantedThings(Message, frozen=True, kw_only=True):
    """Things that changed after the revision that was asked from; with `complete`, all of this
    host's, so that whatever else the host has must go. `epoch` and `revision` are where to ask on
    from. `images` are worth having ready; none is nothing new of them. Each thing and each image is
    read for itself.
    """

    epoch: str
    revision: int
    complete: bool
    things: list[msgspec.Raw]
    images: list[msgspec.Raw] = []


class Reports(Message, frozen=True, kw_only=True):
    """Each is a ThingReport, read for itself."""

    reports: list[msgspec.Raw]


class NotUnderstood(Permanent):
    """A word that this release does not know."""

    code = "thing.not_understood"


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A thing of which only the name could be read, and why no more."""

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
    """As part of a list."""
    return msgspec.Raw(msgspec.json.encode(message))


def read_all(raws: Iterable[msgspec.Raw]) -> list[tuple[bytes, Thing | Unreadable | None]]:
    """Each as it came and what it says; None for one that does not even say which it is."""
    return [(bytes(raw), _read(raw)) for raw in raws]


def _read(raw: msgspec.Raw) -> Thing | Unreadable | None:
    try:
        return msgspec.json.decode(raw, type=Thing)
    except msgspec.DecodeError as error:
        why = str(error)
    try:
        name = msgspec.json.decode(raw, type=_Name)
    except msgspec.DecodeError:
        return None
    generation = name.generation if isinstance(name.generation, int) else 0
    return Unreadable(name.kind, name.id, generation, why)


class _Name(Message, frozen=True, kw_only=True):
    kind: str
    id: str
    generation: object = 0
