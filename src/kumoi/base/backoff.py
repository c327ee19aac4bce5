"""Computes the pause before the next attempt: longer after each failure, up to a bound.

Callers that fail together (the agents of a cloud whose API restarts) must not come back together,
so a part of each pause is random. The caller counts its failures, in a variable or in a row, and
does the waiting.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

EXPONENT_MAX = 32  # Beyond it every pause is the longest one anyway, and powers overflow.


@dataclass(frozen=True, slots=True, kw_only=True)
class Backoff:
    """The first pause, the longest, the factor from one to the next, and the largest random part
    that is added to each, as a fraction of it.
    """

    first_s: float
    most_s: float
    factor: float = 2.0
    jitter: float = 0.2

    def after(self, failures: int, *, asked_s: float | None = None) -> float:
        """The pause after that many failures in a row; 0 after none. `asked_s`, where the error
        itself asked for a pause, takes the place of the first one.
        """
        if failures <= 0:
            return 0.0
        first_s = self.first_s if asked_s is None else asked_s
        grown_s = first_s * self.factor ** min(failures - 1, EXPONENT_MAX)
        chance = 1.0 + self.jitter * random.random()  # noqa: S311 - no secret
        return min(grown_s, self.most_s / (1.0 + self.jitter)) * chance
