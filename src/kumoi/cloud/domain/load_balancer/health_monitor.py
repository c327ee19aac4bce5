"""Health monitors: what is allowed. A monitor says how the members of a pool are probed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy.engine import Connection

from kumoi.base.errors import Conflict, Unsupported
from kumoi.cloud.domain.caller import Caller
from kumoi.cloud.domain.load_balancer import pool as pool_domain
from kumoi.cloud.domain.load_balancer.part import PartRules, beginning, said_of
from kumoi.cloud.domain.load_balancer.refusal import invalid, option
from kumoi.cloud.store.load_balancer import health_monitor as store
from kumoi.cloud.store.load_balancer.health_monitor import HealthMonitor

RULES = PartRules("healthmonitor", "Health Monitor", store.TABLE)
found = RULES.found
get = RULES.get
page = RULES.page
delete = RULES.delete
BY_HTTP = ("HTTP", "HTTPS")
OF_DATAGRAMS = ("UDP-CONNECT", "TCP", "HTTP")
HTTP_DEFAULTS: Mapping[str, Any] = {"http_method": "GET", "url_path": "/", "expected_codes": "200"}
HTTP_ONLY = (*HTTP_DEFAULTS, "http_version", "domain_name")
WITH_HOST = 1.1
NEVER_NULL = ("delay", "timeout", "max_retries")


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthMonitorRequest:
    """Times are in seconds. What is said of HTTP is None for other types."""

    pool_id: str
    type: str
    delay: int
    timeout: int
    max_retries: int
    max_retries_down: int = 3
    name: str = ""
    admin_state_up: bool = True
    http_method: str | None = None
    url_path: str | None = None
    expected_codes: str | None = None
    http_version: float | None = None
    domain_name: str | None = None
    tags: tuple[str, ...] = ()


def create(
    connection: Connection, caller: Caller, wanted: HealthMonitorRequest, now: datetime
) -> HealthMonitor:
    """Raises NotFound, Forbidden, OverQuota, Invalid, Conflict for a second one of a pool, and
    Unsupported.
    """
    pool = pool_domain.found(connection, wanted.pool_id)
    RULES.admit(connection, caller, pool.project_id)
    said = said_of(wanted)
    _require_fitting(wanted.type, pool.protocol)
    _require_http(wanted.type, said)
    if wanted.type in BY_HTTP:
        said |= {name: said[name] or value for name, value in HTTP_DEFAULTS.items()}
    if store.TABLE.find(connection, pool_id=pool.id):
        raise Conflict("This pool already has a health monitor")
    row = HealthMonitor(
        **beginning(pool.load_balancer_id, pool.project_id, now), description="", **said
    )
    return RULES.insert(connection, row, wanted.tags)


def update(
    connection: Connection, caller: Caller, key: str, values: Mapping[str, Any], now: datetime
) -> HealthMonitor:
    """Raises NotFound, Forbidden, Invalid, and Conflict."""
    row = get(connection, caller, key, action="put")
    changed = dict(values)
    for name in NEVER_NULL:
        if name in changed and changed[name] is None:
            raise option(None, name)
    if row.type in BY_HTTP:
        for name in HTTP_DEFAULTS:
            if name in changed and changed[name] is None:
                changed[name] = HTTP_DEFAULTS[name]
    _require_http(row.type, {name: getattr(row, name) for name in HTTP_ONLY} | changed)
    store.update(connection, row, now=now, **changed)
    return found(connection, key)


def _require_fitting(kind: str, pool_protocol: str) -> None:
    if kind == "SCTP":
        raise Unsupported(
            "health monitors of type SCTP are not offered: members of SCTP pools are watched by TCP or HTTP"
        )
    is_datagrams = pool_protocol in ("UDP", "SCTP")
    if is_datagrams and kind not in OF_DATAGRAMS:
        raise invalid(
            f"The associated pool protocol is {pool_protocol}, so only a "
            f"{', '.join(OF_DATAGRAMS)} health monitor is supported."
        )
    if kind == "UDP-CONNECT" and pool_protocol != "UDP":
        raise invalid(f"The {kind} type is only supported for pools of type UDP.")


def _require_http(kind: str, said: Mapping[str, Any]) -> None:
    if kind not in BY_HTTP:
        for name in HTTP_ONLY:
            if said.get(name) is not None:
                raise option(name, f"health monitors of type {kind}")
    version = said.get("http_version") or 1.0
    if said.get("domain_name") and version < WITH_HOST:
        raise option(f"http_version {version}", "health monitors HTTP 1.1 domain name health check")
