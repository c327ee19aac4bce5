"""Rules that new security groups are made with: what is accepted and what is shown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy.engine import Connection

from kumoi.cloud.api.network import rendering, security_group_rule
from kumoi.cloud.api.network.rendering import Shown
from kumoi.cloud.api.network.resource import Resource
from kumoi.cloud.api.request import Request
from kumoi.cloud.domain.network import default_security_group_rule as domain
from kumoi.cloud.domain.network.default_security_group_rule import DefaultSecurityGroupRuleRequest
from kumoi.cloud.store.network.default_security_group_rule import DefaultSecurityGroupRule
from kumoi.engine.http.bounds import Text
from kumoi.engine.http.request import UNSET, Body, Unset

COLUMNS = {
    name: name
    for name in (
        "direction",
        "ethertype",
        "protocol",
        "port_range_min",
        "port_range_max",
        "remote_ip_prefix",
        "remote_group_id",
        "used_in_default_sg",
        "used_in_non_default_sg",
    )
}


class DefaultSecurityGroupRuleNew(Body):
    direction: Text
    ethertype: Text | Unset | None = UNSET
    protocol: Text | int | Unset | None = UNSET
    port_range_min: int | Unset | None = UNSET
    port_range_max: int | Unset | None = UNSET
    remote_ip_prefix: Text | Unset | None = UNSET
    remote_group_id: Text | Unset | None = UNSET
    description: Text | Unset = UNSET
    used_in_default_sg: bool | Unset = UNSET
    used_in_non_default_sg: bool | Unset = UNSET
    project_id: Text | Unset = UNSET
    tenant_id: Text | Unset = UNSET


def _convert(_request: Request, values: dict[str, Any]) -> None:
    security_group_rule.convert_traffic(values)


def _shown(
    _connection: Connection,
    _request: Request,
    rows: Sequence[DefaultSecurityGroupRule],
    _tags: Mapping[str, Sequence[str]],
) -> list[Shown]:
    return [
        {
            "id": row.id,
            "description": row.description,
            **{name: getattr(row, name) for name in COLUMNS},
            "remote_address_group_id": None,
            "created_at": rendering.time(row.created_at),
            "updated_at": rendering.time(row.updated_at),
            "revision_number": row.revision_number,
        }
        for row in rows
    ]


RESOURCE = Resource(
    word="default_security_group_rule",
    words="default_security_group_rules",
    new=DefaultSecurityGroupRuleNew,
    changes=None,
    columns=COLUMNS,
    booleans=frozenset({"used_in_default_sg", "used_in_non_default_sg"}),
    wanted=DefaultSecurityGroupRuleRequest,
    convert=_convert,
    make=domain.create,
    get=domain.get,
    page=domain.page,
    change=None,
    remove=domain.delete,
    shown=_shown,
)
