"""Results of pure functions of nouns, kept as long as the nouns are the same objects.

A list is requested again and again, and most of its rows have not changed in between.
`Statement.nouns` returns the same object for a row that has not changed, so a result that was
computed from that object still holds, and no notice of changes is needed: each request reads its
rows. Used by store/ and api/ for what is requested all the time. Neither a noun nor a result is ever
changed in place.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

ENTRIES_MAX = 4_096  # Of one or two KiB each. When it is full, all are dropped.

Result = TypeVar("Result")


class Memo(Generic[Result]):
    """Results of `compute(nouns, *context)`, which must depend on nothing else. The key is the nouns'
    identity; an entry holds its nouns, so none of their ids is reused while the entry is there.
    """

    def __init__(self, compute: Callable[..., Result], entries_max: int = ENTRIES_MAX) -> None:
        self._compute = compute
        self._entries_max = entries_max
        self._entries: dict[tuple[Hashable, ...], tuple[tuple[object, ...], Result]] = {}

    def get(self, nouns: tuple[object, ...], *context: Hashable) -> Result:
        key = (*map(id, nouns), context)
        entry = self._entries.get(key)
        if entry is None:
            entry = (nouns, self._compute(nouns, *context))
            if len(self._entries) >= self._entries_max:
                self._entries.clear()
            self._entries[key] = entry
        return entry[1]
