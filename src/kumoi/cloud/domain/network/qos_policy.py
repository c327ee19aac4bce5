"""Policies of quality of service: what is allowed. A port has the policy that it names, or else its network's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy.engine import Connection

from kumoi.base.errors import Conflict, Forbidden, NotFound
from kumoi.base.ids import new_id
from kumoi.cloud.domain.caller import Caller
from kumoi.cloud.store.network import network as network_store
from kumoi.cloud.store.network import port as port_store
from kumoi.cloud.store.network import qos_policy as store
from kumoi.cloud.store.network.qos_policy import QosPolicy
from kumoi.cloud.store.network.standard import NetworkQuery


@dataclass(frozen=True, slots=True, kw_only=True)
class QosPolicyRequest:
    project_id: str
    name: str
    description: str = ""
    shared: bool = False
    is_default: bool = False


def create(
    connection: Connection, caller: Caller, wanted: QosPolicyRequest, now: datetime
) -> QosPolicy:
    """Raises Forbidden, and Conflict for a second default of the project."""
    caller.check("create_policy", wanted.project_id)
    if wanted.is_default:
        _require_only_default(connection, wanted.project_id)
    row = QosPolicy(
        id=new_id(),
        project_id=wanted.project_id,
        name=wanted.name,
        description=wanted.description,
        shared=wanted.shared,
        is_default=wanted.is_default,
        created_at=now,
        updated_at=now,
        revision_number=0,
    )
    store.insert(connection, row)
    return row


def get(connection: Connection, caller: Caller, key: str) -> QosPolicy:
    """Raises NotFound when there is no such policy that the caller may see."""
    row = store.get(connection, key)
    if row is None or not _sees(caller, row):
        raise NotFound(
            "QoS policy",
            key,
            kind="QosPolicyNotFound",
            message=f"QoS policy {key} could not be found.",
        )
    return row


def page(connection: Connection, caller: Caller, query: NetworkQuery) -> list[QosPolicy]:
    return store.page(connection, query, project_id=caller.reach("get_policy"))


def default(connection: Connection, project_id: str) -> str | None:
    """The id of the policy that new networks of the project have."""
    found = store.find(connection, project_id=project_id, is_default=True)
    return found[0].id if found else None


def update(
    connection: Connection, caller: Caller, key: str, values: Mapping[str, Any], now: datetime
) -> QosPolicy:
    """Raises NotFound, Forbidden, and Conflict for a second default of the project."""
    row = get(connection, caller, key)
    caller.check("update_policy", row.project_id)
    if values.get("is_default") and not row.is_default:
        _require_only_default(connection, row.project_id)
    store.update(connection, key, now=now, **values)
    return get(connection, caller, key)


def delete(connection: Connection, caller: Caller, key: str, _now: datetime) -> None:
    """Raises NotFound, Forbidden, and Conflict while a network or port has it."""
    caller.check("delete_policy", get(connection, caller, key).project_id)
    for what, found in (
        ("network", network_store.find(connection, qos_policy_id=key)),
        ("port", port_store.find(connection, qos_policy_id=key)),
    ):
        if found:
            raise Conflict(
                f"QoS Policy {key} is used by {what} {found[0].id}.", kind="QosPolicyInUse"
            )
    store.delete(connection, key)


def require_change(
    connection: Connection, caller: Caller, before: str | None, values: Mapping[str, Any]
) -> None:
    """What a network or port that has the policy `before` is to have. Raises NotFound for a policy that the
    caller does not see, Forbidden where that holds for the one that it has: an administrator gave it.
    """
    wanted = values.get("qos_policy_id", before)
    if wanted == before:
        return
    if wanted is not None:
        get(connection, caller, wanted)
    row = None if before is None else store.get(connection, before)
    if row is not None and not _sees(caller, row):
        raise Forbidden(f"You are not allowed to take away the QoS policy {before}.")


def _sees(caller: Caller, row: QosPolicy) -> bool:
    return row.shared or caller.may("get_policy", row.project_id)


def _require_only_default(connection: Connection, project_id: str) -> None:
    present = default(connection, project_id)
    if present is not None:
        raise Conflict(
            f"A default QoS policy exists for project {project_id}: {present}.",
            kind="QoSPolicyDefaultAlreadyExists",
        )
