"""Policies of quality of service: what is accepted and what is shown. Paths: /v2.0/qos/policies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sqlalchemy.engine import Connection

from kumoi.cloud.api.network import qos_rule, rendering
from kumoi.cloud.api.network.body import Tags
from kumoi.cloud.api.network.rendering import Shown
from kumoi.cloud.api.network.resource import Resource
from kumoi.cloud.api.request import Request
from kumoi.cloud.domain.network import qos_policy as domain
from kumoi.cloud.domain.network.qos_policy import QosPolicyRequest
from kumoi.cloud.store.network import qos_rule as rule_store
from kumoi.cloud.store.network.qos_policy import QosPolicy
from kumoi.engine.http.bounds import Text
from kumoi.engine.http.request import UNSET, Body, Unset

COLUMNS = {"name": "name", "shared": "shared", "is_default": "is_default"}


class QosPolicyChanges(Body):
    name: Text | Unset = UNSET
    description: Text | Unset = UNSET
    shared: bool | Unset = UNSET
    is_default: bool | Unset = UNSET


class QosPolicyNew(QosPolicyChanges, kw_only=True):
    name: Text
    project_id: Text | Unset = UNSET
    tenant_id: Text | Unset = UNSET
    tags: Tags | Unset = UNSET


def _shown(
    connection: Connection,
    _request: Request,
    rows: Sequence[QosPolicy],
    tags: Mapping[str, Sequence[str]],
) -> list[Shown]:
    rules = rule_store.of_policies(connection, [row.id for row in rows])
    return [
        {
            "name": row.name,
            "shared": row.shared,
            "is_default": row.is_default,
            "rules": [qos_rule.within(rule) for rule in rules.get(row.id, ())],
            **rendering.standard(row, tags.get(row.id, ())),
        }
        for row in rows
    ]


RESOURCE = Resource(
    word="policy",
    words="policies",
    new=QosPolicyNew,
    changes=QosPolicyChanges,
    columns=COLUMNS,
    booleans=frozenset({"shared", "is_default"}),
    wanted=QosPolicyRequest,
    make=domain.create,
    get=domain.get,
    page=domain.page,
    change=domain.update,
    remove=domain.delete,
    shown=_shown,
)
