"""A row of the policy table, and how it is read: the only place where a role decides anything.

A route names the row by which a caller is let in at all. Decisions that need state, such as whose
resource it is, are the domain's: it asks the same table by `may`, `check`, `require` and `reach` of a
`PolicySubject`. `admin` implies `manager` implies `member` implies `reader`.

A role counts where the token is for. Design note 0018 says which scope gives access to what.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kumoi.policy.caller import PolicySubject


class Reach(enum.StrEnum):
    """Whose resources a role gives access to. `OWN` are those of the token's project, user or domain."""

    ANY = "any"
    OWN = "own"
    NO = "no"


class TokenScope(enum.StrEnum):
    """What a token is for. One without a scope counts as a project's, with no role."""

    PROJECT = "project"
    DOMAIN = "domain"
    SYSTEM = "system"


PROJECT = frozenset({TokenScope.PROJECT})
SYSTEM_OR_PROJECT = frozenset({TokenScope.SYSTEM, TokenScope.PROJECT})
ANY_SCOPE = frozenset(TokenScope)


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """The reach of each role, for tokens of these `scopes`; another one is let do nothing.

    `admin` is the cloud's: role admin on the system or on a project. `system_admin` and `system_reader`
    are roles on the system alone. `domain_manager` (role manager or admin) and `domain_reader` are
    roles on a domain, which reach what is in it. `owner` is the project or user that the resource
    belongs to, with any role; for a rule about an attribute, the owner of the resource that has the
    attribute. `service` is for services that act for users, `host` for a host of the cloud, which its
    certificate proves: no role makes a caller a host, and a host has no role.
    """

    admin: Reach = Reach.NO
    system_admin: Reach = Reach.NO
    system_reader: Reach = Reach.NO
    domain_manager: Reach = Reach.NO
    domain_reader: Reach = Reach.NO
    owner: Reach = Reach.NO
    member: Reach = Reach.NO
    reader: Reach = Reach.NO
    service: Reach = Reach.NO
    host: Reach = Reach.NO
    scopes: frozenset[TokenScope] = PROJECT

    def allows(self, caller: PolicySubject) -> bool:
        """Whether the caller may do it with any resource at all."""
        columns = (*self._of(caller), *self._of_domain(caller))
        return any(reach is not Reach.NO for reach in columns)

    def covers(
        self,
        caller: PolicySubject,
        project_id: str | None = None,
        user_id: str | None = None,
        domain_id: str | None = None,
    ) -> bool:
        """Whether the caller may do it with a resource of that project, of that user, or in that domain."""
        owns = (project_id is not None and project_id == caller.project_id) or (
            user_id is not None and user_id == caller.user_id
        )
        within = domain_id is not None and domain_id == caller.domain_id
        return any(
            reach is Reach.ANY or (owns and reach is Reach.OWN) for reach in self._of(caller)
        ) or any(
            reach is Reach.ANY or (within and reach is Reach.OWN)
            for reach in self._of_domain(caller)
        )

    def _of(self, caller: PolicySubject) -> Iterator[Reach]:
        """The reach of each of the caller's roles but those on a domain."""
        if caller.is_host:
            yield self.host
        elif caller.scope in self.scopes:
            yield self.owner
            if "service" in caller.roles:
                yield self.service
            if caller.scope is not TokenScope.DOMAIN:
                yield from self._of_cloud(caller)

    def _of_cloud(self, caller: PolicySubject) -> Iterator[Reach]:
        """The reach of each of the caller's roles on a project or the system."""
        is_admin, is_reader = "admin" in caller.roles, not caller.roles.isdisjoint(READERS)
        if is_admin:
            yield self.admin
        if not caller.roles.isdisjoint(MEMBERS):
            yield self.member
        if is_reader:
            yield self.reader
        if caller.scope is TokenScope.SYSTEM:
            yield self.system_admin if is_admin else Reach.NO
            yield self.system_reader if is_reader else Reach.NO

    def _of_domain(self, caller: PolicySubject) -> Iterator[Reach]:
        """The reach of each of the caller's roles on a domain."""
        if caller.scope is not TokenScope.DOMAIN or caller.scope not in self.scopes:
            return
        if not caller.roles.isdisjoint(MANAGERS):
            yield self.domain_manager
        if not caller.roles.isdisjoint(READERS):
            yield self.domain_reader


POWERFUL = frozenset({"admin", "service"})  # They reach beyond what the token is for.
MANAGED_ROLES = frozenset({"manager", "member", "reader"})  # What a domain's manager may give.
MANAGERS = frozenset({"admin", "manager"})
MEMBERS = MANAGERS | {"member"}
READERS = MEMBERS | {"reader"}

HOST_ITSELF = Row(host=Reach.OWN)
ADMIN = Row(admin=Reach.ANY)
MEMBER = Row(admin=Reach.ANY, member=Reach.OWN)
READER = Row(admin=Reach.ANY, member=Reach.OWN, reader=Reach.OWN)
OWNER = Row(admin=Reach.ANY, owner=Reach.OWN)
ANYBODY = Row(admin=Reach.ANY, owner=Reach.ANY, member=Reach.ANY, reader=Reach.ANY)
PROJECT_MEMBER = Row(admin=Reach.OWN, member=Reach.OWN)
PROJECT_READER = Row(admin=Reach.OWN, member=Reach.OWN, reader=Reach.OWN)
