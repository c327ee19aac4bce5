"""Which roles a role implies, and which of them a token carries.

`admin` implies `manager`, that implies `member`, and that `reader`: that is how the policies read them, and it stays
so. Whatever else an operator adds is in the store. A role of a single domain is in no token, only the
roles that it implies are.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from sqlalchemy.engine import Connection

from kumoi.cloud.store.identity import implied_role
from kumoi.cloud.store.identity import role as roles
from kumoi.cloud.store.identity.role import IdentityRole

BUILT_IN: Mapping[str, tuple[str, ...]] = {
    "admin": ("manager",),
    "manager": ("member",),
    "member": ("reader",),
}


@dataclass(frozen=True, slots=True)
class RoleRules:
    """All roles by id, and the ids that each implies directly."""

    roles: Mapping[str, IdentityRole]
    implied: Mapping[str, tuple[str, ...]]

    def closure(self, role_ids: Iterable[str]) -> list[IdentityRole]:
        """The roles with these ids and those that they imply, ordered by name."""
        found: set[str] = set()
        waiting = [key for key in role_ids if key in self.roles]
        while waiting:
            key = waiting.pop()
            if key not in found:
                found.add(key)
                waiting += self.implied.get(key, ())
        return sorted((self.roles[key] for key in found), key=lambda role: role.name)

    def in_tokens(self, role_ids: Iterable[str]) -> list[IdentityRole]:
        """Those of the closure that are of no domain."""
        return [role for role in self.closure(role_ids) if role.domain_id is None]


def load(connection: Connection) -> RoleRules:
    by_id = {row.id: row for row in roles.every(connection)}
    ids = {row.name: row.id for row in by_id.values()}
    implied: dict[str, tuple[str, ...]] = {
        ids[name]: tuple(ids[each] for each in names if each in ids)
        for name, names in BUILT_IN.items()
        if name in ids
    }
    for rule in implied_role.every(connection):
        if {rule.prior_role_id, rule.implied_role_id} <= by_id.keys():
            before = implied.get(rule.prior_role_id, ())
            implied[rule.prior_role_id] = (*before, rule.implied_role_id)
    return RoleRules(by_id, implied)
