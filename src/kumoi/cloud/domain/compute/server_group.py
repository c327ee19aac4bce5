"""Server groups: what is allowed, and which hosts a group's policy allows its next member."""

from __future__ import annotations

from collections import Counter
from datetime import datetime
from typing import Any

from sqlalchemy.engine import Connection

from kumoi.base.errors import NotFound
from kumoi.base.ids import new_id
from kumoi.cloud.domain.caller import Caller
from kumoi.cloud.domain.compute import quota
from kumoi.cloud.scheduler.choose import HostRules
from kumoi.cloud.store.compute import server as server_store
from kumoi.cloud.store.compute import server_group as store
from kumoi.cloud.store.compute.server_group import ServerGroup

AFFINITY = "affinity"
ANTI_AFFINITY = "anti-affinity"
SOFT_AFFINITY = "soft-affinity"
SOFT_ANTI_AFFINITY = "soft-anti-affinity"


def create(
    connection: Connection,
    caller: Caller,
    *,
    name: str,
    policy: str,
    rules: dict[str, Any],
    now: datetime,
) -> ServerGroup:
    """Raises OverQuota."""
    project_id = caller.project_id or ""
    used = store.count(connection, project_id)
    quota.require(connection, project_id, "server_groups", used=used)
    row = ServerGroup(new_id(), project_id, caller.user_id, name, policy, rules, now)
    store.insert(connection, row)
    return row


def get(connection: Connection, caller: Caller, key: str) -> ServerGroup:
    """Raises NotFound when there is no such group that the caller may see."""
    row = store.get(connection, key)
    if row is None:
        raise NotFound("instance group", key)
    caller.require("os_compute_api:os-server-groups:show", "instance group", key, row.project_id)
    return row


def page(
    connection: Connection, caller: Caller, *, all_projects: bool, limit: int, offset: int
) -> list[ServerGroup]:
    """Raises Forbidden for the groups of all projects."""
    if all_projects:
        caller.check("os_compute_api:os-server-groups:index:all_projects")
    project_id = None if all_projects else (caller.project_id or "")
    return store.page(connection, project_id=project_id, limit=limit, offset=offset)


def members(connection: Connection, group: ServerGroup) -> list[str]:
    """The ids of the group's servers, oldest first."""
    return [server.id for server in server_store.in_group(connection, group.id)]


def delete(connection: Connection, caller: Caller, key: str) -> None:
    """The group's servers stay on their hosts. Raises NotFound."""
    get(connection, caller, key)
    store.delete(connection, key)


def host_rules(connection: Connection, group: ServerGroup, *, leaving: str = "") -> HostRules:
    """Which hosts the group's policy allows or prefers for its next member, or for the member of that id, which
    leaves its host.
    """
    hosts = Counter(
        server.host_id
        for server in server_store.in_group(connection, group.id)
        if server.host_id and server.id != leaving
    )
    if group.policy == ANTI_AFFINITY:
        most = int(group.rules.get("max_server_per_host", 1))
        return HostRules(excluded=frozenset(host for host, count in hosts.items() if count >= most))
    if group.policy == AFFINITY:
        return HostRules(allowed=frozenset(hosts) if hosts else None)
    if group.policy == SOFT_AFFINITY:
        return HostRules(preferred=frozenset(hosts))
    return HostRules(avoided=dict(hosts))
