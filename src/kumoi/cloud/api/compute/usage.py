"""What projects used of the cloud in a period: os-simple-tenant-usage.

Counted from the rows of servers, so servers whose row has been purged after their deletion are missing.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from kumoi.base.errors import Invalid
from kumoi.cloud.api.compute import rendering, shapes
from kumoi.cloud.api.request import Request
from kumoi.cloud.domain.compute import status
from kumoi.cloud.store.compute import server_list
from kumoi.cloud.store.compute.server import Server
from kumoi.engine.http.request import Reply

HOUR_S = 3_600.0
DEFAULT = timedelta(weeks=4)
V_PAGES = (2, 40)


@dataclass(frozen=True, slots=True)
class UsagePeriod:
    start: datetime
    stop: datetime
    now: datetime


def index(request: Request) -> Reply:
    """Pages of servers, by project and id: a project may be on two pages. Before 2.40 there is only a first one,
    as long as a page may be.
    """
    span = _span(request)
    detailed = request.query.get("detailed") == "1"
    used, links = _page(request, span, project_id=None)
    by_project: dict[str, list[Server]] = {}
    for row in used:
        by_project.setdefault(row.project_id, []).append(row)
    shown = [
        _usage(project_id, found, span, detailed=detailed)
        for project_id, found in sorted(by_project.items())
    ]
    more = {"tenant_usages_links": links} if links else {}
    return Reply(200, {"tenant_usages": shown, **more})


def show(request: Request) -> Reply:
    """Zeros where nothing was used, since the `openstack` client cannot show an empty answer; but
    nothing behind a marker, where a client that pages looks for the end.
    """
    project_id = request.path["id"]
    request.caller.check("os_compute_api:os-simple-tenant-usage:show", project_id)
    span = _span(request)
    used, links = _page(request, span, project_id=project_id)
    at_end = not used and "marker" in request.query and request.microversion >= V_PAGES
    shown = {} if at_end else _usage(project_id, used, span, detailed=True)
    more = {"tenant_usage_links": links} if links else {}
    return Reply(200, {"tenant_usage": shown, **more})


def _page(
    request: Request, span: UsagePeriod, *, project_id: str | None
) -> tuple[list[Server], list[dict[str, str]]]:
    """The servers of the page asked for, and the link to the next. Raises Invalid (field `marker`)
    for a server that used nothing in the period.
    """
    in_pages = request.microversion >= V_PAGES
    most = rendering.limit(request) if in_pages else rendering.PAGE_MAX
    with request.read() as connection:
        rows = server_list.that_ran(
            connection,
            project_id=project_id,
            start=span.start,
            stop=min(span.stop, span.now),
            marker=request.query.get("marker") if in_pages else None,
            limit=most,
        )
    links = rendering.page_links(request, [row.id for row in rows], most) if in_pages else []
    return [row for row in rows if _hours(row, span) > 0], links


def _span(request: Request) -> UsagePeriod:
    """Raises Invalid."""
    now = request.services.clock.now()
    start, stop = request.query.get("start"), request.query.get("end")
    span = UsagePeriod(
        start=shapes.moment(start, "start") if start else now - DEFAULT,
        stop=shapes.moment(stop, "end") if stop else now,
        now=now,
    )
    if span.start > span.stop:
        raise Invalid("Invalid start time. The start time cannot occur after the end time.")
    return span


def _hours(row: Server, span: UsagePeriod) -> float:
    if row.launched_at is None:
        return 0.0
    start = max(row.launched_at, span.start)
    stop = min(row.terminated_at or span.now, span.stop, span.now)
    return max((stop - start).total_seconds() / HOUR_S, 0.0)


def _usage(
    project_id: str, rows: list[Server], span: UsagePeriod, *, detailed: bool
) -> dict[str, Any]:
    hours = [_hours(row, span) for row in rows]
    pairs = list(zip(rows, hours, strict=True))
    shown: dict[str, Any] = {
        "tenant_id": project_id,
        "start": rendering.precise(span.start),
        "stop": rendering.precise(span.stop),
        "total_hours": sum(hours),
        "total_local_gb_usage": sum(row.disk_gib * spent for row, spent in pairs),
        "total_memory_mb_usage": sum(row.ram_mib * spent for row, spent in pairs),
        "total_vcpus_usage": sum(row.vcpus * spent for row, spent in pairs),
    }
    if detailed:
        shown["server_usages"] = [_server(row, spent, span) for row, spent in pairs]
    return shown


def _server(row: Server, hours: float, span: UsagePeriod) -> dict[str, Any]:
    started = row.launched_at or row.created_at
    return {
        "instance_id": row.id,
        "name": row.name,
        "tenant_id": row.project_id,
        "flavor": row.flavor_name,
        "vcpus": row.vcpus,
        "memory_mb": row.ram_mib,
        "local_gb": row.disk_gib,
        "hours": hours,
        "uptime": int(((row.terminated_at or span.now) - started).total_seconds()),
        "started_at": rendering.precise(started),
        "ended_at": rendering.precise(row.terminated_at),
        "state": "terminated" if row.deleted else status.of(row).vm_state,
    }
