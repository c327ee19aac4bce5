"""What a control host fetches from others and what it removes, and what of a cloud has too few copies. Pure.

The stores name what there is to be: images by the hash of their content, repositories with the number of their
last change. What is here and what others have is the disks'.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping
from dataclasses import dataclass


class CopyKind(enum.StrEnum):
    IMAGE = "image"
    REPOSITORY = "repository"
    KEY = "key"


@dataclass(frozen=True, slots=True, order=True)
class CopyName:
    """An image by its content's sha256, a repository as "project/name", a key by its file's name."""

    kind: CopyKind
    name: str

    def __str__(self) -> str:
        return f"{self.kind} {self.name}"


@dataclass(frozen=True, slots=True)
class CopyState:
    """`id` tells a repository from an earlier one of the same name; "" is of before they were noted. `number`
    counts changes: an odd one is being made, and an even one has been.
    """

    id: str = ""
    number: int = 0


@dataclass(frozen=True, slots=True)
class Wanted:
    """As a store names it. `changed_on` is the host that made the last change, "" where none was noted."""

    state: CopyState = CopyState()
    changed_on: str = ""


@dataclass(frozen=True, slots=True)
class TakeCopy:
    """Fetch it from the first of these hosts that gives it."""

    copy: CopyName
    sources: tuple[str, ...]

    def __str__(self) -> str:
        return f"take {self.copy} from {', '.join(self.sources)}"


@dataclass(frozen=True, slots=True)
class RemoveCopy:
    """No store names it any more."""

    copy: CopyName
    state: CopyState

    def __str__(self) -> str:
        return f"remove {self.copy}"


Copies = Mapping[CopyName, CopyState]


def plan(
    wanted: Mapping[CopyName, Wanted], here: Copies, others: Mapping[str, Copies]
) -> list[TakeCopy | RemoveCopy]:
    """`here` was read before `wanted`: what is made meanwhile is not removed."""
    actions: list[TakeCopy | RemoveCopy] = []
    for copy, each in sorted(wanted.items(), key=lambda item: item[0]):
        theirs = {host: copies[copy] for host, copies in others.items() if copy in copies}
        sources = _sources(each, here.get(copy), theirs)
        if sources:
            actions.append(TakeCopy(copy, sources))
    gone = sorted(copy for copy in here if copy not in wanted)
    return [*actions, *(RemoveCopy(copy, here[copy]) for copy in gone)]


def is_complete(wanted: Mapping[CopyName, Wanted], here: Copies) -> bool:
    """Whether others need not be asked what they have."""
    return all(_number(each, here.get(copy)) >= each.state.number for copy, each in wanted.items())


def is_current(wanted: Wanted, found: CopyState | None) -> bool:
    """Whether it has every change that was ever acknowledged."""
    return _number(wanted, found) >= settled(wanted.state.number)


def settled(number: int) -> int:
    """That of the last change that was made and noted."""
    return number - number % 2


def _number(wanted: Wanted, found: CopyState | None) -> int:
    """Of the same thing, not of an earlier one of its name; -1 for none."""
    is_same = found is not None and found.id in ("", wanted.state.id)
    return found.number if found is not None and is_same else -1


def _sources(
    wanted: Wanted, found: CopyState | None, theirs: Mapping[str, CopyState]
) -> tuple[str, ...]:
    """Hosts with more of it than this one, those with most first, and among them who changed it last."""
    has = _number(wanted, found)
    offers = [
        (-_number(wanted, state), host != wanted.changed_on, host)
        for host, state in theirs.items()
        if _number(wanted, state) > has
    ]
    return tuple(host for *_, host in sorted(offers))


@dataclass(frozen=True, slots=True)
class Shortage:
    """What has fewer copies than there are control hosts. `held` are the hosts with a copy that is current."""

    copy: CopyName
    held: tuple[str, ...]


def shortages(
    wanted: Mapping[CopyName, Wanted], copies: Mapping[str, Copies], hosts: Iterable[str]
) -> list[Shortage]:
    """Those with the fewest copies first. A host that did not answer has none."""
    every = list(hosts)
    found = []
    for copy, each in wanted.items():
        held = tuple(host for host in every if is_current(each, copies.get(host, {}).get(copy)))
        if len(held) < len(every):
            found.append(Shortage(copy, held))
    return sorted(found, key=lambda each: (len(each.held), each.copy))
