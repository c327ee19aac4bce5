"""A row of the policy table, and how it is read: the only place where a role decides anything.

A route names the row that lets a caller in at all. Whose thing it is, and what an attribute may be,
needs state: the domain asks the same table then, by `may`, `check`, `require` and `reach` of a
`PolicySubject`.
`admin` implies `member` implies `reader`. A role on a domain or the system is none on any project's
things.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kumoi.policy.caller import PolicySubject


class Reach(enum.StrEnum):
    """On whose things."""

    ANY = "any"
    OWN = "own"
    NO = "no"


@dataclass(frozen=True, slots=True)
class Row:
    """What each may reach. `owner` is whoever has the thing, by project or as a user, with whatever
    role; for a rule about an attribute it is the owner of what the attribute is of. `service` is for
    those who act for users.
    """

    admin: Reach
    owner: Reach
    member: Reach
    reader: Reach
    service: Reach = Reach.NO

    def allows(self, caller: PolicySubject) -> bool:
        """Whether there may be anything that the caller could do it with."""
        return any(reach is not Reach.NO for reach in self._of(caller))

    def covers(
        self, caller: PolicySubject, project_id: str | None = None, user_id: str | None = None
    ) -> bool:
        """Whether the caller may do it with a thing of that project, or of that user."""
        owns = (project_id is not None and project_id == caller.project_id) or (
            user_id is not None and user_id == caller.user_id
        )
        return any(
            reach is Reach.ANY or (owns and reach is Reach.OWN) for reach in self._of(caller)
        )

    def _of(self, caller: PolicySubject) -> Iterator[Reach]:
        """What the caller's roles reach."""
        roles = caller.roles
        if "admin" in roles:
            yield self.admin
        yield self.owner
        if "service" in roles:
            yield self.service
        if caller.project_id is not None:
            is_member = "member" in roles or "admin" in roles
            if is_member:
                yield self.member
            if is_member or "reader" in roles:
                yield self.reader


ADMIN = Row(Reach.ANY, Reach.NO, Reach.NO, Reach.NO)
MEMBER = Row(Reach.ANY, Reach.NO, Reach.OWN, Reach.NO)
READER = Row(Reach.ANY, Reach.NO, Reach.OWN, Reach.OWN)
OWNER = Row(Reach.ANY, Reach.OWN, Reach.NO, Reach.NO)
OWNER_OR_SERVICE = Row(Reach.ANY, Reach.OWN, Reach.NO, Reach.NO, service=Reach.ANY)
ANYBODY = Row(Reach.ANY, Reach.ANY, Reach.ANY, Reach.ANY)
PROJECT_MEMBER = Row(Reach.OWN, Reach.NO, Reach.OWN, Reach.NO)
PROJECT_READER = Row(Reach.OWN, Reach.NO, Reach.OWN, Reach.OWN)
