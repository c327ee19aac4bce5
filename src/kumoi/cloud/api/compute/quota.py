"""Quotas and limits: what is accepted and what is shown."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kumoi.base.errors import Invalid
from kumoi.cloud.api.compute import shapes
from kumoi.cloud.api.compute.shapes import Count, Flag
from kumoi.cloud.api.request import Request
from kumoi.cloud.domain.compute import quota as domain
from kumoi.cloud.store.limits import UNLIMITED
from kumoi.engine.http.bounds import Object
from kumoi.engine.http.request import Reply

# The last version that has a resource, and the first. Classes differ.
OF_NETWORK = ("fixed_ips", "floating_ips", "security_groups", "security_group_rules")
OF_FILES = ("injected_files", "injected_file_content_bytes", "injected_file_path_bytes")
UNTIL = dict.fromkeys(OF_NETWORK, (2, 35)) | dict.fromkeys(OF_FILES, (2, 56))
CLASS_UNTIL = UNTIL | dict.fromkeys(OF_NETWORK, (2, 49))
CLASS_SINCE = dict.fromkeys(("server_groups", "server_group_members"), (2, 50))

QuotaBody = Object[Object[Count | Flag]]


def show(request: Request) -> Reply:
    project_id = _project(request)
    with request.read() as connection:
        limits = domain.limits(connection, project_id)
    return Reply(200, {"quota_set": {"id": project_id, **_known(request, limits)}})


def defaults(request: Request) -> Reply:
    project_id = _project(request)
    with request.read() as connection:
        limits = domain.defaults(connection)
    return Reply(200, {"quota_set": {"id": project_id, **_known(request, limits)}})


def detail(request: Request) -> Reply:
    project_id = _project(request)
    with request.read() as connection:
        found = domain.usages(connection, project_id, request.query.get("user_id"))
    shown = {
        name: {"limit": usage.limit, "in_use": usage.in_use, "reserved": 0}
        for name, usage in found.items()
    }
    return Reply(200, {"quota_set": {"id": project_id, **_known(request, shown)}})


def update(request: Request) -> Reply:
    body = request.parse(QuotaBody)
    project_id = request.path["id"]
    values, force = _values(body, "quota_set", _known(request, domain.DEFAULTS))
    with request.write() as connection:
        domain.change(connection, project_id, values, force=force)
        limits = domain.limits(connection, project_id)
    return Reply(200, {"quota_set": _known(request, limits)})


def delete(request: Request) -> Reply:
    with request.write() as connection:
        domain.reset(connection, request.path["id"])
    return Reply(202)


def show_class(request: Request) -> Reply:
    with request.read() as connection:
        limits = domain.defaults(connection)
    shown = {"id": request.path["id"], **_known_class(request, limits)}
    return Reply(200, {"quota_class_set": shown})


def update_class(request: Request) -> Reply:
    body = request.parse(QuotaBody)
    values, _ = _values(body, "quota_class_set", _known_class(request, domain.DEFAULTS))
    with request.write() as connection:
        domain.change(connection, domain.DEFAULT_CLASS, values, force=True)
        limits = domain.defaults(connection)
    return Reply(200, {"quota_class_set": _known_class(request, limits)})


def limits(request: Request) -> Reply:
    """The limits of the caller's project, and what it has."""
    caller, version = request.caller, request.microversion
    project_id = request.query.get("tenant_id") or caller.project_id or ""
    if project_id != caller.project_id:
        caller.check("os_compute_api:limits:other_project")
    with request.read() as connection:
        found = domain.usages(connection, project_id, caller.user_id)
    absolute: dict[str, Any] = {
        "maxTotalInstances": found["instances"].limit,
        "totalInstancesUsed": found["instances"].in_use,
        "maxTotalCores": found["cores"].limit,
        "totalCoresUsed": found["cores"].in_use,
        "maxTotalRAMSize": found["ram"].limit,
        "totalRAMUsed": found["ram"].in_use,
        "maxServerMeta": found["metadata_items"].limit,
        "maxTotalKeypairs": found["key_pairs"].limit,
        "maxServerGroups": found["server_groups"].limit,
        "totalServerGroupsUsed": found["server_groups"].in_use,
        "maxServerGroupMembers": found["server_group_members"].limit,
    }
    if version < (2, 36):
        for name in ("maxTotalFloatingIps", "maxSecurityGroups", "maxSecurityGroupRules"):
            absolute[name] = UNLIMITED
        absolute |= {"totalFloatingIpsUsed": 0, "totalSecurityGroupsUsed": 0}
    if version < (2, 39):
        absolute["maxImageMeta"] = found["metadata_items"].limit
    if version < (2, 57):
        absolute["maxPersonality"] = found["injected_files"].limit
        absolute["maxPersonalitySize"] = found["injected_file_content_bytes"].limit
    return Reply(200, {"limits": {"rate": [], "absolute": absolute}})


def _project(request: Request) -> str:
    """The project in the path. Raises Forbidden for another project's quota."""
    project_id = request.path["id"]
    request.caller.check("os_compute_api:os-quota-sets:show", project_id)
    return project_id


def _known(request: Request, values: Mapping[str, Any]) -> dict[str, Any]:
    """The resources that this version of the API has."""
    return {
        name: value
        for name, value in values.items()
        if request.microversion <= UNTIL.get(name, request.microversion)
    }


def _known_class(request: Request, values: Mapping[str, Any]) -> dict[str, Any]:
    version = request.microversion
    return {
        name: value
        for name, value in values.items()
        if CLASS_SINCE.get(name, version) <= version <= CLASS_UNTIL.get(name, version)
    }


def _values(
    body: dict[str, dict[str, Any]], word: str, known: Mapping[str, Any]
) -> tuple[dict[str, int], bool]:
    """The new limits, and whether to force them. Raises Invalid."""
    if set(body) != {word}:
        raise Invalid(f"The body must hold {word} and nothing else.", field=word)
    values = dict(body[word])
    values.pop("tenant_id", None)
    values.pop("id", None)
    force = shapes.flag(values.pop("force", False), "force")
    for name, value in values.items():
        if name not in known:
            raise shapes.invalid(name, value, f"Additional properties are not allowed ('{name}')")
    return {
        name: shapes.count(value, name, least=UNLIMITED) for name, value in values.items()
    }, force
