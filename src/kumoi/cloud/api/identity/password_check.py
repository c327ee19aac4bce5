"""The check of a user's password, and what it leaves: failures are counted, and the last login is known."""

from __future__ import annotations

from kumoi.base.errors import Unauthenticated
from kumoi.base.secret import Secret
from kumoi.cloud.api.request import Request
from kumoi.cloud.domain.identity import password_rules
from kumoi.cloud.domain.identity.login import REFUSED
from kumoi.cloud.store.identity import user as users
from kumoi.cloud.store.identity.user import User


def verify(request: Request, user: User | None, account: str, password: Secret) -> None:
    """Raises Unauthenticated, also for a locked account, in the same words; RateLimited."""
    services = request.services
    cloud, now = services.cloud, services.clock.now()
    if user is not None and password_rules.is_locked(cloud, user, now):
        raise Unauthenticated(REFUSED)
    try:
        kept = user.password_hash if user else None
        services.logins.verify(request.source, account, kept, password)
    except Unauthenticated:
        if user is not None and password_rules.may_be_locked(cloud, user):
            first = password_rules.is_lock_over(cloud, user, now)
            with request.write() as connection:
                users.count_failure(connection, user.id, now, first=first)
        raise
    if user is not None and (changes := password_rules.after_login(cloud, user, now)):
        with request.write() as connection:
            users.update(connection, user.id, changes)
