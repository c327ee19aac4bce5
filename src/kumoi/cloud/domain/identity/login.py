"""Checks of passwords, and who has to wait before the next one is checked.

Failures are counted for a minute: per account and address together, per account, and per address.
The check comes before any hashing, so that guessing is slow. Nobody waits for another's failures: a
right password gets in

    from an address where others fail, as long as this account did not fail there, too;
    for an account that somebody guesses from elsewhere, where it got in lately.

Whoever guesses at many accounts from one address gets one guess at each once the address has used up
its failures. Each process counts for itself.
"""

from __future__ import annotations

import collections
import functools
import secrets
import threading
from typing import Any

from kumoi.base.address import source_network
from kumoi.base.clock import Clock
from kumoi.base.errors import RateLimited, Unauthenticated
from kumoi.base.secret import Secret
from kumoi.cloud.domain.identity import password

REFUSED = "The request you have made requires authentication."
WAIT = "Too many failed logins; try again later."
WINDOW_S = 60.0
HERE_FRACTION = 6
"""Of the failures that an address has, one account may have this part of them there."""
KNOWN_S = 86_400.0
REMEMBERED_MAX = 10_000

Key = tuple[str, str]
"""An account and an address; either may be empty, which is all of them."""


class Logins:
    """The failed logins that this process has seen. `per_minute` are an address's, and an account's."""

    def __init__(self, clock: Clock, per_minute: int) -> None:
        self._clock = clock
        self._most = per_minute
        self._most_here = max(1, per_minute // HERE_FRACTION)
        self._failures: collections.OrderedDict[Key, collections.deque[float]] = (
            collections.OrderedDict()
        )
        self._known: collections.OrderedDict[Key, float] = collections.OrderedDict()
        self._lock = threading.Lock()

    def verify(self, source: str, account: str, password_hash: str | None, secret: Secret) -> None:
        """Raises RateLimited before any hashing, Unauthenticated when the password is wrong. A
        `password_hash` of None, for a user that does not exist, takes as long as a wrong password.
        """
        self.allow(source, account)
        matches = password.matches(password_hash or _unused_hash(), secret)
        if password_hash is None or not matches:
            self.failed(source, account)
            raise Unauthenticated(REFUSED)
        self.succeeded(source, account)

    def allow(self, source: str, account: str) -> None:
        """Raises RateLimited when whoever this is has to wait."""
        address = source_network(source)
        here = (account, address)
        with self._lock:
            now = self._clock.monotonic()
            failed_here = self._recent(here, now)
            waits = [self._wait(failed_here, self._most_here, now)]
            if failed_here:
                waits.append(self._wait(self._recent(("", address), now), self._most, now))
            if self._known.get(here, 0.0) <= now:
                waits.append(self._wait(self._recent((account, ""), now), self._most, now))
        if longest := max(waits):
            raise RateLimited(WAIT, retry_after_s=longest)

    def failed(self, source: str, account: str) -> None:
        address = source_network(source)
        with self._lock:
            now = self._clock.monotonic()
            for key in ((account, address), ("", address), (account, "")):
                failures = self._failures.setdefault(key, collections.deque(maxlen=self._most))
                failures.append(now)
                self._failures.move_to_end(key)
            _trim(self._failures)

    def succeeded(self, source: str, account: str) -> None:
        here = (account, source_network(source))
        with self._lock:
            self._known[here] = self._clock.monotonic() + KNOWN_S
            self._known.move_to_end(here)
            _trim(self._known)

    def _recent(self, key: Key, now: float) -> collections.deque[float]:
        failures = self._failures.get(key, collections.deque())
        while failures and failures[0] <= now - WINDOW_S:
            failures.popleft()
        return failures

    def _wait(self, failures: collections.deque[float], most: int, now: float) -> float:
        """Until one failure less than `most` is in the window; 0 when that is so."""
        return 0.0 if len(failures) < most else failures[len(failures) - most] + WINDOW_S - now


def _trim(remembered: collections.OrderedDict[Key, Any]) -> None:
    while len(remembered) > REMEMBERED_MAX:
        remembered.popitem(last=False)


@functools.cache
def _unused_hash() -> str:
    """The hash of a password that nobody has."""
    return password.hash_password(Secret(secrets.token_urlsafe()))
