"""Who may see, list, open and delete what is kept. Called by the nouns beside it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, TypeVar

from sqlalchemy.engine import Connection

from kumoi.base.errors import Forbidden, NotFound, OverQuota
from kumoi.cloud.domain.caller import Caller
from kumoi.cloud.store.key_manager.kept import Kept, KeptPage, KeptTable

KEPT_MAX = 10_000
"""Of one kind and project."""
PROJECT = "project-access"
Row = TypeVar("Row", bound=Kept)


@dataclass(frozen=True, slots=True)
class KeptRules(Generic[Row]):
    """`word` is the noun in the names of its rules. Of an ACL, `users` may read it in whatever project
    they are; without project access its project may not, but for who made it.
    """

    word: str
    table: KeptTable[Row]

    def admit(self, connection: Connection, caller: Caller) -> str:
        """The project that one more is made in. Raises Forbidden, OverQuota."""
        project_id = caller.project_id
        if project_id is None:
            raise Forbidden(f"a {self.word} is made in a project")
        if self.table.count(connection, project_id) >= KEPT_MAX:
            raise OverQuota(f"a project has at most {KEPT_MAX} of {self.word}", resource=self.word)
        return project_id

    def found(self, connection: Connection, key: str) -> Row:
        row = self.table.get(connection, key)
        if row is None:
            raise NotFound(self.word, key, message=f"{self.word.capitalize()} not found.")
        return row

    def readable(
        self, connection: Connection, caller: Caller, key: str, action: str = "get"
    ) -> Row:
        """Raises NotFound, Forbidden."""
        row = self.found(connection, key)
        said = (row.acl or {}).get("read", {})
        if caller.user_id in said.get("users", ()):
            return row
        caller.check(f"{self.word}:{action}", row.project_id)
        if said.get(PROJECT) is False and caller.user_id != row.creator_id:
            raise Forbidden(f"{self.word} {key} is private")
        return row

    def owned(self, connection: Connection, caller: Caller, key: str, action: str) -> Row:
        """Raises NotFound, Forbidden."""
        row = self.found(connection, key)
        caller.check(f"{self.word}:{action}", row.project_id)
        return row

    def page(
        self,
        connection: Connection,
        caller: Caller,
        filters: Mapping[str, str],
        *,
        limit: int,
        offset: int,
    ) -> KeptPage[Row]:
        """Of the caller's project."""
        own = {**filters, "project_id": caller.project_id or ""}
        return self.table.page(connection, own, limit=limit, offset=offset)

    def delete(self, connection: Connection, caller: Caller, key: str) -> None:
        self.owned(connection, caller, key, "delete")
        self.table.delete(connection, key)

    def set_acl(
        self,
        connection: Connection,
        caller: Caller,
        key: str,
        acl: dict[str, Any] | None,
        now: datetime,
    ) -> None:
        self.owned(connection, caller, key, "put_acl")
        self.table.update(connection, key, {"acl": acl, "updated_at": now})
