"""Checks of passwords, limited to a number of failures per source address."""

from __future__ import annotations

import functools
import secrets

from kumoi.base.errors import Unauthenticated
from kumoi.base.secret import Secret
from kumoi.cloud.domain.identity import password
from kumoi.engine.http.limits import Attempts

REFUSED = "The request you have made requires authentication."


class Logins(Attempts):
    """The failed logins that this process has seen, by source."""

    def verify(self, source: str, password_hash: str | None, secret: Secret) -> None:
        """Raises RateLimited before any hashing, Unauthenticated when the password is wrong. A
        `password_hash` of None, for a user that does not exist, takes as long as a wrong password.
        """
        self.allow(source)
        matches = password.matches(password_hash or _unused_hash(), secret)
        if password_hash is None or not matches:
            self.failed(source)
            raise Unauthenticated(REFUSED)


@functools.cache
def _unused_hash() -> str:
    """The hash of a password that nobody has."""
    return password.hash_password(Secret(secrets.token_urlsafe()))
