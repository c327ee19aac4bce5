"""Results of pure functions of nouns, kept as long as the nouns are the same objects.

A list is requested again and again, and most of its rows have not changed in between.
`Statement.nouns` returns the same object for a row that has not changed, so a result that was
computed from that object still holds, and no notice of changes is needed: each request reads its
rows. Used by store/ and api/ for what is requested all the time. Neither a noun nor a result is ever
changed in place.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from typing import Any, Generic, TypeVar

import msgspec

BYTES_MAX = 8 << 20  # As `weight` counts: in memory it is about three times as much.
ENTRY_BYTES = 256  # What an entry takes besides what it holds.

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")
Result = TypeVar("Result")


def weight(held: Any) -> int:
    """About how many bytes it is: a tenth of a microsecond for a row of a KiB. A row may be as large
    as whoever wrote it wished, so that a number of rows is no bound.
    """
    return ENTRY_BYTES + len(msgspec.msgpack.encode(held, enc_hook=str))


class BoundedMap(Generic[Key, Value]):
    """What can be had again: all of it is dropped before it weighs more than `bytes_max`, and what
    weighs more by itself is not kept.
    """

    def __init__(self, bytes_max: int = BYTES_MAX) -> None:
        self._bytes_max = bytes_max
        self._entries: dict[Key, Value] = {}
        self._bytes = 0
        self._lock = threading.Lock()

    def get(self, key: Key) -> Value | None:
        return self._entries.get(key)

    def put(self, key: Key, value: Value, held: object) -> None:
        """`held` is all that the entry keeps in memory, as far as it can be large."""
        size = weight(held)
        if size > self._bytes_max:
            return
        with self._lock:
            if self._bytes + size > self._bytes_max:
                self._entries.clear()
                self._bytes = 0
            self._entries[key] = value
            self._bytes += size


class Memo(Generic[Result]):
    """Results of `compute(nouns, *context)`, which must depend on nothing else. The key is the nouns'
    identity; an entry holds its nouns, so none of their ids is reused while the entry is there.
    """

    def __init__(self, compute: Callable[..., Result], bytes_max: int = BYTES_MAX) -> None:
        self._compute = compute
        self._entries: BoundedMap[tuple[Hashable, ...], tuple[tuple[object, ...], Result]]
        self._entries = BoundedMap(bytes_max)

    def get(self, nouns: tuple[object, ...], *context: Hashable) -> Result:
        key = (*map(id, nouns), context)
        entry = self._entries.get(key)
        if entry is None:
            entry = (nouns, self._compute(nouns, *context))
            self._entries.put(key, entry, (entry, context))
        return entry[1]
