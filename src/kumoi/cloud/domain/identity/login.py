"""Logins: a password is looked at only while its source has attempts left."""

from __future__ import annotations

import functools
import secrets

from kumoi.base.errors import Unauthenticated
from kumoi.base.secret import Secret
from kumoi.cloud.domain.identity import password
from kumoi.engine.http.limits import Attempts

REFUSED = "The request you have made requires authentication."


class Logins(Attempts):
    """Of this process."""

    def verify(self, source: str, password_hash: str | None, given: Secret) -> None:
        """Raises RateLimited before any hashing, Unauthenticated when the password is wrong. A
        `password_hash` of None, for a user there is not, takes as long as a wrong password.
        """
        self.allow(source)
        right = password.matches(password_hash or _nobodys_hash(), given)
        if password_hash is None or not right:
            self.failed(source)
            raise Unauthenticated(REFUSED)


@functools.cache
def _nobodys_hash() -> str:
    return password.hash_password(Secret(secrets.token_urlsafe()))
