"""Logins: a password is looked at only while its source has attempts left.

Failures are counted per source before anything is hashed, so that guessing gets slow and a flood
costs nearly nothing. What is counted fits into SOURCES_MAX entries, the longest silent forgotten
first. Each API process counts for itself.
"""

from __future__ import annotations

import collections
import functools
import ipaddress
import secrets
import threading

from kumoi.base.clock import Clock
from kumoi.base.errors import RateLimited, Unauthenticated
from kumoi.base.secret import Secret
from kumoi.cloud.domain.identity import password
from kumoi.config import CloudSettings

SOURCES_MAX = 10_000
WINDOW_S = 60.0
REFUSED = "The request you have made requires authentication."


class Logins:
    def __init__(self, cloud: CloudSettings, clock: Clock) -> None:
        self._most = cloud.login_attempts_per_minute
        self._clock = clock
        self._failures: collections.OrderedDict[str, collections.deque[float]] = (
            collections.OrderedDict()
        )
        self._lock = threading.Lock()

    def verify(self, source: str, password_hash: str | None, given: Secret) -> None:
        """Raises RateLimited before any hashing, Unauthenticated when the password is wrong. A
        `password_hash` of None, for a user there is not, takes as long as a wrong password.
        """
        self.allow(source)
        right = password.matches(password_hash or _nobodys_hash(), given)
        if password_hash is None or not right:
            self.failed(source)
            raise Unauthenticated(REFUSED)

    def allow(self, source: str) -> None:
        """Raises RateLimited when the source has no attempts left."""
        now = self._clock.monotonic()
        with self._lock:
            failures = self._failures.get(_network(source))
            if failures is None:
                return
            while failures and failures[0] <= now - WINDOW_S:
                failures.popleft()
            if len(failures) >= self._most:
                raise RateLimited(
                    "Too many failed logins from this address",
                    retry_after_s=failures[0] + WINDOW_S - now,
                )

    def failed(self, source: str) -> None:
        """Count a failure."""
        key = _network(source)
        with self._lock:
            failures = self._failures.setdefault(key, collections.deque(maxlen=self._most))
            failures.append(self._clock.monotonic())
            self._failures.move_to_end(key)
            while len(self._failures) > SOURCES_MAX:
                self._failures.popitem(last=False)

    def forget(self, source: str) -> None:
        """Let the source try again at once."""
        with self._lock:
            self._failures.pop(_network(source), None)


def _network(source: str) -> str:
    """An IPv6 source counts with its /64: whoever has one address of it has them all."""
    try:
        address = ipaddress.IPv6Address(source)
    except ValueError:
        return source
    return str(ipaddress.IPv6Network((address, 64), strict=False))


@functools.cache
def _nobodys_hash() -> str:
    return password.hash_password(Secret(secrets.token_urlsafe()))
