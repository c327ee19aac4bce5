"""Quotas: what is accepted and what is shown. A project sees its own; administrators all."""

from __future__ import annotations

from typing import Annotated

import msgspec

from kumoi.cloud.api.network import body
from kumoi.cloud.api.request import Request, fields_set
from kumoi.cloud.domain.network import quota as domain
from kumoi.engine.http.request import UNSET, Body, Reply, Unset

Limit = Annotated[int, msgspec.Meta(ge=-1, le=2_147_483_647)]


class NetworkQuotaChanges(Body):
    network: Limit | Unset = UNSET
    subnet: Limit | Unset = UNSET
    subnetpool: Limit | Unset = UNSET
    port: Limit | Unset = UNSET
    router: Limit | Unset = UNSET
    floatingip: Limit | Unset = UNSET
    rbac_policy: Limit | Unset = UNSET
    security_group: Limit | Unset = UNSET
    security_group_rule: Limit | Unset = UNSET
    address_group: Limit | Unset = UNSET
    check_limit: bool | Unset = UNSET
    force: bool | Unset = UNSET


def index(request: Request) -> Reply:
    """The limits of all projects that have limits of their own."""
    with request.read() as connection:
        found = domain.every(connection)
    quotas = [{**limits, "project_id": key, "tenant_id": key} for key, limits in found.items()]
    return Reply(200, {"quotas": quotas})


def show(request: Request) -> Reply:
    with request.read() as connection:
        limits = domain.limits(connection, _project(request))
    return Reply(200, {"quota": limits})


def show_default(request: Request) -> Reply:
    _project(request)
    return Reply(200, {"quota": domain.DEFAULTS})


def show_details(request: Request) -> Reply:
    """Each limit with what is used of it. Nothing is ever reserved."""
    project_id = _project(request)
    with request.read() as connection:
        limits = domain.limits(connection, project_id)
        details = {
            resource: {
                "limit": limit,
                "used": domain.used(connection, project_id, resource),
                "reserved": 0,
            }
            for resource, limit in limits.items()
        }
    return Reply(200, {"quota": details})


def update(request: Request) -> Reply:
    """With `check_limit`, no limit may be below what is used, unless `force` says so."""
    values = fields_set(body.one(request, "quota", NetworkQuotaChanges))
    checked, forced = values.pop("check_limit", False), values.pop("force", False)
    with request.write() as connection:
        limits = domain.update(
            connection, request.path["id"], values, check_used=checked and not forced
        )
    return Reply(200, {"quota": limits})


def delete(request: Request) -> Reply:
    with request.write() as connection:
        domain.reset(connection, request.path["id"])
    return Reply(204)


def _project(request: Request) -> str:
    """The project in the path. Raises Forbidden for another project's quota."""
    key = request.path["id"]
    request.caller.check("get_quota", key)
    return key
