"""Members: what is allowed. A member is an address and port that a pool gives connections to."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy.engine import Connection

from kumoi.base.errors import Conflict, NotFound
from kumoi.cloud.domain.caller import Caller
from kumoi.cloud.domain.load_balancer import pool as pool_domain
from kumoi.cloud.domain.load_balancer import quota
from kumoi.cloud.domain.load_balancer.part import PartRules, beginning, said_of
from kumoi.cloud.domain.load_balancer.refusal import invalid, option
from kumoi.cloud.domain.network import subnet as subnet_domain
from kumoi.cloud.store.load_balancer import member as store
from kumoi.cloud.store.load_balancer.member import PoolMember
from kumoi.cloud.store.load_balancer.pool import BalancerPool
from kumoi.cloud.store.network import tag as tag_store
from kumoi.cloud.store.network.standard import NetworkQuery

RULES = PartRules("member", "Member", store.TABLE, "pool_id")
METADATA_ADDRESS = "169.254.169.254"


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberRequest:
    address: str
    protocol_port: int
    name: str = ""
    admin_state_up: bool = True
    weight: int = 1
    backup: bool = False
    subnet_id: str | None = None
    monitor_address: str | None = None
    monitor_port: int | None = None
    address_text: str | None = None
    monitor_address_text: str | None = None
    tags: tuple[str, ...] = ()

    @property
    def end(self) -> tuple[str, int]:
        return (self.address, self.protocol_port)


def create(
    connection: Connection, caller: Caller, pool_id: str, wanted: MemberRequest, now: datetime
) -> PoolMember:
    """Raises NotFound, Forbidden, OverQuota, Invalid, and Conflict when the pool has it already."""
    pool = pool_domain.found(connection, pool_id)
    RULES.admit(connection, caller, pool.project_id)
    _require_subnet(connection, caller, wanted.subnet_id)
    if store.find(
        connection, pool_id=pool.id, address=wanted.address, protocol_port=wanted.protocol_port
    ):
        raise Conflict(
            f"Another member on this pool is already using ip {wanted.address} on protocol_port "
            f"{wanted.protocol_port}"
        )
    return _make_all(connection, caller, pool, [wanted], now)[0]


def create_all(
    connection: Connection,
    caller: Caller,
    pool_id: str,
    wanted: Sequence[MemberRequest],
    now: datetime,
) -> None:
    """Of a pool that was just made. Raises as `create` does."""
    pool = pool_domain.found(connection, pool_id)
    _require_once(wanted)
    RULES.admit(connection, caller, pool.project_id, count=len(wanted))
    _make_all(connection, caller, pool, wanted, now)


def get(
    connection: Connection, caller: Caller, pool_id: str, key: str, action: str = "get_one"
) -> PoolMember:
    """Raises NotFound, also where the pool is not there; Forbidden when it is another's."""
    pool_domain.found(connection, pool_id)
    return RULES.get(connection, caller, pool_id, key, action=action)


def page(
    connection: Connection, caller: Caller, pool_id: str, query: NetworkQuery
) -> list[PoolMember]:
    """Of one pool."""
    pool = pool_domain.found(connection, pool_id)
    caller.check(f"{RULES.rule}:get_all", pool.project_id)
    return store.TABLE.page(connection, query, pool_id=pool_id)


def update(
    connection: Connection,
    caller: Caller,
    pool_id: str,
    key: str,
    values: Mapping[str, Any],
    *,
    now: datetime,
) -> PoolMember:
    row = get(connection, caller, pool_id, key, "put")
    store.update(connection, row, now=now, **values)
    return RULES.found(connection, pool_id, key)


def delete(connection: Connection, caller: Caller, pool_id: str, key: str, now: datetime) -> None:
    store.delete(connection, get(connection, caller, pool_id, key, "delete"), now=now)


def replace_all(
    connection: Connection,
    caller: Caller,
    pool_id: str,
    wanted: Sequence[MemberRequest],
    now: datetime,
    *,
    additive: bool,
) -> None:
    """Those with the same address and port are changed, others made; whoever is not named goes,
    unless it is `additive`.
    """
    pool = pool_domain.found(connection, pool_id)
    for action in ("post", "put") if additive else ("post", "put", "delete"):
        caller.check(f"{RULES.rule}:{action}", pool.project_id)
    there = {
        (row.address, row.protocol_port): row for row in store.find(connection, pool_id=pool_id)
    }
    _require_once(wanted)
    new = [one for one in wanted if one.end not in there]
    named = {one.end for one in wanted}
    gone = [] if additive else [row for end, row in there.items() if end not in named]
    if len(new) > len(gone):
        quota.require(connection, pool.project_id, "member", len(new) - len(gone))
    store.delete_all(connection, gone, now=now)
    changes = [
        (there[one.end], _changed(there[one.end], one)) for one in wanted if one.end in there
    ]
    store.update_all(connection, [change for change in changes if change[1]], now=now)
    _make_all(connection, caller, pool, new, now)


def canonical(address: str) -> str:
    """Raises Invalid."""
    try:
        return str(ipaddress.ip_address(address))
    except ValueError as cause:
        raise option(address, "address") from cause


def _changed(row: PoolMember, wanted: MemberRequest) -> dict[str, Any]:
    """The columns that are to be otherwise."""
    said = said_of(wanted)
    values = {name: said[name] for name in said if said[name] != getattr(row, name)}
    values.pop("subnet_id", None)
    return values


def _require_once(wanted: Sequence[MemberRequest]) -> None:
    if len({one.end for one in wanted}) < len(wanted):
        raise invalid("Member must be updated only once in the same request.")


def _make_all(
    connection: Connection,
    caller: Caller,
    pool: BalancerPool,
    wanted: Sequence[MemberRequest],
    now: datetime,
) -> list[PoolMember]:
    """Members that the pool does not have, within the quota. Raises Invalid, OverQuota."""
    RULES.require_room(connection, pool.load_balancer_id, len(wanted))
    for subnet_id in {one.subnet_id for one in wanted}:
        _require_subnet(connection, caller, subnet_id)
    rows = [_row(pool, one, now) for one in wanted]
    store.insert_all(connection, rows)
    tags = {row.id: one.tags for row, one in zip(rows, wanted, strict=True)}
    tag_store.insert_all(connection, tags)
    return rows


def _row(pool: BalancerPool, wanted: MemberRequest, now: datetime) -> PoolMember:
    """Raises Invalid."""
    if wanted.address == METADATA_ADDRESS:
        raise option(wanted.address, "member address")
    return PoolMember(
        **beginning(pool.load_balancer_id, pool.project_id, now),
        **said_of(wanted),
        description="",
        pool_id=pool.id,
        health=None,
    )


def _require_subnet(connection: Connection, caller: Caller, subnet_id: str | None) -> None:
    if subnet_id is None:
        return
    try:
        subnet_domain.get(connection, caller, subnet_id)
    except NotFound as cause:
        raise invalid(f"Subnet {subnet_id} not found.") from cause
