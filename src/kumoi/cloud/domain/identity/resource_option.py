"""Options of users, projects, domains and roles, and attributes that only their owner understands.

`immutable` keeps a project, a domain or a role from being changed or deleted; `lock_password` keeps a
user from changing the own password; which methods a user's logins need, second_factor.py reads, and what
excepts a user from a rule about passwords, password_rules.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kumoi.base.errors import Forbidden, Invalid

IMMUTABLE = "immutable"
LOCK_PASSWORD = "lock_password"  # noqa: S105 - The name of an option.
MFA_ENABLED = "multi_factor_auth_enabled"
MFA_RULES = "multi_factor_auth_rules"
MFA_RULES_MAX = 32
USER_OPTIONS = (
    "ignore_change_password_upon_first_use",
    "ignore_password_expiry",
    "ignore_lockout_failure_attempts",
    "ignore_user_inactivity",
    LOCK_PASSWORD,
    MFA_ENABLED,
    MFA_RULES,
)
OTHERS = (IMMUTABLE,)


def merged(
    kept: Mapping[str, Any] | None, given: Mapping[str, Any], known: tuple[str, ...] = OTHERS
) -> dict[str, Any]:
    """The options after a change; null takes one away. Raises Invalid for an option that is not known, or
    is not true or false.
    """
    for name, value in given.items():
        if name not in known:
            raise Invalid(
                f"There is no option {name} here, only {', '.join(known)}", field=f"options.{name}"
            )
        if name == MFA_RULES and value is not None:
            _require_rules(value)
        elif value is not None and not isinstance(value, bool):
            raise Invalid(f"{name} must be true, false or null", field=f"options.{name}")
    both = {**(kept or {}), **given}
    return {name: value for name, value in both.items() if value is not None}


def _require_rules(value: Any) -> None:
    """Raises Invalid unless it is a list of lists of names of methods."""
    if (
        not isinstance(value, list)
        or len(value) > MFA_RULES_MAX
        or not all(_is_rule(rule) for rule in value)
    ):
        raise Invalid(
            f"{MFA_RULES} must be at most {MFA_RULES_MAX} lists of methods of login",
            field=f"options.{MFA_RULES}",
        )


def _is_rule(rule: Any) -> bool:
    names = rule if isinstance(rule, list) else []
    is_named = all(isinstance(name, str) and len(name) <= MFA_RULES_MAX for name in names)
    return 0 < len(names) <= MFA_RULES_MAX and is_named


def merge_into(
    values: dict[str, Any],
    *,
    options: Mapping[str, Any] | None,
    extra: Mapping[str, Any] | None,
    known: tuple[str, ...] = OTHERS,
) -> None:
    """What an update does to the options and to `extra`: what it does not name stays."""
    if "options" in values:
        values["options"] = merged(options, values["options"], known)
    if "extra" in values:
        values["extra"] = {**(extra or {}), **values["extra"]}


def require_mutable(
    noun: str, key: str, options: Mapping[str, Any] | None, values: Mapping[str, Any]
) -> None:
    """Raises Forbidden when it is immutable, unless the change is to end just that."""
    if not (options or {}).get(IMMUTABLE):
        return
    ends_it = set(values) == {"options"} and not values["options"].get(IMMUTABLE, True)
    if not ends_it:
        raise Forbidden(
            f"The {noun} {key} is immutable. Set its option 'immutable' to false, and nothing else, "
            "before you change it."
        )


def require_deletable(noun: str, key: str, options: Mapping[str, Any] | None) -> None:
    """Raises Forbidden when it is immutable."""
    if (options or {}).get(IMMUTABLE):
        raise Forbidden(
            f"The {noun} {key} is immutable. Set its option 'immutable' to false before you delete it."
        )
