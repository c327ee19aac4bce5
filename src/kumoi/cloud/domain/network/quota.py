"""Quotas: how many networks, ports and so on a project may have.

`require` is called inside the write transaction that adds them: there is one writer at a time, so
what it counts still holds at the commit, however many requests come at once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from sqlalchemy.engine import Connection

from kumoi.base.errors import Invalid, OverQuota
from kumoi.cloud.store.limits import UNLIMITED
from kumoi.cloud.store.network import (
    address_group,
    floating_ip,
    network,
    port,
    router,
    security_group,
    security_group_rule,
    subnet,
    subnet_pool,
)
from kumoi.cloud.store.network import quota as store

# Neutron's defaults.
DEFAULTS = {
    "network": 100,
    "subnet": 100,
    "subnetpool": -1,
    "port": 500,
    "router": 10,
    "floatingip": 50,
    "rbac_policy": 10,
    "security_group": 10,
    "security_group_rule": 100,
    "address_group": -1,
}

_COUNTS: dict[str, Callable[[Connection, str], int]] = {
    "network": network.count,
    "subnet": subnet.count,
    "subnetpool": subnet_pool.count,
    "port": port.count,
    "router": router.count,
    "floatingip": floating_ip.count,
    "security_group": security_group.count,
    "security_group_rule": security_group_rule.count,
    "address_group": address_group.count,
}


def require(connection: Connection, project_id: str, resource: str, count: int = 1) -> None:
    """Raises OverQuota when the project may not have `count` more."""
    most = limits(connection, project_id)[resource]
    if most != UNLIMITED and used(connection, project_id, resource) + count > most:
        raise OverQuota(f"Quota exceeded for resources: ['{resource}'].", resource=resource)


def limits(connection: Connection, project_id: str) -> dict[str, int]:
    return DEFAULTS | store.of(connection, project_id)


def used(connection: Connection, project_id: str, resource: str) -> int:
    count_of = _COUNTS.get(resource)
    return count_of(connection, project_id) if count_of else 0


def every(connection: Connection) -> dict[str, dict[str, int]]:
    """The limits of all projects that have limits of their own."""
    return {key: DEFAULTS | values for key, values in store.every(connection).items()}


def update(
    connection: Connection, project_id: str, values: Mapping[str, int], *, check_used: bool = False
) -> dict[str, int]:
    """Raises Invalid when `check_used` and a limit would be below what is used."""
    below = [
        resource
        for resource, most in values.items()
        if check_used and most != UNLIMITED and most < used(connection, project_id, resource)
    ]
    if below:
        raise Invalid(
            f"Change would make usage less than 0 for the following resources: {below}.",
            field=below[0],
            kind="InvalidQuotaValue",
        )
    store.put(connection, project_id, values)
    return limits(connection, project_id)


def reset(connection: Connection, project_id: str) -> None:
    """Back to the defaults."""
    store.clear(connection, project_id)
