"""Members: what is accepted and what is shown."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import msgspec
from sqlalchemy.engine import Connection

from kumoi.base.errors import Unsupported
from kumoi.cloud.api.load_balancer import body, rendering
from kumoi.cloud.api.load_balancer.body import Common, Id, PortNumber
from kumoi.cloud.api.load_balancer.rendering import Shown, TagsOf
from kumoi.cloud.api.load_balancer.resource import BalancingResource
from kumoi.cloud.api.request import Request
from kumoi.cloud.domain.load_balancer import member as domain
from kumoi.cloud.domain.load_balancer import tree
from kumoi.cloud.domain.load_balancer.member import MemberRequest, canonical
from kumoi.cloud.store.load_balancer.member import PoolMember
from kumoi.cloud.store.network.standard import NetworkQuery
from kumoi.engine.http.paging import boolean
from kumoi.engine.http.request import UNSET, Reply, Unset

Weight = Annotated[int, msgspec.Meta(ge=0, le=256)]
Address = Annotated[str, msgspec.Meta(max_length=64)]


class MemberChanges(Common):
    weight: Weight | Unset | None = UNSET
    backup: bool | Unset | None = UNSET
    monitor_address: Address | Unset | None = UNSET
    monitor_port: PortNumber | Unset | None = UNSET


class MemberNew(MemberChanges, kw_only=True):
    address: Address
    protocol_port: PortNumber
    subnet_id: Id | Unset | None = UNSET
    project_id: Id | Unset | None = UNSET
    request_sriov: bool | Unset | None = UNSET


def wanted(new: MemberNew) -> MemberRequest:
    """Raises Invalid for what is no address."""
    said = body.said(new)
    said.pop("project_id", None)
    if said.pop("request_sriov", False):
        raise Unsupported("members with SR-IOV ports are not offered")
    for name in ("address", "monitor_address"):
        if name in said:
            said[name] = canonical(said[name])
    return MemberRequest(**said)


def replace_all(request: Request) -> Reply:
    """PUT of all members of a pool."""
    new = [wanted(one) for one in body.several(request, "members", MemberNew)]
    additive = boolean(request.query.get("additive_only", "false"), "additive_only")
    now = request.services.clock.now()
    with request.write() as connection:
        domain.replace_all(connection, request.caller, _pool(request), new, now, additive=additive)
    return Reply(202)


def _pool(request: Request) -> str:
    return request.path["id"]


def _make(connection: Connection, request: Request, new: MemberNew) -> PoolMember:
    now = request.services.clock.now()
    return domain.create(connection, request.caller, _pool(request), wanted(new), now)


def _get(connection: Connection, request: Request, key: str) -> PoolMember:
    return domain.get(connection, request.caller, _pool(request), key)


def _page(connection: Connection, request: Request, query: NetworkQuery) -> list[PoolMember]:
    return domain.page(connection, request.caller, _pool(request), query)


def _change(
    connection: Connection, request: Request, key: str, values: dict[str, Any]
) -> PoolMember:
    if values.get("monitor_address") is not None:
        values["monitor_address"] = canonical(values["monitor_address"])
    now = request.services.clock.now()
    return domain.update(connection, request.caller, _pool(request), key, values, now=now)


def _remove(connection: Connection, request: Request, key: str) -> None:
    now = request.services.clock.now()
    domain.delete(connection, request.caller, _pool(request), key, now)


def _shown(connection: Connection, rows: Sequence[PoolMember], tags: TagsOf) -> list[Shown]:
    trees = tree.of_parts(connection, rows)
    return [rendering.member(trees[row.load_balancer_id], row, tags) for row in rows]


RESOURCE = BalancingResource(
    word="member",
    words="members",
    key="member_id",
    new=MemberNew,
    changes=MemberChanges,
    columns={
        "address": str,
        "protocol_port": int,
        "weight": int,
        "backup": bool,
        "subnet_id": str,
        "monitor_address": str,
        "monitor_port": int,
    },
    defaults={"name": "", "admin_state_up": True, "weight": 1, "backup": False, "tags": []},
    make=_make,
    get=_get,
    page=_page,
    change=_change,
    remove=_remove,
    shown=_shown,
)
