"""Who asks: the part of a valid token that rules look at."""

from __future__ import annotations

from dataclasses import dataclass

from kumoi.base.errors import NotFound


@dataclass(frozen=True, slots=True)
class Caller:
    """`project_id` is None with a token that is not scoped to a project."""

    user_id: str
    project_id: str | None
    roles: frozenset[str]
    request_id: str

    @property
    def is_admin(self) -> bool:
        return "admin" in self.roles

    def sees(self, project_id: str | None, *, shared: bool = False) -> bool:
        """Whether things of that project show to this caller."""
        return shared or self.is_admin or (project_id is not None and project_id == self.project_id)

    def require(self, noun: str, key: str, project_id: str | None, *, shared: bool = False) -> None:
        """Raises NotFound when it is another's: that it exists is nobody else's business."""
        if not self.sees(project_id, shared=shared):
            raise NotFound(noun, key)
