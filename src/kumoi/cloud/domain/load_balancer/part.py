"""What is allowed with any part of a balancer: to see, list and delete it, and what a new one begins with.

Called by the nouns beside it and by the API, through them.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any, Generic, TypeVar

from sqlalchemy.engine import Connection

from kumoi.base.errors import OverQuota
from kumoi.base.ids import new_id
from kumoi.cloud.domain.caller import Caller
from kumoi.cloud.domain.load_balancer import quota
from kumoi.cloud.domain.load_balancer.refusal import not_found
from kumoi.cloud.store.load_balancer import load_balancer as balancer_store
from kumoi.cloud.store.load_balancer.load_balancer import LoadBalancer
from kumoi.cloud.store.load_balancer.part import BalancerPart, PartTable
from kumoi.cloud.store.network import tag as tag_store
from kumoi.cloud.store.network.standard import NetworkQuery

RULES = "os_load-balancer_api"
MOST = {
    "listener": 50,
    "pool": 100,
    "member": 1_000,
    "healthmonitor": 100,
    "l7policy": 200,
    "l7rule": 1_000,
}
"""Of one balancer, whatever its project's quota: it is loaded, planned and sent to its host as a whole."""
Row = TypeVar("Row", bound=BalancerPart)


@dataclass(frozen=True, slots=True)
class PartRules(Generic[Row]):
    """`word` is the noun in the names of its rules and of its quota, `noun` the one in refusals, and
    `parent` the column that names what it is within, for members and L7 rules.
    """

    word: str
    noun: str
    table: PartTable[Row]
    parent: str | None = None

    @property
    def rule(self) -> str:
        return f"{RULES}:{self.word}"

    def found(self, connection: Connection, *keys: str) -> Row:
        """Raises NotFound, also for one of another parent."""
        row = self.table.get(connection, keys[-1])
        is_elsewhere = self.parent is not None and getattr(row, self.parent, None) != keys[0]
        if row is None or is_elsewhere:
            raise not_found(self.noun, keys[-1])
        return row

    def get(
        self, connection: Connection, caller: Caller, *keys: str, action: str = "get_one"
    ) -> Row:
        """Raises NotFound; Forbidden when it is another's."""
        row = self.found(connection, *keys)
        caller.check(f"{self.rule}:{action}", row.project_id)
        return row

    def page(self, connection: Connection, caller: Caller, query: NetworkQuery) -> list[Row]:
        reach = caller.reach(f"{self.rule}:get_all")
        return self.table.page(connection, query, project_id=reach)

    def delete(self, connection: Connection, caller: Caller, *keys: str, now: datetime) -> None:
        row = self.get(connection, caller, *keys, action="delete")
        self.table.delete(connection, row, now=now)

    def admit(
        self, connection: Connection, caller: Caller, project_id: str, *, count: int = 1
    ) -> None:
        """That so many more may be made. Raises Forbidden, OverQuota."""
        caller.check(f"{self.rule}:post", project_id)
        quota.require(connection, project_id, self.word, count)

    def require_room(self, connection: Connection, balancer_id: str, count: int = 1) -> None:
        """Raises OverQuota where the balancer would have too many."""
        most = MOST[self.word]
        if self.table.count_of_balancer(connection, balancer_id) + count > most:
            raise OverQuota(
                f"{self.noun}: a load balancer has {most} of them at most", resource=self.word
            )

    def insert(self, connection: Connection, row: Row, tags: tuple[str, ...]) -> Row:
        """The row as it is kept. Raises OverQuota where its balancer has too many."""
        self.require_room(connection, row.load_balancer_id)
        self.table.insert(connection, row)
        tag_store.insert_all(connection, {row.id: tags})
        kept = self.table.get(connection, row.id)
        return row if kept is None else kept


def balancer_of(connection: Connection, key: str) -> LoadBalancer:
    """Raises NotFound."""
    row = balancer_store.get(connection, key)
    if row is None:
        raise not_found("Load Balancer", key)
    return row


def beginning(balancer_id: str, project_id: str, now: datetime) -> dict[str, Any]:
    """The columns of a new part that do not depend on what it is."""
    return {
        "id": new_id(),
        "project_id": project_id,
        "load_balancer_id": balancer_id,
        "made_revision": 0,
        "changed_revision": 0,
        "created_at": now,
        "updated_at": now,
        "revision_number": 1,
    }


def said_of(wanted: Any, *others: str) -> dict[str, Any]:
    """The columns that a request names; its tags and `others` are none."""
    names = [field.name for field in fields(wanted)]
    return {name: getattr(wanted, name) for name in names if name not in ("tags", *others)}
