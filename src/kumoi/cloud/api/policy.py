"""Who may call what: one rule per policy name, beside the route table that names it.

A rule looks at the caller's roles only. Whose thing it is, the domain asks (Caller.require): what
is another's answers 404. `admin` implies `member` implies `reader`.
"""

from __future__ import annotations

from collections.abc import Callable

from kumoi.cloud.domain.caller import Caller

Rule = Callable[[Caller], bool]


def anybody(_caller: Caller) -> bool:
    """With a valid token, whatever its scope."""
    return True


def reader(caller: Caller) -> bool:
    """In a project: a role on a domain or the system is none on any project's things."""
    return _has(caller, "reader") or member(caller)


def member(caller: Caller) -> bool:
    return _has(caller, "member") or admin(caller)


def admin(caller: Caller) -> bool:
    return caller.is_admin


def _has(caller: Caller, role: str) -> bool:
    return caller.project_id is not None and role in caller.roles
