"""Rules about passwords and accounts that operators may set: all are off by default.

They are those of Keystone's `[security_compliance]`, by the names that its settings have. What a rule needs is
written when a password is set or a login is counted; a rule that is switched on later is for what comes after.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from kumoi.base.errors import Invalid, Unauthenticated
from kumoi.base.secret import Secret
from kumoi.cloud.domain.identity import password as passwords
from kumoi.cloud.store.identity.user import User
from kumoi.config import CloudSettings

KEEP = "ignore_password_expiry"
KEEP_FIRST = "ignore_change_password_upon_first_use"
NEVER_LOCKED = "ignore_lockout_failure_attempts"
NEVER_IDLE = "ignore_user_inactivity"


def require_valid(cloud: CloudSettings) -> None:
    """Raises Invalid for a regular expression that is none."""
    try:
        _pattern(cloud.password_regex)
    except re.error as cause:
        raise Invalid(f"password_regex is no regular expression: {cause}") from cause


def require_strong(cloud: CloudSettings, password: Secret) -> None:
    """Raises Invalid for a password that the cloud's expression does not match."""
    if cloud.password_regex and not _pattern(cloud.password_regex).match(password.reveal()):
        detail = cloud.password_regex_description or "it is not as the operator asks"
        raise Invalid(f"The password does not match the requirements: {detail}.", field="password")


@functools.cache
def _pattern(text: str) -> re.Pattern[str]:
    return re.compile(text)  # The operator's own, with look-ahead as in Keystone's examples.


def require_old_enough(cloud: CloudSettings, user: User, now: datetime) -> None:
    """Raises Invalid where the user has set the password too lately to change it again."""
    days = cloud.minimum_password_age_days
    if not days or not user.password_is_own or user.password_set_at is None:
        return
    left = user.password_set_at + timedelta(days=days) - now
    if left > timedelta(0):
        raise Invalid(
            "You cannot change your password at this time due to the minimum password age. Once you "
            f"change your password, it must be used for {days} day(s) before it can be changed. Please "
            f"try again in {left.days + 1} day(s) or contact your administrator to reset your password.",
            field="password",
        )


def require_unused(cloud: CloudSettings, earlier: Sequence[str], password: Secret) -> None:
    """Raises Invalid for one of the last passwords; `earlier` are their hashes, the newest first."""
    count = cloud.unique_last_password_count
    if any(passwords.matches(each, password) for each in earlier[: max(0, count - 1)]):
        raise Invalid(
            "The new password cannot be identical to a previous password. The total number which "
            f"includes the new password must be unique is {count}.",
            field="password",
        )


def set_now(
    cloud: CloudSettings, options: Mapping[str, Any] | None, now: datetime, *, is_own: bool
) -> dict[str, Any]:
    """What a user's row says of a password that is set now: by the user, or for the user."""
    return {
        "password_set_at": now,
        "password_is_own": is_own,
        "password_expires_at": _expiry(cloud, options or {}, now, is_own=is_own),
        "failed_logins": 0,
    }


def expiry_after(
    cloud: CloudSettings, user: User, options: Mapping[str, Any] | None
) -> datetime | None:
    """When the password that the user has expires, with these options."""
    before, after = (user.options or {}), (options or {})
    if bool(before.get(KEEP)) == bool(after.get(KEEP)) or user.password_set_at is None:
        return user.password_expires_at
    return _expiry(cloud, after, user.password_set_at, is_own=bool(user.password_is_own))


def _expiry(
    cloud: CloudSettings, options: Mapping[str, Any], at: datetime, *, is_own: bool
) -> datetime | None:
    if cloud.change_password_upon_first_use and not is_own and not options.get(KEEP_FIRST):
        return at
    if not cloud.password_expires_days or options.get(KEEP):
        return None
    return at + timedelta(days=cloud.password_expires_days)


def require_current(user: User, now: datetime) -> None:
    """Raises Unauthenticated, in Keystone's words, which dashboards look for: it comes after the right one."""
    if user.password_expires_at is not None and user.password_expires_at <= now:
        raise Unauthenticated(
            f"The password is expired and needs to be changed for user: {user.id}."
        )


def may_be_locked(cloud: CloudSettings, user: User) -> bool:
    return cloud.lockout_failure_attempts > 0 and not (user.options or {}).get(NEVER_LOCKED)


def is_locked(cloud: CloudSettings, user: User, now: datetime) -> bool:
    """After so many failures one after the other, until the time is over; without a time, until somebody
    enables the user or sets another password.
    """
    full = (user.failed_logins or 0) >= cloud.lockout_failure_attempts
    return may_be_locked(cloud, user) and full and not is_lock_over(cloud, user, now)


def is_lock_over(cloud: CloudSettings, user: User, now: datetime) -> bool:
    if user.failed_login_at is None or not cloud.lockout_duration_s:
        return False
    return now >= user.failed_login_at + timedelta(seconds=cloud.lockout_duration_s)


def is_idle(cloud: CloudSettings, user: User, now: datetime) -> bool:
    """Whether the user has not logged in for so long as to count as disabled."""
    days = cloud.disable_user_account_days_inactive
    if not days or user.active_at is None or (user.options or {}).get(NEVER_IDLE):
        return False
    return now >= user.active_at + timedelta(days=days)


def active_now(cloud: CloudSettings, now: datetime) -> dict[str, Any]:
    """What a user's row says of whoever is here now. It is known only while the rule is on."""
    return {"active_at": now} if cloud.disable_user_account_days_inactive else {}


def after_login(cloud: CloudSettings, user: User, now: datetime) -> dict[str, Any]:
    """What to write of a right password: nothing, most of the time. Nobody who was away for too long is back."""
    changes: dict[str, Any] = {"failed_logins": 0} if user.failed_logins else {}
    seen_today = user.active_at is not None and user.active_at.date() == now.date()
    if not seen_today and not is_idle(cloud, user, now):
        changes |= active_now(cloud, now)
    return changes
