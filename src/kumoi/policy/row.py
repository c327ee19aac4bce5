"""A row of the policy table, and how it is read: the only place where a role decides anything.

A route names the row by which a caller is let in at all. Decisions that need state, such as whose
resource it is, are the domain's: it asks the same table by `may`, `check`, `require` and `reach` of a
`PolicySubject`. `admin` implies `member` implies `reader`. A role on a domain or the system gives no
access to resources of projects.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kumoi.policy.caller import PolicySubject


class Reach(enum.StrEnum):
    """Whose resources a role gives access to."""

    ANY = "any"
    OWN = "own"
    NO = "no"


@dataclass(frozen=True, slots=True)
class Row:
    """The reach of each role. `owner` is the project or user that the resource belongs to, with any
    role; for a rule about an attribute, the owner of the resource that has the attribute. `service`
    is for services that act for users, `host` for a host of the cloud, which its certificate proves: no
    role makes a caller a host, and a host has no role.
    """

    admin: Reach
    owner: Reach
    member: Reach
    reader: Reach
    service: Reach = Reach.NO
    host: Reach = Reach.NO

    def allows(self, caller: PolicySubject) -> bool:
        """Whether the caller may do it with any resource at all."""
        return any(reach is not Reach.NO for reach in self._of(caller))

    def covers(
        self, caller: PolicySubject, project_id: str | None = None, user_id: str | None = None
    ) -> bool:
        """Whether the caller may do it with a resource of that project, or of that user."""
        owns = (project_id is not None and project_id == caller.project_id) or (
            user_id is not None and user_id == caller.user_id
        )
        return any(
            reach is Reach.ANY or (owns and reach is Reach.OWN) for reach in self._of(caller)
        )

    def _of(self, caller: PolicySubject) -> Iterator[Reach]:
        """The reach of each of the caller's roles."""
        if caller.is_host:
            yield self.host
            return
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


HOST_ITSELF = Row(Reach.NO, Reach.NO, Reach.NO, Reach.NO, host=Reach.OWN)
ADMIN = Row(Reach.ANY, Reach.NO, Reach.NO, Reach.NO)
MEMBER = Row(Reach.ANY, Reach.NO, Reach.OWN, Reach.NO)
READER = Row(Reach.ANY, Reach.NO, Reach.OWN, Reach.OWN)
OWNER = Row(Reach.ANY, Reach.OWN, Reach.NO, Reach.NO)
ADMIN_OR_SERVICE = Row(Reach.ANY, Reach.NO, Reach.NO, Reach.NO, service=Reach.ANY)
OWNER_OR_SERVICE = Row(Reach.ANY, Reach.OWN, Reach.NO, Reach.NO, service=Reach.ANY)
ANYBODY = Row(Reach.ANY, Reach.ANY, Reach.ANY, Reach.ANY)
PROJECT_MEMBER = Row(Reach.OWN, Reach.NO, Reach.OWN, Reach.NO)
PROJECT_READER = Row(Reach.OWN, Reach.NO, Reach.OWN, Reach.OWN)
