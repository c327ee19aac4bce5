"""The part of an authenticated identity that rules decide by."""

from __future__ import annotations

from dataclasses import dataclass, field

from kumoi.base.errors import Forbidden, NotFound
from kumoi.policy.row import TokenScope
from kumoi.policy.table import TABLE


@dataclass(frozen=True, slots=True)
class PolicySubject:
    """`project_id` is None with a token that is not scoped to a project, `domain_id` with one that is not
    scoped to a domain; with `is_system` it is scoped to the system. `token_id` is its audit id.
    With `is_host` it is a host of the cloud: `user_id` is the host's name.

    A rule is the name of a row of the policy table. Its resource belongs to a project, to a user or to
    a domain; a rule that is about no resource is asked without any.
    """

    user_id: str
    project_id: str | None
    roles: frozenset[str]
    token_id: str = field(default="", kw_only=True)
    is_host: bool = field(default=False, kw_only=True)
    domain_id: str | None = field(default=None, kw_only=True)
    is_system: bool = field(default=False, kw_only=True)

    @property
    def scope(self) -> TokenScope:
        if self.is_system:
            return TokenScope.SYSTEM
        return TokenScope.PROJECT if self.domain_id is None else TokenScope.DOMAIN

    def may(
        self,
        rule: str,
        project_id: str | None = None,
        *,
        user_id: str | None = None,
        domain_id: str | None = None,
    ) -> bool:
        """Whether the rule allows this with a resource of that project, user or domain."""
        return TABLE[rule].covers(self, project_id, user_id, domain_id)

    def check(
        self,
        rule: str,
        project_id: str | None = None,
        *,
        user_id: str | None = None,
        domain_id: str | None = None,
    ) -> None:
        """Raises Forbidden unless `may`."""
        if not TABLE[rule].covers(self, project_id, user_id, domain_id):
            raise Forbidden(f"Policy doesn't allow {rule} to be performed.")

    def require(
        self, rule: str, noun: str, key: str, project_id: str | None, *, shared: bool = False
    ) -> None:
        """Raises NotFound unless `may`, or the resource is shared: a caller who may not see it must not
        learn that it exists.
        """
        if not (shared or TABLE[rule].covers(self, project_id)):
            raise NotFound(noun, key)

    def reach(self, rule: str) -> str | None:
        """The project whose resources a list shows to this caller; None is all projects."""
        return None if TABLE[rule].covers(self) else (self.project_id or "")

    def domain_reach(self, rule: str) -> str | None:
        """The domain whose resources a list shows to this caller; None is all domains."""
        return None if TABLE[rule].covers(self) else (self.domain_id or "")
