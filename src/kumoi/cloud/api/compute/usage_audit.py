"""The log of a task of Nova's that counts servers once a month. No host runs it here: usage is
counted when it is asked for (usage.py), and the log says that nothing has run.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from kumoi.base.errors import Invalid
from kumoi.cloud.api.request import Request
from kumoi.cloud.domain.host import host as domain
from kumoi.engine.http.request import Reply

FORMATS = ("%Y-%m-%d %H:%M:%S", "%Y-%m-%d %H:%M:%S.%f")
OLDEST = 2  # A year; before it there is no month to go back to.


def index(request: Request) -> Reply:
    log = _log(request, request.services.clock.now())
    return Reply(200, {"instance_usage_audit_logs": log})


def show(request: Request) -> Reply:
    """Raises Invalid for what is no time."""
    return Reply(200, {"instance_usage_audit_log": _log(request, _before(request.path["id"]))})


def _before(text: str) -> datetime:
    for pattern in FORMATS:
        try:
            found = datetime.strptime(text, pattern).replace(tzinfo=UTC)
        except ValueError:
            continue
        if found.year >= OLDEST:
            return found
    raise Invalid(f"Invalid timestamp for date {text}", field="id")


def _log(request: Request, before: datetime) -> dict[str, Any]:
    """Of the last whole month before that time."""
    end = before.replace(day=1, hour=0, minute=0, second=0, microsecond=0, tzinfo=None)
    begin = (end - timedelta(days=1)).replace(day=1)
    with request.read() as connection:
        hosts = [row.id for row in domain.every(connection)]
    zeros = ("num_hosts_done", "num_hosts_running", "total_instances", "total_errors")
    done = f"0 of {len(hosts)}" if hosts else "ALL"
    return {
        "period_beginning": str(begin),
        "period_ending": str(end),
        "num_hosts": len(hosts),
        "num_hosts_not_run": len(hosts),
        "hosts_not_run": hosts,
        **dict.fromkeys(zeros, 0),
        "overall_status": f"{done} hosts done. 0 errors.",
        "log": {},
    }
