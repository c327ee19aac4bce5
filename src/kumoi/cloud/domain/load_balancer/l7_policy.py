"""L7 policies: what is allowed. A policy says what becomes of a listener's requests that all its rules fit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy.engine import Connection

from kumoi.base.errors import Invalid, Unsupported
from kumoi.cloud.domain.caller import Caller
from kumoi.cloud.domain.load_balancer import http_text
from kumoi.cloud.domain.load_balancer import listener as listener_domain
from kumoi.cloud.domain.load_balancer.part import PartRules, beginning, said_of
from kumoi.cloud.store.load_balancer import l7_policy as store
from kumoi.cloud.store.load_balancer import l7_rule as rule_store
from kumoi.cloud.store.load_balancer.l7_policy import L7Policy
from kumoi.cloud.store.load_balancer.listener import BalancerListener

RULES = PartRules("l7policy", "L7Policy", store.TABLE)
found = RULES.found
get = RULES.get
page = RULES.page
LAST = 2_147_483_647
TARGETS = {
    "REDIRECT_TO_POOL": "redirect_pool_id",
    "REDIRECT_TO_URL": "redirect_url",
    "REDIRECT_PREFIX": "redirect_prefix",
}
"""Where each action leads; REJECT leads nowhere."""
REJECT = "REJECT"
POOL = "redirect_pool_id"
FOUND = 302
OF_HTTP = ("HTTP", "TERMINATED_HTTPS")


@dataclass(frozen=True, slots=True, kw_only=True)
class L7PolicyRequest:
    listener_id: str
    action: str
    name: str = ""
    description: str = ""
    admin_state_up: bool = True
    position: int = LAST
    redirect_pool_id: str | None = None
    redirect_url: str | None = None
    redirect_prefix: str | None = None
    redirect_http_code: int | None = None
    tags: tuple[str, ...] = ()


def create(
    connection: Connection, caller: Caller, wanted: L7PolicyRequest, now: datetime
) -> L7Policy:
    """Raises NotFound, Forbidden, OverQuota, Invalid, Unsupported."""
    listener = listener_domain.found(connection, wanted.listener_id)
    RULES.admit(connection, caller, listener.project_id)
    if listener.protocol not in OF_HTTP:
        raise Unsupported(
            f"L7 policies are not offered for {listener.protocol} listeners: nothing there looks "
            "into HTTP"
        )
    said = said_of(wanted)
    said |= settled(said)
    row = L7Policy(**beginning(listener.load_balancer_id, listener.project_id, now), **said)
    _require_pool(connection, listener, row)
    mates = store.find(connection, listener_id=listener.id)
    kept = RULES.insert(connection, replace(row, position=len(mates) + 1), wanted.tags)
    _place(connection, kept, wanted.position, now)
    return found(connection, row.id)


def update(
    connection: Connection, caller: Caller, key: str, values: Mapping[str, Any], now: datetime
) -> L7Policy:
    row = get(connection, caller, key, action="put")
    changed = dict(values)
    position = changed.pop("position", None)
    changed |= settled(changed)
    _require_pool(
        connection, listener_domain.found(connection, row.listener_id), replace(row, **changed)
    )
    store.update(connection, row, now=now, **changed)
    if position is not None:
        _place(connection, row, position, now)
    return found(connection, key)


def delete(connection: Connection, caller: Caller, key: str, now: datetime) -> None:
    """With its rules. Those after it move up."""
    row = get(connection, caller, key, action="delete")
    for rule in rule_store.find(connection, l7policy_id=key):
        rule_store.delete(connection, rule, now=now)
    store.delete(connection, row, now=now)
    _number(connection, _in_order(connection, row.listener_id), now)


def settled(said: Mapping[str, Any]) -> dict[str, Any]:
    """The action and where it leads, and nothing of other actions; empty where neither is said.
    Raises Invalid.
    """
    action = said.get("action")
    if action == REJECT:
        return {"action": REJECT, **dict.fromkeys(TARGETS.values()), "redirect_http_code": None}
    given = [name for name in TARGETS.values() if said.get(name)]
    if POOL in given and len(given) > 1:
        raise _arguments(
            "Cannot specify redirect_pool_id and redirect_url or redirect_prefix at the same time"
        )
    target = TARGETS.get(str(action)) or (given[-1] if given else None)
    if target is None:
        return {}
    if not said.get(target):
        raise _arguments(f"{target} must not be None")
    action = next(name for name, leads in TARGETS.items() if leads == target)
    if target != POOL:
        http_text.require_url(said[target])
    code = None if target == POOL else said.get("redirect_http_code") or FOUND
    led = {name: said[name] if name == target else None for name in TARGETS.values()}
    return {"action": action, **led, "redirect_http_code": code}


def _arguments(reason: str) -> Invalid:
    return Invalid(f"Invalid L7 Policy arguments: {reason}", field="action")


def _require_pool(connection: Connection, listener: BalancerListener, row: L7Policy) -> None:
    if row.redirect_pool_id is not None:
        pool = listener_domain.pool_within(connection, listener, row.redirect_pool_id)
        listener_domain.require_served(connection, listener, pool)
    else:
        listener_domain.require_served(connection, listener)


def _in_order(connection: Connection, listener_id: str) -> list[L7Policy]:
    return sorted(store.find(connection, listener_id=listener_id), key=lambda row: row.position)


def _place(connection: Connection, row: L7Policy, position: int, now: datetime) -> None:
    """At that place, or the last; the others keep their order."""
    others = [each for each in _in_order(connection, row.listener_id) if each.id != row.id]
    at = min(position - 1, len(others))
    _number(connection, [*others[:at], row, *others[at:]], now)


def _number(connection: Connection, rows: Sequence[L7Policy], now: datetime) -> None:
    for position, row in enumerate(rows, start=1):
        if row.position != position:
            store.update(connection, row, now=now, position=position)
