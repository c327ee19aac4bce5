"""evacuate: a server is made again on another host, as its own is lost and an administrator says so.

Where hosts have leases, a host that has one is not lost; an administrator whose word counts more forces the
host down first, as with Nova.
"""

from __future__ import annotations

import msgspec

from kumoi.base.errors import Conflict, Invalid
from kumoi.cloud.api.compute import server_body, shapes
from kumoi.cloud.api.compute.shapes import Flag, Name, Text
from kumoi.cloud.api.request import Request
from kumoi.cloud.domain.compute import server, server_heal, status
from kumoi.cloud.domain.compute.server_heal import HealOrder
from kumoi.cloud.domain.host import host as host_domain
from kumoi.cloud.store.host import host as host_store
from kumoi.cloud.store.host.host import Host
from kumoi.engine.http.request import UNSET, Body, Reply, Unset

V_NO_PASSWORD = (2, 14)
SINCE = {"force": (2, 29), "target_state": (2, 95)}
UNTIL = {"on_shared_storage": (2, 13), "force": (2, 67)}
EVACUABLE = ("active", "stopped", "error")


class Evacuate(
    Body,
    kw_only=True,
    rename={
        "admin_pass": "adminPass",
        "on_shared_storage": "onSharedStorage",
        "target_state": "targetState",
    },
):
    host: Name | Unset = UNSET
    admin_pass: Text | Unset = UNSET
    on_shared_storage: Flag | Unset = UNSET
    force: Flag | Unset = UNSET
    target_state: Text | Unset = UNSET


def create(request: Request, name: str, raw: bytes) -> Reply:
    """Raises Invalid while its host is in use, and Conflict where the server is in no state for it."""
    body = _decoded(name, raw)
    shapes.require_versions(request, body, since=SINCE, until=UNTIL)
    wanted = None if body.host is UNSET else body.host
    with request.read() as connection:
        row = server.unlocked(connection, request.caller, request.path["id"])
        now = status.of(row)
        if now.vm_state not in EVACUABLE:
            raise Conflict(
                f"Cannot 'evacuate' instance {row.id} while it is in vm_state {now.vm_state}"
            )
        if row.host_id is None:
            raise Conflict(f"Instance {row.id} is on no host.")
        lost = host_domain.get(connection, row.host_id)
        _require_host(wanted, lost, exists=not wanted or bool(host_store.get(connection, wanted)))
    if lost.is_up:
        raise Invalid(f"Compute service of {lost.id} is still in use.", field="evacuate")
    with_lease = _begin(request, lost)
    at = request.services.clock.now()
    order = HealOrder(
        reason=f"an administrator says that {lost.id} is lost",
        witnesses={"administrator": request.caller.user_id},
        caller=request.caller,
        to_host_id=wanted,
    )
    try:
        with request.write() as connection:
            found = server.unlocked(connection, request.caller, row.id)
            if found.host_id != lost.id:
                raise Conflict(f"Instance {row.id} is on another host by now.")
            server_heal.move(connection, found, at, order)
    finally:
        _end(request, lost, begun=with_lease)
    if request.microversion >= V_NO_PASSWORD:
        return Reply(200)
    return Reply(200, {"adminPass": server_body.password(body.admin_pass)})


def _require_host(wanted: str | None, lost: Host, *, exists: bool) -> None:
    if not exists:
        raise Invalid(f"Compute host {wanted} could not be found.", field="evacuate.host")
    if wanted == lost.id:
        raise Invalid("The target host can't be the same one.", field="evacuate.host")


def _begin(request: Request, lost: Host) -> bool:
    """Whether the host gets no lease from now on. Raises Invalid where it has one."""
    book = request.services.leases
    if book is None or lost.forced_down:
        return False
    if not book.begin_heal(lost.id, request.request_id):
        raise Invalid(
            f"{lost.id} has its lease, so it is not lost: force its service down first.",
            field="evacuate",
        )
    return True


def _end(request: Request, lost: Host, *, begun: bool) -> None:
    book = request.services.leases
    if begun and book is not None:
        book.end_heal(lost.id)


def _decoded(name: str, raw: bytes) -> Evacuate:
    try:
        return msgspec.json.decode(raw, type=Evacuate)
    except msgspec.ValidationError as cause:
        text, _, path = str(cause).partition(" - at `$")
        field = name + path.rstrip("`")
        raise Invalid(f"Invalid input for field/attribute {field}. {text}", field=field) from cause
    except msgspec.DecodeError as cause:
        raise Invalid(f"Invalid input for field/attribute {name}: no JSON", field=name) from cause
