"""Select things by their tags, which stand in a table beside theirs; servers have their own way."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa


@dataclass(frozen=True, slots=True)
class TagFilter:
    """Things that have all of one set of tags, any of another, and the negations of both."""

    all: tuple[str, ...] = ()
    any: tuple[str, ...] = ()
    not_all: tuple[str, ...] = ()
    not_any: tuple[str, ...] = ()


def read(texts: Callable[[str], Sequence[str]]) -> TagFilter:
    """From a query string in which `texts` finds every value of a name; tags are joined by commas."""

    def words(name: str) -> tuple[str, ...]:
        return tuple(word for text in texts(name) for word in text.split(",") if word)

    return TagFilter(
        all=words("tags"),
        any=words("tags-any"),
        not_all=words("not-tags"),
        not_any=words("not-tags-any"),
    )


def conditions(
    column: sa.Column[Any], owner: sa.Column[Any], tag: sa.Column[Any], wanted: TagFilter
) -> list[sa.ColumnElement[bool]]:
    """Conditions on the id `column` of a table; `owner` and `tag` are the columns of its tags."""
    found: list[sa.ColumnElement[bool]] = []
    if wanted.all:
        found.append(column.in_(with_all(owner, tag, wanted.all)))
    if wanted.any:
        found.append(column.in_(_with_some(owner, tag, wanted.any)))
    if wanted.not_all:
        found.append(column.not_in(with_all(owner, tag, wanted.not_all)))
    if wanted.not_any:
        found.append(column.not_in(_with_some(owner, tag, wanted.not_any)))
    return found


def with_all(owner: sa.Column[Any], tag: sa.Column[Any], words: Sequence[str]) -> sa.Select[Any]:
    """The owners of all of these tags: one statement of one length, however many words a query has."""
    wanted = set(words)
    some = _with_some(owner, tag, sorted(wanted)).group_by(owner)
    return some.having(sa.func.count(tag) == len(wanted))


def _with_some(owner: sa.Column[Any], tag: sa.Column[Any], words: Sequence[str]) -> sa.Select[Any]:
    return sa.select(owner).where(tag.in_(words))
