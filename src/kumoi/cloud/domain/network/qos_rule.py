"""Rules of policies of quality of service: what is allowed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy.engine import Connection

from kumoi.base.errors import Conflict, NotFound
from kumoi.base.ids import new_id
from kumoi.cloud.domain.caller import Caller
from kumoi.cloud.domain.network import qos_policy
from kumoi.cloud.store.network import qos_policy as policy_store
from kumoi.cloud.store.network import qos_rule as store
from kumoi.cloud.store.network.qos_rule import QosKind, QosRule

EGRESS = "egress"
RULES = {
    QosKind.BANDWIDTH_LIMIT: {
        "create": "create_policy_bandwidth_limit_rule",
        "update": "update_policy_bandwidth_limit_rule",
        "delete": "delete_policy_bandwidth_limit_rule",
    },
    QosKind.DSCP_MARKING: {
        "create": "create_policy_dscp_marking_rule",
        "update": "update_policy_dscp_marking_rule",
        "delete": "delete_policy_dscp_marking_rule",
    },
}
"""What whoever changes a rule of a kind must be allowed to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class QosRuleRequest:
    """As the row of that kind; the API has checked the form of each field."""

    kind: QosKind
    direction: str | None = None
    max_kbps: int | None = None
    max_burst_kbps: int | None = None
    dscp_mark: int | None = None


def create(
    connection: Connection, caller: Caller, policy_id: str, wanted: QosRuleRequest, now: datetime
) -> QosRule:
    """Raises NotFound, Forbidden, and Conflict where the policy has such a rule."""
    _check(connection, caller, policy_id, "create", wanted.kind)
    row = QosRule(
        id=new_id(),
        qos_policy_id=policy_id,
        kind=wanted.kind.value,
        direction=wanted.direction,
        max_kbps=wanted.max_kbps,
        max_burst_kbps=wanted.max_burst_kbps,
        dscp_mark=wanted.dscp_mark,
    )
    _require_alone(connection, row)
    store.insert(connection, row)
    policy_store.update(connection, policy_id, now=now)
    return row


def get(connection: Connection, caller: Caller, policy_id: str, kind: QosKind, key: str) -> QosRule:
    """Raises NotFound for what is no rule of that kind of a policy that the caller may see."""
    qos_policy.get(connection, caller, policy_id)
    row = store.get(connection, key)
    if row is None or (row.qos_policy_id, row.kind) != (policy_id, kind):
        raise NotFound(
            "QoS rule",
            key,
            kind="QosRuleNotFound",
            message=f"QoS rule {key} for policy {policy_id} could not be found.",
        )
    return row


def of_policy(
    connection: Connection, caller: Caller, policy_id: str, kind: QosKind
) -> list[QosRule]:
    """Raises NotFound."""
    qos_policy.get(connection, caller, policy_id)
    rows = store.of_policies(connection, [policy_id])[policy_id]
    return [row for row in rows if row.kind == kind]


def update(
    connection: Connection,
    caller: Caller,
    before: QosRule,
    values: Mapping[str, Any],
    now: datetime,
) -> QosRule:
    """Raises Forbidden, and Conflict where the policy has a rule like the changed one."""
    _check(connection, caller, before.qos_policy_id, "update", QosKind(before.kind))
    changed = replace(before, **values)
    _require_alone(connection, changed)
    store.update(connection, before.id, **values)
    policy_store.update(connection, before.qos_policy_id, now=now)
    return changed


def delete(connection: Connection, caller: Caller, row: QosRule, now: datetime) -> None:
    """Raises Forbidden."""
    _check(connection, caller, row.qos_policy_id, "delete", QosKind(row.kind))
    store.delete(connection, row.id)
    policy_store.update(connection, row.qos_policy_id, now=now)


def _check(
    connection: Connection, caller: Caller, policy_id: str, verb: str, kind: QosKind
) -> None:
    policy = qos_policy.get(connection, caller, policy_id)
    caller.check(RULES[kind][verb], policy.project_id)


def _require_alone(connection: Connection, row: QosRule) -> None:
    """One rule of a kind in a direction."""
    for other in store.of_policies(connection, [row.qos_policy_id])[row.qos_policy_id]:
        if other.id != row.id and (other.kind, other.direction) == (row.kind, row.direction):
            raise Conflict(
                f"Rule {row.kind} conflicts with rule {other.id} which already exists in QoS Policy "
                f"{row.qos_policy_id}.",
                kind="QoSRulesConflict",
            )
