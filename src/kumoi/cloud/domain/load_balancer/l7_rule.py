"""L7 rules: what is allowed. A rule is what a policy asks of a request."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy.engine import Connection

from kumoi.cloud.domain.caller import Caller
from kumoi.cloud.domain.load_balancer import http_text
from kumoi.cloud.domain.load_balancer import l7_policy as policy_domain
from kumoi.cloud.domain.load_balancer.part import PartRules, beginning, said_of
from kumoi.cloud.store.load_balancer import l7_rule as store
from kumoi.cloud.store.load_balancer.l7_rule import L7Rule
from kumoi.cloud.store.network.standard import NetworkQuery

RULES = PartRules("l7rule", "L7Rule", store.TABLE, "l7policy_id")


@dataclass(frozen=True, slots=True, kw_only=True)
class L7RuleRequest:
    type: str
    compare_type: str
    value: str
    key: str | None = None
    invert: bool = False
    admin_state_up: bool = True
    tags: tuple[str, ...] = ()


def create(
    connection: Connection, caller: Caller, policy_id: str, wanted: L7RuleRequest, now: datetime
) -> L7Rule:
    """Raises NotFound, Forbidden, OverQuota, Invalid."""
    policy = policy_domain.found(connection, policy_id)
    RULES.admit(connection, caller, policy.project_id)
    row = L7Rule(
        **beginning(policy.load_balancer_id, policy.project_id, now),
        **said_of(wanted),
        name="",
        description="",
        l7policy_id=policy_id,
    )
    http_text.require_rule(row)
    return RULES.insert(connection, row, wanted.tags)


def get(
    connection: Connection, caller: Caller, policy_id: str, key: str, action: str = "get_one"
) -> L7Rule:
    """Raises NotFound, also where the policy is not there; Forbidden when it is another's."""
    policy_domain.found(connection, policy_id)
    return RULES.get(connection, caller, policy_id, key, action=action)


def page(
    connection: Connection, caller: Caller, policy_id: str, query: NetworkQuery
) -> list[L7Rule]:
    """Of one policy."""
    policy = policy_domain.found(connection, policy_id)
    caller.check(f"{RULES.rule}:get_all", policy.project_id)
    return store.TABLE.page(connection, query, l7policy_id=policy_id)


def update(
    connection: Connection,
    caller: Caller,
    policy_id: str,
    key: str,
    values: Mapping[str, Any],
    *,
    now: datetime,
) -> L7Rule:
    row = get(connection, caller, policy_id, key, "put")
    http_text.require_rule(replace(row, **values))
    store.update(connection, row, now=now, **values)
    return RULES.found(connection, policy_id, key)


def delete(connection: Connection, caller: Caller, policy_id: str, key: str, now: datetime) -> None:
    store.delete(connection, get(connection, caller, policy_id, key, "delete"), now=now)
