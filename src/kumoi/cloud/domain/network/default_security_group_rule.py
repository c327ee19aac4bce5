"""Rules that new security groups are made with: what is allowed. A change counts for groups made after it."""

from __future__ import annotations

from dataclasses import dataclass, fields
from datetime import datetime

from sqlalchemy.engine import Connection

from kumoi.base.errors import Conflict, Invalid, NotFound
from kumoi.base.ids import new_id
from kumoi.cloud.domain.caller import Caller
from kumoi.cloud.domain.network import security_group_rule
from kumoi.cloud.domain.network.security_group_rule import SecurityGroupRuleRequest
from kumoi.cloud.store.network import default_security_group_rule as store
from kumoi.cloud.store.network.default_security_group_rule import (
    PARENT,
    DefaultSecurityGroupRule,
)
from kumoi.cloud.store.network.standard import NetworkQuery

RULES_MAX = 50  # Each is in every new group.
USES = ("used_in_default_sg", "used_in_non_default_sg")
"""The kinds of groups that a rule can be for."""
NOT_TRAFFIC = frozenset(
    {"id", "project_id", "description", "created_at", "updated_at", "revision_number", *USES}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class DefaultSecurityGroupRuleRequest:
    project_id: str
    direction: str
    ethertype: str = "IPv4"
    protocol: str | None = None
    port_range_min: int | None = None
    port_range_max: int | None = None
    remote_ip_prefix: str | None = None
    remote_group_id: str | None = None
    description: str = ""
    used_in_default_sg: bool = False
    used_in_non_default_sg: bool = True


def create(
    connection: Connection,
    caller: Caller,
    wanted: DefaultSecurityGroupRuleRequest,
    now: datetime,
) -> DefaultSecurityGroupRule:
    """Raises Forbidden, Invalid for what no rule of a group can be, Conflict for a second of the same for
    groups of one kind.
    """
    caller.check("create_default_security_group_rule", wanted.project_id)
    if wanted.remote_group_id not in (None, PARENT):
        raise Invalid(
            f"remote_group_id is '{PARENT}' or nothing: a group belongs to one project, and the rule is "
            "for the groups of all.",
            field="remote_group_id",
        )
    like = SecurityGroupRuleRequest(
        security_group_id="",
        direction=wanted.direction,
        ethertype=wanted.ethertype,
        protocol=wanted.protocol,
        port_range_min=wanted.port_range_min,
        port_range_max=wanted.port_range_max,
        remote_ip_prefix=wanted.remote_ip_prefix,
        remote_group_id=wanted.remote_group_id,
    )
    protocol, prefix = security_group_rule.checked(like)
    row = DefaultSecurityGroupRule(
        id=new_id(),
        project_id=wanted.project_id,
        description=wanted.description,
        direction=wanted.direction,
        ethertype=wanted.ethertype,
        protocol=protocol,
        port_range_min=wanted.port_range_min,
        port_range_max=wanted.port_range_max,
        remote_ip_prefix=prefix,
        remote_group_id=wanted.remote_group_id,
        used_in_default_sg=wanted.used_in_default_sg,
        used_in_non_default_sg=wanted.used_in_non_default_sg,
        created_at=now,
        updated_at=now,
        revision_number=0,
    )
    present = store.every(connection)
    for other in present:
        if _traffic(other) == _traffic(row) and _share_a_use(other, row):
            raise Conflict(
                f"Default Security group rule already exists. Rule id is {other.id}.",
                kind="DefaultSecurityGroupRuleExists",
            )
    if len(present) >= RULES_MAX:
        raise Conflict(f"There are {RULES_MAX} default rules already: delete one first.")
    store.insert(connection, row)
    return row


def get(connection: Connection, _caller: Caller, key: str) -> DefaultSecurityGroupRule:
    """Everybody sees what their groups are made with. Raises NotFound."""
    row = store.get(connection, key)
    if row is None:
        raise NotFound(
            "default security group rule",
            key,
            kind="DefaultSecurityGroupRuleNotFound",
            message=f"Default Security Group rule {key} does not exist.",
        )
    return row


def page(
    connection: Connection, _caller: Caller, query: NetworkQuery
) -> list[DefaultSecurityGroupRule]:
    return store.page(connection, query)


def delete(connection: Connection, caller: Caller, key: str, _now: datetime) -> None:
    """Raises NotFound, Forbidden."""
    caller.check("delete_default_security_group_rule", get(connection, caller, key).project_id)
    store.delete(connection, key)


def _share_a_use(one: DefaultSecurityGroupRule, other: DefaultSecurityGroupRule) -> bool:
    return any(getattr(one, use) and getattr(other, use) for use in USES)


def _traffic(row: DefaultSecurityGroupRule) -> tuple[object, ...]:
    return tuple(getattr(row, item.name) for item in fields(row) if item.name not in NOT_TRAFFIC)
