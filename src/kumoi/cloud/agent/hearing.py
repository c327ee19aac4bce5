"""What is wanted of this host, as far as it was heard: a state machine without I/O.

`hear` takes what the control plane says and gives what follows from it; the caller (agent.py) writes
down what changed and looks at what must be looked at. Nothing here reads a clock, a file or a host.

not listed      a complete list does not name it: it is to go, and nobody waits to hear of it
an older one    of a generation older than is known: refused
doubted         the control plane may have lost what it knew (trust.py): nothing goes that it does
                not know
unreadable      it says which thing it is about and no more that we can read: it stays as it is
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

import msgspec

from kumoi.cloud.agent.trust import Trust
from kumoi.cloud.hostapi.things import (
    GENERATION_LAST,
    HeardPosition,
    Thing,
    ThingKey,
    Unreadable,
    WantedThings,
    read_all,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class WantedThing:
    """`raw` is the thing as it was told, byte for byte. `fault` is why this generation cannot be
    had; empty when nothing is known against it. `rest` are words of its file that we do not know.
    """

    told: Thing | Unreadable
    raw: bytes
    fault: str = ""
    unlisted: bool = False
    rest: Mapping[str, msgspec.Raw] = field(default_factory=dict)

    @property
    def key(self) -> ThingKey:
        return self.told.key

    @property
    def generation(self) -> int:
        return self.told.generation

    @property
    def is_absent(self) -> bool:
        """Whether it is to go."""
        return self.unlisted or (isinstance(self.told, Thing) and self.told.absent)


@dataclass(frozen=True, slots=True)
class RefusedThing:
    """What was heard and not taken. `what` is empty where it did not even say."""

    what: str
    why: str


@dataclass(slots=True)
class News:
    """What follows: `changed` is to be written down, `look_at` looked at, in this order."""

    changed: list[ThingKey] = field(default_factory=list)
    look_at: list[ThingKey] = field(default_factory=list)
    refused: list[RefusedThing] = field(default_factory=list)


class Hearing:
    """`things` is what is wanted; `complete` says that a whole list was heard and believed, so that
    what it does not name may go; `since` is from where to ask on.
    """

    def __init__(self, things: Mapping[ThingKey, WantedThing], trust: Trust) -> None:
        self.things = dict(things)
        self.trust = trust
        self.complete = False
        self.since = HeardPosition()

    def hear(self, wanted: WantedThings) -> News:
        news = News()
        told = [(raw, one) for raw, one in read_all(wanted.things) if one is not None]
        if len(told) < len(wanted.things):
            news.refused.append(RefusedThing("", "a thing does not say which it is"))
        complete = wanted.complete and len(told) == len(wanted.things)
        listed = {one.key for _, one in told}
        unlisted = [
            key for key, one in self.things.items() if key not in listed and not one.unlisted
        ]
        doubted_before = self.trust.doubted
        self.trust = self.trust.after(wanted, complete=complete, unknown=len(unlisted))
        for raw, one in told:
            self._want(raw, one, news)
        if complete and not self.trust.doubted:
            self.complete = True
            for key in unlisted:
                self.things[key] = replace(self.things[key], unlisted=True, fault="")
                news.changed.append(key)
                news.look_at.append(key)
        is_new_doubt = self.trust.doubted and not (doubted_before or wanted.complete)
        self.since = (
            HeardPosition() if is_new_doubt else HeardPosition(wanted.epoch, wanted.revision)
        )
        return news

    def found(self, here: Iterable[ThingKey]) -> list[ThingKey]:
        """Of those that are here, the ones that nobody wants: they are to go."""
        strays = [key for key in here if key not in self.things] if self.complete else []
        for key in strays:
            gone = Thing(kind=key.kind, id=key.id, generation=0, absent=True)
            self.things[key] = WantedThing(told=gone, raw=msgspec.json.encode(gone), unlisted=True)
        return strays

    def fail(self, tried: WantedThing, fault: str) -> WantedThing | None:
        """It cannot be had; None when something else is wanted by now."""
        if self.things.get(tried.key) is not tried:
            return None
        failed = self.things[tried.key] = replace(tried, fault=fault)
        return failed

    def forget(self, key: ThingKey) -> None:
        self.things.pop(key, None)

    def _want(self, raw: bytes, told: Thing | Unreadable, news: News) -> None:
        known = self.things.get(told.key)
        if why := self._why_not(known, told):
            news.refused.append(RefusedThing(str(told.key), why))
            return
        if known is None or known.raw != raw or known.unlisted:
            rest = known.rest if known else {}
            self.things[told.key] = WantedThing(told=told, raw=raw, rest=rest)
            news.changed.append(told.key)
        news.look_at.append(told.key)

    def _why_not(self, known: WantedThing | None, told: Thing | Unreadable) -> str:
        if not told.key.is_proper:
            return "its name is no kind and UUID"
        if self.trust.doubted and told.generation == GENERATION_LAST:
            return "its store is doubted"
        if known and isinstance(told, Thing) and told.generation < known.generation:
            return f"generation {known.generation} is known, this is {told.generation}"
        return ""
