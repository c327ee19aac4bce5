"""What is wanted of this host, as far as it was received: a state machine without I/O.

`hear` takes what the control plane sends and returns what follows from it; the caller (agent.py)
writes down what changed and looks at what must be looked at. Nothing here reads a clock, a file or a
host.

unlisted        a complete list does not name the thing: it must go, and nothing but that is reported
older           of a generation older than the one that is known: refused
doubted         the control plane may have lost part of its store (trust.py): things that it does not
                name stay
unreadable      only kind, id and generation could be read: the thing stays as it is
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

import msgspec

from kumoi.cloud.agent.trust import Trust
from kumoi.cloud.hostapi.things import (
    GENERATION_LAST,
    Thing,
    ThingKey,
    Unreadable,
    WantedThings,
    read_all,
)
from kumoi.engine.position import Position


@dataclass(frozen=True, slots=True, kw_only=True)
class WantedThing:
    """A thing as wanted, and `raw`, its bytes as received. `fault` says why this generation cannot be
    made; empty while no reason is known. `unknown` are words of its file that this release does not
    know, and keeps.
    """

    thing: Thing | Unreadable
    raw: bytes
    fault: str = ""
    unlisted: bool = False
    unknown: Mapping[str, msgspec.Raw] = field(default_factory=dict)

    @property
    def key(self) -> ThingKey:
        return self.thing.key

    @property
    def generation(self) -> int:
        return self.thing.generation

    @property
    def is_absent(self) -> bool:
        """Whether it must go."""
        return self.unlisted or (isinstance(self.thing, Thing) and self.thing.absent)


@dataclass(frozen=True, slots=True)
class RefusedThing:
    """A received thing that was not accepted. `what` names it; empty where it has no readable name."""

    what: str
    why: str


@dataclass(slots=True)
class HearingOutcome:
    """What to do after a message: write down the `changed` things, look at those in `look_at`, in
    this order.
    """

    changed: list[ThingKey] = field(default_factory=list)
    look_at: list[ThingKey] = field(default_factory=list)
    refused: list[RefusedThing] = field(default_factory=list)


class Hearing:
    """`things` is what is wanted. `complete` says that a complete list was received and believed, so
    that things which it does not name may go. `since` is the position to ask from next.
    """

    def __init__(self, things: Mapping[ThingKey, WantedThing], trust: Trust) -> None:
        self.things = dict(things)
        self.trust = trust
        self.complete = False
        self.since = Position()

    def hear(self, wanted: WantedThings) -> HearingOutcome:
        outcome = HearingOutcome()
        received = [(raw, thing) for raw, thing in read_all(wanted.things) if thing is not None]
        if len(received) < len(wanted.things):
            outcome.refused.append(RefusedThing("", "a thing does not say which it is"))
        complete = wanted.complete and len(received) == len(wanted.things)
        named = {thing.key for _, thing in received}
        unnamed = [
            key for key, known in self.things.items() if key not in named and not known.unlisted
        ]
        doubted_before = self.trust.doubted
        self.trust = self.trust.after(wanted, complete=complete, unnamed=len(unnamed))
        for raw, thing in received:
            self._accept(raw, thing, outcome)
        if complete and not self.trust.doubted:
            self.complete = True
            for key in unnamed:
                self.things[key] = replace(self.things[key], unlisted=True, fault="")
                outcome.changed.append(key)
                outcome.look_at.append(key)
        begins_to_doubt = self.trust.doubted and not (doubted_before or wanted.complete)
        self.since = Position() if begins_to_doubt else Position(wanted.epoch, wanted.revision)
        return outcome

    def add_strays(self, present: Iterable[ThingKey]) -> list[ThingKey]:
        """Those of the things present on the host that nobody wants; from now on they must go. None
        while no complete list was believed.
        """
        strays = [key for key in present if key not in self.things] if self.complete else []
        for key in strays:
            thing = Thing(kind=key.kind, id=key.id, generation=0, absent=True)
            self.things[key] = WantedThing(
                thing=thing, raw=msgspec.json.encode(thing), unlisted=True
            )
        return strays

    def fail(self, tried: WantedThing, fault: str) -> WantedThing | None:
        """Record why it cannot be made. None when something else is wanted of it by now."""
        if self.things.get(tried.key) is not tried:
            return None
        failed = self.things[tried.key] = replace(tried, fault=fault)
        return failed

    def forget(self, key: ThingKey) -> None:
        self.things.pop(key, None)

    def _accept(self, raw: bytes, thing: Thing | Unreadable, outcome: HearingOutcome) -> None:
        known = self.things.get(thing.key)
        if why := self._refusal(known, thing):
            outcome.refused.append(RefusedThing(str(thing.key), why))
            return
        if known is None or known.raw != raw or known.unlisted:
            unknown, fault = (known.unknown if known else {}), ""
            if known and not known.unlisted and known.generation == thing.generation:
                fault = known.fault  # Only a new generation asks for another attempt.
            self.things[thing.key] = WantedThing(thing=thing, raw=raw, fault=fault, unknown=unknown)
            outcome.changed.append(thing.key)
        outcome.look_at.append(thing.key)

    def _refusal(self, known: WantedThing | None, thing: Thing | Unreadable) -> str:
        """Why a received thing is not accepted; empty when it is."""
        if not thing.key.is_proper:
            return "its name is no kind and UUID"
        if self.trust.doubted and thing.generation == GENERATION_LAST:
            return "its store is doubted"
        if known and isinstance(thing, Thing) and thing.generation < known.generation:
            return f"generation {known.generation} is known, this is {thing.generation}"
        return ""
