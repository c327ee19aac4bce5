"""Instance actions: the record of the requests on a server. One is opened by the request and ended by
the host's report. A server has the newest KEPT_MAX: who locks and unlocks one without end fills no disk.
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy.engine import Connection

from kumoi.base.errors import Invalid, NotFound
from kumoi.cloud.domain.caller import Caller
from kumoi.cloud.store.compute import action as store
from kumoi.cloud.store.compute.action import InstanceAction
from kumoi.cloud.store.compute.server import Server

EVENTS = {
    "create": "compute__do_build_and_run_instance",
    "delete": "compute_terminate_instance",
    "start": "compute_start_instance",
    "stop": "compute_stop_instance",
    "reboot": "compute_reboot_instance",
    "pause": "compute_pause_instance",
    "unpause": "compute_unpause_instance",
    "rebuild": "compute_rebuild_instance",
    "evacuate": "compute_rebuild_instance",
    "resize": "compute_prep_resize",
    "confirmResize": "compute_confirm_resize",
    "revertResize": "compute_revert_resize",
    "createImage": "compute_snapshot_instance",
    "createBackup": "compute_backup_instance",
    "suspend": "compute_suspend_instance",
    "resume": "compute_resume_instance",
    "shelve": "compute_shelve_instance",
    "unshelve": "compute_unshelve_instance",
    "migrate": "compute_prep_resize",
    "live-migration": "compute_live_migration",
    "live_migration_cancel": "compute_live_migration_abort",
    "rescue": "compute_rescue_instance",
    "unrescue": "compute_unrescue_instance",
    "attach_interface": "compute_attach_interface",
    "detach_interface": "compute_detach_interface",
    "lock": "api_lock",
    "unlock": "api_unlock",
}
KEPT_MAX = 1_000
ERROR = "Error"
SUCCESS = "Success"


def begin(
    connection: Connection, caller: Caller, server: Server, action: str, now: datetime
) -> None:
    """Record an action that is under way until `end`."""
    _insert(connection, caller, server, action, now)


def record(
    connection: Connection, caller: Caller, server: Server, action: str, now: datetime
) -> None:
    """Record an action that its request completes: no host has a part in it."""
    _insert(connection, caller, server, action, now, result=SUCCESS)


def end(
    connection: Connection,
    server_id: str,
    now: datetime,
    *,
    fault: str | None = None,
    note: str | None = None,
) -> None:
    """End the server's actions under way. `note` says something of one that went well."""
    store.finish(
        connection,
        server_id,
        at=now,
        result=SUCCESS if fault is None else ERROR,
        message=fault or note,
    )


def get(connection: Connection, server_id: str, request_id: str) -> InstanceAction:
    """Raises NotFound."""
    row = store.get(connection, server_id, request_id)
    if row is None:
        raise NotFound("action for request_id", request_id)
    return row


def page(
    connection: Connection,
    server_id: str,
    *,
    since: datetime | None,
    until: datetime | None,
    marker: str | None,
    limit: int,
) -> list[InstanceAction]:
    """Newest first. Raises Invalid (field `marker`)."""
    if marker is not None and store.get(connection, server_id, marker) is None:
        raise Invalid(f"marker [{marker}] not found", field="marker")
    return store.page(connection, server_id, since=since, until=until, marker=marker, limit=limit)


def _insert(
    connection: Connection,
    caller: Caller,
    server: Server,
    action: str,
    now: datetime,
    *,
    result: str | None = None,
) -> None:
    row = InstanceAction(
        request_id=caller.request_id,
        server_id=server.id,
        action=action,
        event=EVENTS[action],
        user_id=caller.user_id,
        project_id=caller.project_id or "",
        host_id=server.host_id,
        start_at=now,
        finish_at=now if result else None,
        result=result,
        message=None,
    )
    store.insert(connection, row)
    if action != "create":
        store.forget_oldest(connection, server.id, kept=KEPT_MAX)
