"""The query string of a list of servers."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec

from kumoi.base.errors import Forbidden, Invalid
from kumoi.cloud.api.compute import query_words, rendering, shapes
from kumoi.cloud.api.request import Request
from kumoi.cloud.domain.compute import status
from kumoi.cloud.domain.compute.server import ServerQuery
from kumoi.cloud.store.listing import Sort

# A filter's name, and the column whose value it names exactly.
COLUMNS = {
    "uuid": "id",
    "user_id": "user_id",
    "project_id": "project_id",
    "tenant_id": "project_id",
    "image": "image_id",
    "image_ref": "image_id",
    "flavor": "flavor_id",
    "reservation_id": "reservation_id",
    "host": "host_id",
    "node": "host_id",
    "hostname": "hostname",
    "key_name": "key_name",
    "locked_by": "locked_by",
    "access_ip_v4": "access_ipv4",
    "access_ip_v6": "access_ipv6",
    "description": "description",
}
ADMIN_ONLY = frozenset({"host", "node", "project_id", "tenant_id"})
OTHERS = frozenset(
    {
        "all_tenants", "auto_disk_config", "availability_zone", "changes-before", "changes-since", "config_drive",
        "created_at", "deleted", "display_description", "display_name", "ip", "ip6", "kernel_id",
        "launch_index", "launched_at", "limit", "locked", "marker", "metadata", "name",
        "not-tags", "not-tags-any", "power_state", "progress", "ramdisk_id", "root_device_name",
        "soft_deleted", "sort_dir", "sort_key", "status", "system_metadata", "tags", "tags-any",
        "task_state", "terminated_at", "vm_state",
    }
)  # fmt: skip
KNOWN = OTHERS | COLUMNS.keys()
STATUSES = frozenset(
    {*status.STATUSES.values(), *status.UNDER_WAY.values()}
    | {"SUSPENDED", "RESIZE", "VERIFY_RESIZE", "REVERT_RESIZE", "MIGRATING", "PASSWORD", "RESCUE"}
    | {"SHELVED", "SHELVED_OFFLOADED", "SOFT_DELETED", "UNKNOWN"}
)
ALL_FILTERS = "os_compute_api:servers:allow_all_filters"
V_STATUS_STRICT = (2, 38)


def parse(request: Request) -> ServerQuery:
    """Raises Invalid, and Forbidden for what only an administrator may ask."""
    query, caller = request.query, request.caller
    query_words.require_known(request, {query_words.V_STRICT: KNOWN})
    # Given without a value it means yes.
    all_projects = query.get("all_tenants") == "" or _flag(request, "all_tenants") is True
    since, before = _moment(request, "changes-since"), _moment(request, "changes-before")
    if since is not None and before is not None and since > before:
        raise Invalid(
            "The value of changes-since must be less than or equal to changes-before.",
            field="changes-since",
        )
    statuses = _statuses(request)
    deleted: bool | None = None if since or before else False
    sees_deleted = caller.may(ALL_FILTERS)
    if sees_deleted and query.get("deleted"):
        deleted = _flag(request, "deleted")
    if statuses == {"DELETED"} and sees_deleted:
        deleted = True
    return ServerQuery(
        among=_among(request, all_projects=all_projects),
        all_projects=all_projects,
        deleted=deleted,
        changed_since=since,
        changed_before=before,
        name=query.get("name", query.get("display_name")),
        ip=query.get("ip"),
        ip6=query.get("ip6"),
        statuses=statuses,
        vm_states=request.query_all("vm_state"),
        task_states=request.query_all("task_state"),
        power_states=[
            shapes.count(text, "power_state") for text in request.query_all("power_state")
        ],
        locked=_flag(request, "locked") if request.microversion >= (2, 73) else None,
        zones=request.query_all("availability_zone"),
        tags=_tags(request, "tags"),
        tags_any=_tags(request, "tags-any"),
        not_tags=_tags(request, "not-tags"),
        not_tags_any=_tags(request, "not-tags-any"),
        metadata=_metadata(request),
        sorts=_sorts(request),
        marker=query.get("marker"),
        limit=rendering.limit(request),
    )


def _among(request: Request, *, all_projects: bool) -> dict[str, list[Any]]:
    sees_all = request.caller.may(ALL_FILTERS)
    found: dict[str, list[Any]] = {}
    for name, column in COLUMNS.items():
        values = request.query_all(name)
        if not values or (name in ADMIN_ONLY and not sees_all):
            continue
        if column == "project_id" and not all_projects:
            continue
        found[column] = values
    if request.query_all("launch_index"):
        found["launch_index"] = [
            shapes.count(text, "launch_index") for text in request.query_all("launch_index")
        ]
    if request.query.get("config_drive"):
        found["config_drive"] = [_flag(request, "config_drive")]
    return found


def _statuses(request: Request) -> set[str]:
    """The filter by status. Raises Invalid for an unknown one since 2.38; before, it matches nothing."""
    found = {text.upper() for text in request.query_all("status")}
    unknown = sorted(found - STATUSES)
    if unknown and request.microversion >= V_STATUS_STRICT:
        raise Invalid(f"Invalid filter value: {unknown[0]}", field="status")
    if "DELETED" in found and not request.caller.may(ALL_FILTERS):
        raise Forbidden("Only administrators may list deleted instances")
    return found


def _sorts(request: Request) -> tuple[Sort, ...]:
    keys, directions = request.query_all("sort_key"), request.query_all("sort_dir")
    if not keys:
        return (Sort("created_at", descending=directions[:1] != ["asc"]),)
    for direction in directions:
        if direction not in ("asc", "desc"):
            raise Invalid("Unknown sort direction, must be 'desc' or 'asc'", field="sort_dir")
    padded = [*directions, *["desc"] * len(keys)]
    return tuple(
        Sort(key, direction == "desc") for key, direction in zip(keys, padded, strict=False)
    )


def _tags(request: Request, name: str) -> list[str]:
    if request.microversion < (2, 26):
        return []
    return [tag for tag in request.query.get(name, "").split(",") if tag]


def _metadata(request: Request) -> dict[str, str]:
    """The filter by metadata, which is JSON: {"role": "web"}. Raises Invalid."""
    raw = request.query.get("metadata")
    if not raw:
        return {}
    try:
        return msgspec.json.decode(raw, type=dict[str, str])
    except msgspec.DecodeError as cause:
        raise Invalid(f"metadata is not a JSON object of texts: {raw}", field="metadata") from cause


def _flag(request: Request, name: str) -> bool | None:
    raw = request.query.get(name)
    return None if not raw else shapes.flag(raw, name)


def _moment(request: Request, name: str) -> datetime | None:
    raw = request.query.get(name)
    return None if not raw else shapes.moment(raw, name)
