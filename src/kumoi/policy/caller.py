"""Who asks: the part of a proven identity that rules look at."""

from __future__ import annotations

from dataclasses import dataclass, field

from kumoi.base.errors import Forbidden, NotFound
from kumoi.policy.table import TABLE


@dataclass(frozen=True, slots=True)
class PolicySubject:
    """`project_id` is None with a token that is not scoped to a project; `token_id` is its audit id.

    The rules that these ask are rows of the table. A thing belongs to a project, or to a user; a
    rule about nothing of anybody's is asked without either.
    """

    user_id: str
    project_id: str | None
    roles: frozenset[str]
    token_id: str = field(default="", kw_only=True)

    def may(self, rule: str, project_id: str | None = None, *, user_id: str | None = None) -> bool:
        """Whether this caller may do that with a thing of that project or user."""
        return TABLE[rule].covers(self, project_id, user_id)

    def check(
        self, rule: str, project_id: str | None = None, *, user_id: str | None = None
    ) -> None:
        """Raises Forbidden."""
        if not TABLE[rule].covers(self, project_id, user_id):
            raise Forbidden(f"Policy doesn't allow {rule} to be performed.")

    def require(
        self, rule: str, noun: str, key: str, project_id: str | None, *, shared: bool = False
    ) -> None:
        """Raises NotFound when it is another's: that it exists is nobody else's business."""
        if not (shared or TABLE[rule].covers(self, project_id)):
            raise NotFound(noun, key)

    def reach(self, rule: str) -> str | None:
        """Whose things a list shows: those of a project, or of all for None."""
        return None if TABLE[rule].covers(self) else (self.project_id or "")
