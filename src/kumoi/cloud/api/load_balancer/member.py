"""Members: what is accepted and what is shown."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec

from kumoi.base.errors import Unsupported
from kumoi.cloud.api.load_balancer import body, rendering
from kumoi.cloud.api.load_balancer.body import Common, Id, PortNumber
from kumoi.cloud.api.load_balancer.resource import BalancingResource
from kumoi.cloud.api.request import Request
from kumoi.cloud.domain.load_balancer import member as domain
from kumoi.cloud.domain.load_balancer.member import MemberRequest, canonical
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


def wanted(said: dict[str, Any]) -> MemberRequest:
    """Raises Invalid for what is no address."""
    convert(said)
    return MemberRequest(**said)


def convert(values: dict[str, Any]) -> None:
    values.pop("project_id", None)
    if values.pop("request_sriov", False):
        raise Unsupported("members with SR-IOV ports are not offered")
    for name in ("address", "monitor_address"):
        if name in values:
            values |= _address(name, values[name])


def _address(name: str, written: str | None) -> dict[str, str | None]:
    """In its one form, and as it was written where that is another."""
    kept = None if written is None else canonical(written)
    return {name: kept, f"{name}_text": None if kept == written else written}


def replace_all(request: Request) -> Reply:
    """PUT of all members of a pool."""
    new = [wanted(body.said(one)) for one in body.several(request, "members", MemberNew)]
    additive = boolean(request.query.get("additive_only", "false"), "additive_only")
    now = request.services.clock.now()
    with request.write() as connection:
        domain.replace_all(
            connection, request.caller, request.path["id"], new, now, additive=additive
        )
    return Reply(202)


RESOURCE = BalancingResource(
    word="member",
    words="members",
    keys=("id", "member_id"),
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
    wanted=lambda _request, said: wanted(said),
    convert=lambda _request, values: convert(values),
    make=domain.create,
    get=domain.get,
    page=domain.page,
    change=domain.update,
    remove=domain.delete,
    shown=rendering.of_parts(rendering.member),
)
