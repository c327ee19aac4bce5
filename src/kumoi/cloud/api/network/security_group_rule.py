"""Rules of security groups: what is accepted and what is shown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy.engine import Connection

from kumoi.cloud.api.network import body, rendering, shapes
from kumoi.cloud.api.network.rendering import Shown
from kumoi.cloud.api.network.resource import Resource
from kumoi.cloud.api.request import Request
from kumoi.cloud.domain.network import security_group_rule as domain
from kumoi.cloud.domain.network.security_group import ETHERTYPES
from kumoi.cloud.domain.network.security_group_rule import SecurityGroupRuleRequest
from kumoi.cloud.store.network.security_group_rule import SecurityGroupRule
from kumoi.engine.http.bounds import Text
from kumoi.engine.http.request import UNSET, Body, Unset

COLUMNS = {
    "security_group_id": "security_group_id",
    "direction": "direction",
    "ethertype": "ethertype",
    "protocol": "protocol",
    "port_range_min": "port_range_min",
    "port_range_max": "port_range_max",
    "remote_ip_prefix": "remote_ip_prefix",
    "remote_group_id": "remote_group_id",
    "remote_address_group_id": "remote_address_group_id",
}
DIRECTIONS = ("ingress", "egress")


class SecurityGroupRuleNew(Body):
    security_group_id: Text
    direction: Text
    ethertype: Text | Unset | None = UNSET
    protocol: Text | int | Unset | None = UNSET
    port_range_min: int | Unset | None = UNSET
    port_range_max: int | Unset | None = UNSET
    remote_ip_prefix: Text | Unset | None = UNSET
    remote_group_id: Text | Unset | None = UNSET
    remote_address_group_id: Text | Unset | None = UNSET
    description: Text | Unset = UNSET
    project_id: Text | Unset = UNSET
    tenant_id: Text | Unset = UNSET


def _convert(_request: Request, values: dict[str, Any]) -> None:
    shapes.uuid("security_group_id", values["security_group_id"])
    convert_traffic(values)


def convert_traffic(values: dict[str, Any]) -> None:
    """What any rule says of traffic. Raises Invalid."""
    values["direction"] = shapes.one_of("direction", values["direction"], DIRECTIONS)
    ethertype = values.get("ethertype") or ETHERTYPES[0]
    values["ethertype"] = shapes.one_of("ethertype", ethertype, ETHERTYPES)
    body.convert(values, "protocol", lambda _, protocol: str(protocol))


def _shown(
    _connection: Connection,
    _request: Request,
    rows: Sequence[SecurityGroupRule],
    _tags: Mapping[str, Sequence[str]],
) -> list[Shown]:
    return [render(row) for row in rows]


def render(row: SecurityGroupRule) -> Shown:
    prefix = None if row.remote_address_group_id else row.remote_ip_prefix
    return {
        "security_group_id": row.security_group_id,
        "direction": row.direction,
        "ethertype": row.ethertype,
        "protocol": row.protocol,
        "port_range_min": row.port_range_min,
        "port_range_max": row.port_range_max,
        "remote_ip_prefix": prefix,
        "normalized_cidr": domain.normalized(prefix),
        "remote_group_id": row.remote_group_id,
        "remote_address_group_id": row.remote_address_group_id,
        **rendering.standard(row, None),
    }


RESOURCE = Resource(
    word="security_group_rule",
    words="security_group_rules",
    new=SecurityGroupRuleNew,
    changes=None,
    columns=COLUMNS,
    wanted=SecurityGroupRuleRequest,
    convert=_convert,
    make=domain.create,
    get=domain.get,
    page=domain.page,
    change=None,
    remove=domain.delete,
    shown=_shown,
)
