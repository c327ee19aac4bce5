"""Delete a server: wanted absent at once; gone when its host says so, or when it never had one.

One that could not be built gives back what it claimed, and waits in ERROR for its owner to delete it.
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy.engine import Connection

from kumoi.base import log
from kumoi.cloud.domain.caller import Caller
from kumoi.cloud.domain.compute import action, networking, placement, snapshot
from kumoi.cloud.hostapi.messages import Power
from kumoi.cloud.store.compute import console as console_store
from kumoi.cloud.store.compute import server as store
from kumoi.cloud.store.compute.server import Server
from kumoi.cloud.store.host import host as host_store
from kumoi.cloud.store.host.host import UP


def begin(connection: Connection, caller: Caller, server: Server, now: datetime) -> None:
    """A server in any state may be deleted; asking again changes nothing."""
    if server.power == Power.ABSENT:
        return
    action.begin(connection, caller, server, "delete", now)
    if server.host_id is None:
        finish(connection, server, now)
    else:
        store.want(connection, server, now=now, power=Power.ABSENT.value)


def force(connection: Connection, caller: Caller, server: Server, now: datetime) -> None:
    """Without waiting for a host that is down; should it come back, it is told to remove it."""
    begin(connection, caller, server, now)
    row = None if server.host_id is None else host_store.get(connection, server.host_id)
    if server.host_id is None or (row is not None and row.state == UP):
        return
    if caller.may("os_compute_api:os-deferred-delete:force:host_down"):
        finish(connection, server, now)
        store.touch(connection, server.host_id, server.id)


def give_back(connection: Connection, server: Server, now: datetime) -> None:
    """It never ran and never will: its addresses, its slot and its room on the host are free. The
    host is told to forget it.
    """
    if server.host_id is None:
        return
    networking.release(connection, server, now)
    placement.release(connection, server)
    store.update(connection, server, now=now, host_id=None, id_slot=None)
    store.touch(connection, server.host_id, server.id)


def finish(connection: Connection, server: Server, now: datetime) -> None:
    """The host has nothing of it any more: ports and claims go, the row stays for a while."""
    networking.release(connection, server, now)
    placement.release(connection, server)
    store.update(
        connection, server, now=now, deleted=True, terminated_at=now, power=Power.ABSENT.value
    )
    snapshot.abandon(connection, server)
    console_store.delete(connection, server.id)
    action.end(connection, server.id, now)
    log.event("server.deleted", server=server.id, host=server.host_id)
