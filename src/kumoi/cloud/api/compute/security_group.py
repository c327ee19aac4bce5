"""Security groups as compute showed them before there was a network API; until 2.35. Rules are made
there; those of one server are shown in every version.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import msgspec
from sqlalchemy.engine import Connection

from kumoi.base.errors import Conflict, Invalid, NotFound
from kumoi.base.ids import is_uuid
from kumoi.cloud.api.compute import rendering
from kumoi.cloud.api.request import Request
from kumoi.cloud.domain.compute import networking, server
from kumoi.cloud.domain.network import security_group as domain
from kumoi.cloud.domain.network.security_group import SecurityGroupRequest
from kumoi.cloud.store.listing import Listing, Sort
from kumoi.cloud.store.network.security_group import SecurityGroup
from kumoi.cloud.store.network.security_group_rule import SecurityGroupRule
from kumoi.cloud.store.network.standard import NetworkQuery
from kumoi.engine import audit
from kumoi.engine.http.request import UNSET, Body, Reply, Unset

GroupName = Annotated[str, msgspec.Meta(min_length=1, max_length=255)]
ANY_PORT = -1
LIST = "get_security_group"


class ProxiedSecurityGroupNew(Body, kw_only=True):
    name: GroupName
    description: Annotated[str, msgspec.Meta(max_length=255)] | Unset | None = UNSET


class ProxiedSecurityGroupCreate(Body, kw_only=True):
    security_group: ProxiedSecurityGroupNew


def index(request: Request) -> Reply:
    """Those of the project; with `all_tenants`, whatever its value, an administrator sees all."""
    project_id = request.caller.project_id or ""
    sees_all = "all_tenants" in request.query and request.caller.reach(LIST) is None
    filters: dict[str, Sequence[str]] = {} if sees_all else {"project_id": [project_id]}
    query = NetworkQuery(listing=Listing(filters=filters, sorts=(Sort("name"),)))
    now = request.services.clock.now()
    with request.write() as connection:
        domain.ensure_default(connection, project_id, now)
        found = domain.page(connection, request.caller, query)
        shown = _shown(connection, found)
    first, most = rendering.offset(request), rendering.limit(request)
    return Reply(200, {"security_groups": shown[first : first + most]})


def create(request: Request) -> Reply:
    body, now = (
        request.parse(ProxiedSecurityGroupCreate).security_group,
        request.services.clock.now(),
    )
    wanted = SecurityGroupRequest(
        project_id=request.caller.project_id or "",
        name=body.name,
        description=_description(body),
    )
    with request.write() as connection:
        made = domain.create(connection, request.caller, wanted, now)
        audit.about(made.id)
        (shown,) = _shown(connection, [made])
    return Reply(200, {"security_group": shown})


def show(request: Request) -> Reply:
    with request.read() as connection:
        found = _get(connection, request)
        (shown,) = _shown(connection, [found])
    return Reply(200, {"security_group": shown})


def update(request: Request) -> Reply:
    body, now = (
        request.parse(ProxiedSecurityGroupCreate).security_group,
        request.services.clock.now(),
    )
    with request.write() as connection:
        found = _get(connection, request)
        values = {"name": body.name, "description": _description(body)}
        changed = domain.update(connection, request.caller, found.id, values, now)
        (shown,) = _shown(connection, [changed])
    return Reply(200, {"security_group": shown})


def delete(request: Request) -> Reply:
    """Raises Invalid for the default group, as compute's API had it."""
    with request.write() as connection:
        found = _get(connection, request)
        if found.is_default:
            raise Invalid("Unable to delete system group 'default'", field="id")
        try:
            domain.delete(connection, request.caller, found.id, request.services.clock.now())
        except Conflict as cause:
            raise Invalid("Security group is still in use", field="id") from cause
    return Reply(202)


def of_server(request: Request) -> Reply:
    with request.read() as connection:
        found = server.get(connection, request.caller, request.path["id"])
        ports = networking.ports_of(connection, found)
        ids = dict.fromkeys(key for port in ports for key in port.security_group_ids)
        groups = [domain.get(connection, request.caller, key) for key in ids]
        shown = _shown(connection, groups)
    return Reply(200, {"security_groups": shown})


def _get(connection: Connection, request: Request) -> SecurityGroup:
    key = request.path["id"]
    if not is_uuid(key):
        raise Invalid(f"Security group id {key} is not a uuid", field="id")
    try:
        return domain.get(connection, request.caller, key)
    except NotFound as cause:
        raise NotFound("security group", key, message=f"Security group {key} not found") from cause


def _description(body: ProxiedSecurityGroupNew) -> str:
    return "" if body.description in (UNSET, None) else str(body.description)


def _shown(connection: Connection, groups: list[SecurityGroup]) -> list[dict[str, Any]]:
    rules = domain.rules(connection, [group.id for group in groups])
    return [
        {
            "id": group.id,
            "name": group.name,
            "description": group.description,
            "tenant_id": group.project_id,
            "rules": [
                rule(connection, each)
                for each in rules.get(group.id, [])
                if each.direction == "ingress"
            ],
        }
        for group in groups
    ]


def rule(connection: Connection, row: SecurityGroupRule) -> dict[str, Any]:
    remote = networking.group(connection, row.remote_group_id)
    group = {} if remote is None else {"name": remote.name, "tenant_id": remote.project_id}
    everywhere = "::/0" if row.ethertype == "IPv6" else "0.0.0.0/0"
    cidr = row.remote_ip_prefix or everywhere
    return {
        "id": row.id,
        "parent_group_id": row.security_group_id,
        "ip_protocol": row.protocol,
        "from_port": ANY_PORT if row.port_range_min is None else row.port_range_min,
        "to_port": ANY_PORT if row.port_range_max is None else row.port_range_max,
        "group": group,
        "ip_range": {} if group else {"cidr": cidr},
    }
