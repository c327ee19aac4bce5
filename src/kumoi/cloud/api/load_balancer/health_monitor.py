"""Health monitors: what is accepted and what is shown."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec

from kumoi.cloud.api.load_balancer import rendering
from kumoi.cloud.api.load_balancer.body import Common, Id
from kumoi.cloud.api.load_balancer.resource import BalancingResource
from kumoi.cloud.domain.load_balancer import health_monitor as domain
from kumoi.cloud.domain.load_balancer.health_monitor import HealthMonitorRequest
from kumoi.engine.http.request import UNSET, Unset

MonitorType = Literal["HTTP", "HTTPS", "PING", "SCTP", "TCP", "TLS-HELLO", "UDP-CONNECT"]
Method = Literal["CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE"]
Seconds = Annotated[int, msgspec.Meta(ge=1, le=86_400)]
Retries = Annotated[int, msgspec.Meta(ge=1, le=10)]
UrlPath = Annotated[str, msgspec.Meta(max_length=255, pattern=r"^/[^\s\x00-\x1f]*\Z")]
Codes = Annotated[
    str, msgspec.Meta(max_length=64, pattern=r"^(\d{3}(\s*,\s*\d{3})*|\d{3}-\d{3})\Z")
]
DomainName = Annotated[str, msgspec.Meta(max_length=255, pattern=r"^[A-Za-z0-9._-]+\Z")]
HttpVersion = Annotated[float, msgspec.Meta(ge=1.0, le=1.1)]


class HealthMonitorChanges(Common):
    delay: Seconds | Unset | None = UNSET
    timeout: Seconds | Unset | None = UNSET
    max_retries: Retries | Unset | None = UNSET
    max_retries_down: Retries | Unset | None = UNSET
    http_method: Method | Unset | None = UNSET
    url_path: UrlPath | Unset | None = UNSET
    expected_codes: Codes | Unset | None = UNSET
    http_version: HttpVersion | Unset | None = UNSET
    domain_name: DomainName | Unset | None = UNSET


class HealthMonitorWithin(HealthMonitorChanges, kw_only=True):
    """One that is made with its pool."""

    type: MonitorType
    delay: Seconds
    timeout: Seconds
    max_retries: Retries


class HealthMonitorNew(HealthMonitorWithin, kw_only=True):
    pool_id: Id
    project_id: Id | Unset | None = UNSET


def wanted(said: dict[str, Any]) -> HealthMonitorRequest:
    """Of one that is made with its pool, `pool_id` is not said yet."""
    convert(said)
    said.pop("project_id", None)
    return HealthMonitorRequest(**{"pool_id": "", **said})


def convert(values: dict[str, Any]) -> None:
    if values.get("expected_codes"):
        values["expected_codes"] = "".join(values["expected_codes"].split())


RESOURCE = BalancingResource(
    word="healthmonitor",
    words="healthmonitors",
    new=HealthMonitorNew,
    changes=HealthMonitorChanges,
    columns={
        "type": str,
        "delay": int,
        "timeout": int,
        "max_retries": int,
        "max_retries_down": int,
        "http_method": str,
        "url_path": str,
        "expected_codes": str,
        "pool_id": str,
    },
    defaults={"name": "", "admin_state_up": True, "max_retries_down": 3, "tags": []},
    wanted=lambda _request, said: wanted(said),
    convert=lambda _request, values: convert(values),
    make=domain.create,
    get=domain.get,
    page=domain.page,
    change=domain.update,
    remove=domain.delete,
    shown=rendering.of_parts(rendering.health_monitor),
)
