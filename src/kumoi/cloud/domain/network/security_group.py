"""Security groups: what is allowed. Each function takes the open transaction and touches no more."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy.engine import Connection

from kumoi.base.errors import Conflict, NotFound
from kumoi.base.ids import new_id
from kumoi.cloud.domain.caller import Caller
from kumoi.cloud.domain.network import quota
from kumoi.cloud.store.network import default_security_group_rule as first_rule_store
from kumoi.cloud.store.network import port as port_store
from kumoi.cloud.store.network import security_group as store
from kumoi.cloud.store.network import security_group_rule as rule_store
from kumoi.cloud.store.network.default_security_group_rule import PARENT
from kumoi.cloud.store.network.security_group import SecurityGroup
from kumoi.cloud.store.network.security_group_rule import SecurityGroupRule
from kumoi.cloud.store.network.standard import NetworkQuery

DEFAULT = "default"
NOUN = "security group"
ETHERTYPES = ("IPv4", "IPv6")


@dataclass(frozen=True, slots=True, kw_only=True)
class SecurityGroupRequest:
    project_id: str
    name: str = ""
    description: str = ""
    stateful: bool = True


def create(
    connection: Connection, caller: Caller, wanted: SecurityGroupRequest, now: datetime
) -> SecurityGroup:
    """Make a group with the rules that new ones have. Raises Conflict for a second "default"."""
    caller.check("create_security_group", wanted.project_id)
    ensure_default(connection, wanted.project_id, now)
    if wanted.name == DEFAULT:
        raise _second_default()
    quota.require(connection, wanted.project_id, "security_group")
    group = _group(wanted, now, is_default=False)
    rules = _first_rules(connection, group)
    quota.require(connection, wanted.project_id, "security_group_rule", len(rules))
    store.insert(connection, group)
    rule_store.insert_all(connection, rules)
    return group


def default(connection: Connection, project_id: str) -> SecurityGroup | None:
    """The project's default group, if it has been made."""
    return next(iter(store.find(connection, project_id=project_id, is_default=True)), None)


def ensure_default(connection: Connection, project_id: str, now: datetime) -> SecurityGroup:
    """The project's default group, made when there is none, with the rules that default groups have."""
    present = default(connection, project_id)
    if present is not None:
        return present
    wanted = SecurityGroupRequest(
        project_id=project_id, name=DEFAULT, description="Default security group"
    )
    group = _group(wanted, now, is_default=True)
    store.insert(connection, group)
    rule_store.insert_all(connection, _first_rules(connection, group))
    return group


def get(connection: Connection, caller: Caller, key: str) -> SecurityGroup:
    """Raises NotFound when there is no such group that the caller may see."""
    group = store.get(connection, key)
    if group is None or not caller.may("get_security_group", group.project_id):
        raise not_found(key)
    return group


def find(connection: Connection, caller: Caller, name_or_id: str, now: datetime) -> SecurityGroup:
    """The group of the caller's project by id or by name, as compute takes it.

    Raises NotFound, and Conflict when the name is that of several.
    """
    project_id = caller.project_id or ""
    if name_or_id == DEFAULT:
        return ensure_default(connection, project_id, now)
    group = store.get(connection, name_or_id)
    if group is not None and caller.may("get_security_group", group.project_id):
        return group
    named = store.find(connection, project_id=project_id, name=name_or_id)
    if not named:
        raise not_found(name_or_id)
    if len(named) > 1:
        raise Conflict(
            f"Multiple security_group matches found for name '{name_or_id}', use an ID to be more "
            "specific.",
            kind="NoUniqueMatch",
        )
    return named[0]


def require_all(connection: Connection, caller: Caller, keys: Collection[str]) -> list[str]:
    """The ids without repetitions. Raises NotFound for a group that the caller may not use, and Conflict
    when only some of them are stateful.
    """
    wanted = list(dict.fromkeys(keys))
    found = store.many(connection, wanted)
    for key in wanted:
        if key not in found or not caller.may("get_security_group", found[key].project_id):
            raise not_found(key)
    if len({found[key].stateful for key in wanted}) > 1:
        raise Conflict(
            "Error Cannot apply both stateful and stateless security groups on the same port while "
            "attempting the operation.",
            kind="SecurityGroupConflict",
        )
    return wanted


def page(connection: Connection, caller: Caller, query: NetworkQuery) -> list[SecurityGroup]:
    return store.page(connection, query, project_id=caller.reach("get_security_group"))


def rules(connection: Connection, group_ids: Collection[str]) -> dict[str, list[SecurityGroupRule]]:
    """The rules of groups, by group. The caller may see the groups, and so their rules."""
    return rule_store.of_groups(connection, group_ids)


def update(
    connection: Connection, caller: Caller, key: str, values: Mapping[str, Any], now: datetime
) -> SecurityGroup:
    """Raises NotFound; Conflict for another name of the default group, and for `stateful` while a
    port is in the group.
    """
    group = get(connection, caller, key)
    name = values.get("name", group.name)
    if group.is_default and name != group.name:
        raise Conflict(
            "Updating default security group not allowed.",
            kind="SecurityGroupCannotUpdateDefault",
        )
    if name == DEFAULT and not group.is_default:
        raise _second_default()
    if values.get("stateful", group.stateful) != group.stateful and port_store.group_is_used(
        connection, key
    ):
        raise _in_use(key)
    store.update(connection, key, now=now, **values)
    return get(connection, caller, key)


def delete(connection: Connection, caller: Caller, key: str, _now: datetime) -> None:
    """Raises NotFound; Conflict for the default group, and while a port is in the group."""
    group = get(connection, caller, key)
    if group.is_default and not caller.may("delete_security_group:is_default"):
        raise Conflict(
            "Insufficient rights for removing default security group.",
            kind="SecurityGroupCannotRemoveDefault",
        )
    if port_store.group_is_used(connection, key):
        raise _in_use(key)
    store.delete(connection, key)


def not_found(key: str) -> NotFound:
    return NotFound(NOUN, key, message=f"Security group {key} does not exist")


def _in_use(key: str) -> Conflict:
    return Conflict(f"Security Group {key} in use.", kind="SecurityGroupInUse")


def _second_default() -> Conflict:
    return Conflict(
        "Default security group already exists.", kind="SecurityGroupDefaultAlreadyExists"
    )


def _group(wanted: SecurityGroupRequest, now: datetime, *, is_default: bool) -> SecurityGroup:
    return SecurityGroup(
        id=new_id(),
        project_id=wanted.project_id,
        name=wanted.name,
        description=wanted.description,
        stateful=wanted.stateful,
        is_default=is_default,
        created_at=now,
        updated_at=now,
        revision_number=1,
    )


def _first_rules(connection: Connection, group: SecurityGroup) -> list[SecurityGroupRule]:
    """Copies of the default rules that are for it."""
    return [
        SecurityGroupRule(
            id=new_id(),
            project_id=group.project_id,
            security_group_id=group.id,
            description="",
            direction=row.direction,
            ethertype=row.ethertype,
            protocol=row.protocol,
            port_range_min=row.port_range_min,
            port_range_max=row.port_range_max,
            remote_ip_prefix=row.remote_ip_prefix,
            remote_group_id=group.id if row.remote_group_id == PARENT else None,
            created_at=group.created_at,
            updated_at=group.created_at,
            revision_number=1,
        )
        for row in first_rule_store.every(connection)
        if (row.used_in_default_sg if group.is_default else row.used_in_non_default_sg)
    ]
