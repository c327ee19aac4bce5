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

    def has(*words: str) -> sa.ColumnElement[bool]:
        return column.in_(sa.select(owner).where(tag.in_(words)))

    found: list[sa.ColumnElement[bool]] = [has(word) for word in wanted.all]
    if wanted.any:
        found.append(has(*wanted.any))
    if wanted.not_all:
        found.append(sa.not_(sa.and_(*(has(word) for word in wanted.not_all))))
    if wanted.not_any:
        found.append(sa.not_(has(*wanted.not_any)))
    return found
