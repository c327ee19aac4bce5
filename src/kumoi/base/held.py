"""How much each holder has of what no row says: bytes that are on their way, files that are being read.

Of the threads of one process. Whoever takes gives back, also from a finalizer, while the lock is held.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Hashable


class Held:
    def __init__(self) -> None:
        self._amounts: Counter[Hashable] = Counter()
        self._lock = threading.RLock()

    def of(self, holder: Hashable) -> int:
        with self._lock:
            return self._amounts.get(holder, 0)

    def take(self, holder: Hashable, more: int, *, most: int) -> bool:
        """Whether the holder has no more than that then; else nothing is taken."""
        with self._lock:
            if self._amounts.get(holder, 0) + more > most:
                return False
            self._amounts[holder] += more
            return True

    def give_back(self, holder: Hashable, taken: int) -> None:
        with self._lock:
            self._amounts[holder] -= taken
            if not self._amounts[holder]:
                del self._amounts[holder]
