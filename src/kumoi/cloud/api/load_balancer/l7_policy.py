"""L7 policies: what is accepted and what is shown."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec

from kumoi.base.errors import Invalid
from kumoi.cloud.api.load_balancer import body, l7_rule, pool, rendering
from kumoi.cloud.api.load_balancer.body import Described, Id
from kumoi.cloud.api.load_balancer.l7_rule import L7RuleNew
from kumoi.cloud.api.load_balancer.resource import BalancingResource
from kumoi.cloud.api.request import Request
from kumoi.cloud.domain.load_balancer import l7_policy as domain
from kumoi.cloud.domain.load_balancer.graph import L7PolicyTreeRequest
from kumoi.cloud.domain.load_balancer.l7_policy import L7PolicyRequest
from kumoi.engine.http.bounds import Entries, Object, Text
from kumoi.engine.http.request import UNSET, Unset

Action = Literal["REDIRECT_PREFIX", "REDIRECT_TO_POOL", "REDIRECT_TO_URL", "REJECT"]
Position = Annotated[int, msgspec.Meta(ge=1, le=domain.LAST)]
RedirectCode = Literal[301, 302, 303, 307, 308]


class L7PolicyChanges(Described):
    action: Action | Unset = UNSET
    position: Position | Unset | None = UNSET
    redirect_pool_id: Id | Unset | None = UNSET
    redirect_url: Text | Unset | None = UNSET
    redirect_prefix: Text | Unset | None = UNSET
    redirect_http_code: RedirectCode | Unset | None = UNSET


class L7PolicyNew(L7PolicyChanges, kw_only=True):
    action: Action
    listener_id: Id
    rules: Entries[L7RuleNew] | Unset | None = UNSET
    project_id: Id | Unset | None = UNSET
    tenant_id: Id | Unset | None = UNSET


class L7PolicyWithin(L7PolicyChanges, kw_only=True):
    """One that is made with its balancer."""

    action: Action
    redirect_pool: Object[msgspec.Raw] | Unset | None = UNSET
    rules: Entries[L7RuleNew] | Unset | None = UNSET


def wanted_tree(request: Request, new: L7PolicyWithin) -> L7PolicyTreeRequest:
    said = body.said(new)
    leads = said.pop("redirect_pool", None)
    rules = said.pop("rules", ())
    said.pop("redirect_pool_id", None)
    return L7PolicyTreeRequest(
        L7PolicyRequest(**said, listener_id=""),
        None if leads is None else pool.reference(request, leads),
        tuple(l7_rule.wanted(body.said(one)) for one in rules),
    )


def wanted(said: dict[str, Any]) -> L7PolicyRequest:
    for name in ("project_id", "tenant_id"):
        said.pop(name, None)
    if said.pop("rules", None):
        raise Invalid("rules are made with their balancer or by themselves", field="rules")
    return L7PolicyRequest(**said)


RESOURCE = BalancingResource(
    word="l7policy",
    words="l7policies",
    new=L7PolicyNew,
    changes=L7PolicyChanges,
    columns={
        "action": str,
        "listener_id": str,
        "position": int,
        "redirect_pool_id": str,
        "redirect_url": str,
        "redirect_prefix": str,
        "redirect_http_code": int,
    },
    defaults={"name": "", "description": "", "admin_state_up": True, "tags": []},
    wanted=lambda _request, said: wanted(said),
    make=domain.create,
    get=domain.get,
    page=domain.page,
    change=domain.update,
    remove=domain.delete,
    shown=rendering.of_parts(rendering.l7_policy),
)
