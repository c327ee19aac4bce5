"""Who may call what: one rule per policy name, beside the route table that names it.

A rule looks at the caller's roles only. Whose thing it is, the domain asks (Caller.require): what
is another's answers 404. `admin` implies `member` implies `reader`.
"""

from __future__ import annotations

from collections.abc import Callable

from kumoi.base.errors import Forbidden
from kumoi.cloud.domain.caller import Caller

Rule = Callable[[Caller], bool]


def anybody(_caller: Caller) -> bool:
    """With a valid token, whatever its scope."""
    return True


def reader(caller: Caller) -> bool:
    return bool(caller.roles & {"reader", "member", "admin"})


def member(caller: Caller) -> bool:
    return bool(caller.roles & {"member", "admin"})


def admin(caller: Caller) -> bool:
    return caller.is_admin


def check(policies: dict[str, Rule], policy: str, caller: Caller) -> None:
    """Raises Forbidden."""
    if not policies[policy](caller):
        raise Forbidden(f"Policy doesn't allow {policy} to be performed.")
