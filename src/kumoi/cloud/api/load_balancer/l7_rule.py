"""L7 rules: what is accepted and what is shown."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec

from kumoi.cloud.api.load_balancer import rendering
from kumoi.cloud.api.load_balancer.body import Id, Tags
from kumoi.cloud.api.load_balancer.resource import BalancingResource
from kumoi.cloud.domain.load_balancer import l7_rule as domain
from kumoi.cloud.domain.load_balancer.l7_rule import L7RuleRequest
from kumoi.engine.http.bounds import Text
from kumoi.engine.http.request import UNSET, Body, Unset

RuleType = Literal[
    "COOKIE",
    "FILE_TYPE",
    "HEADER",
    "HOST_NAME",
    "PATH",
    "SSL_CONN_HAS_CERT",
    "SSL_DN_FIELD",
    "SSL_VERIFY_RESULT",
]
CompareType = Literal["CONTAINS", "ENDS_WITH", "EQUAL_TO", "REGEX", "STARTS_WITH"]
Value = Annotated[str, msgspec.Meta(max_length=255)]


class L7RuleChanges(Body):
    type: RuleType | Unset = UNSET
    compare_type: CompareType | Unset = UNSET
    key: Text | Unset | None = UNSET
    value: Value | Unset = UNSET
    invert: bool | Unset | None = UNSET
    admin_state_up: bool | Unset | None = UNSET
    tags: Tags | Unset | None = UNSET


class L7RuleNew(L7RuleChanges, kw_only=True):
    type: RuleType
    compare_type: CompareType
    value: Value
    project_id: Id | Unset | None = UNSET
    tenant_id: Id | Unset | None = UNSET


def wanted(said: dict[str, Any]) -> L7RuleRequest:
    for name in ("project_id", "tenant_id"):
        said.pop(name, None)
    return L7RuleRequest(**said)


RESOURCE = BalancingResource(
    word="rule",
    words="rules",
    keys=("id", "rule_id"),
    new=L7RuleNew,
    changes=L7RuleChanges,
    columns={"type": str, "compare_type": str, "key": str, "value": str, "invert": bool},
    defaults={"invert": False, "admin_state_up": True, "tags": []},
    wanted=lambda _request, said: wanted(said),
    make=domain.create,
    get=domain.get,
    page=domain.page,
    change=domain.update,
    remove=domain.delete,
    shown=rendering.of_parts(rendering.l7_rule),
)
