"""Plan: what must be done so that an environment has what is wanted. Pure, sorted, and prints well.

An object is known by its noun and name. Where it is there and says by its inputs that it was made from
the same, it is kept; where only such inputs differ as can be changed in place, it is changed; else
it is replaced. Called by build.py, which applies it, and shown by `kumoi env up --plan`.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from kumoi.pipeline.cloud import CloudKey, CloudResource, Noun, WantedResource

IN_PLACE: Mapping[Noun, frozenset[str]] = {
    Noun.NETWORK: frozenset({"cidr"}),  # Where it has none yet.
    Noun.ROUTER: frozenset({"networks"}),
    Noun.SECURITY_GROUP: frozenset({"rules"}),
    Noun.PORT: frozenset({"groups"}),
    Noun.LOAD_BALANCER: frozenset({"members"}),
    Noun.FLOATING_IP: frozenset({"on"}),
}
"""The inputs that can be changed without replacing the object."""


class Verb(enum.StrEnum):
    CREATE = "create"
    CHANGE = "change"
    REPLACE = "replace"
    DELETE = "delete"
    KEEP = "keep"


SIGNS = {
    Verb.CREATE: "+",
    Verb.CHANGE: "~",
    Verb.REPLACE: "±",
    Verb.DELETE: "-",
    Verb.KEEP: "=",
}


@dataclass(frozen=True, slots=True, order=True)
class Action:
    """`why` says which inputs differ, or what the object is for."""

    key: CloudKey
    verb: Verb
    why: str = ""


def plan(wanted: Iterable[WantedResource], found: Iterable[CloudResource]) -> list[Action]:
    """One action per object that is wanted or there, sorted."""
    wanted_by_key = {each.key: each for each in wanted}
    there = {each.key: each for each in named(found)}
    actions = [_action(each, there.get(key)) for key, each in wanted_by_key.items()]
    actions += [Action(key, Verb.DELETE) for key in there if key not in wanted_by_key]
    return sorted(actions)


def named(found: Iterable[CloudResource]) -> list[CloudResource]:
    """The objects, with the names in their inputs of those others whose ids stand there."""
    there = list(found)
    names = {each.id: each.name for each in there}
    names |= {each.parent_id: each.name for each in there if each.parent_id}

    def words(text: str) -> str:
        return " ".join(sorted(names.get(word, word) for word in text.split()))

    by_id = {"networks", "groups", "on"}
    return [
        replace(
            each,
            inputs={
                name: words(value) if name in by_id and each.noun != Noun.SERVER else value
                for name, value in each.inputs.items()
            },
        )
        for each in there
    ]


def lines(actions: Sequence[Action], prefix: str) -> list[str]:
    """For people: a line per object that is not kept, by short names, and a count of those that are."""
    shown = [
        f"{SIGNS[each.verb]} {each.key.noun} {each.key.name.removeprefix(prefix).lstrip('-') or 'of all'}"
        + (f" ({each.why})" if each.why else "")
        for each in actions
        if each.verb != Verb.KEEP
    ]
    kept = sum(each.verb == Verb.KEEP for each in actions)
    return [*shown, f"= {kept} kept"] if kept else shown


def _action(wanted: WantedResource, found: CloudResource | None) -> Action:
    if found is None:
        return Action(wanted.key, Verb.CREATE, wanted.about)
    if found.status == "ERROR":
        return Action(wanted.key, Verb.REPLACE, "it is in ERROR")
    # What the cloud does not tell was made by a release that did not write it down.
    differ = sorted(
        name for name, value in wanted.inputs.items() if found.inputs.get(name, value) != value
    )
    if not differ:
        return Action(wanted.key, Verb.KEEP)
    in_place = IN_PLACE.get(wanted.noun, frozenset())
    if wanted.noun == Noun.NETWORK and found.inputs.get("cidr"):
        in_place = frozenset()
    verb = Verb.CHANGE if in_place.issuperset(differ) else Verb.REPLACE
    return Action(wanted.key, verb, f"differs in {', '.join(differ)}")
