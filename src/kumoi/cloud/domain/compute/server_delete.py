"""Delete a server: it is wanted absent at once, and its row is marked deleted once its host reports
it gone, or at once where it never had a host.

A server that could not be built releases what it claimed, and stays in ERROR until its owner deletes
it.
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy.engine import Connection

from kumoi.base import log
from kumoi.cloud.domain.caller import Caller
from kumoi.cloud.domain.compute import action, move, placement, shelve, snapshot
from kumoi.cloud.domain.network import port as port_domain
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
    withdraw(connection, server, now)


def withdraw(connection: Connection, server: Server, now: datetime) -> None:
    """Delete a server, as the request that made it may, and whoever has begun to."""
    if server.host_id is None:
        finish(connection, server, now)
    else:
        store.want(connection, server, now=now, power=Power.ABSENT.value)


def force(connection: Connection, caller: Caller, server: Server, now: datetime) -> None:
    """Delete without waiting for a host that is down. Should that host come back, it is asked to
    remove the server then.
    """
    begin(connection, caller, server, now)
    row = None if server.host_id is None else host_store.get(connection, server.host_id)
    if server.host_id is None or (row is not None and row.state == UP):
        return
    if caller.may("os_compute_api:os-deferred-delete:force:host_down"):
        finish(connection, server, now)
        store.touch(connection, server.host_id, server.id)


def release_claims(connection: Connection, server: Server, now: datetime) -> None:
    """Free the addresses, the slot and the room on its host of a server that could not be built,
    and have the host forget it.
    """
    if server.host_id is None:
        return
    port_domain.release_device(connection, server.id, now)
    placement.release(connection, server)
    store.update(connection, server, now=now, host_id=None, id_slot=None)
    store.touch(connection, server.host_id, server.id)


def finish(connection: Connection, server: Server, now: datetime) -> None:
    """Release ports and claims of a server that no host has any more; its row stays for a while, without what
    its owner gave it to read.
    """
    port_domain.release_device(connection, server.id, now)
    placement.release(connection, server)
    store.update(
        connection,
        server,
        now=now,
        deleted=True,
        terminated_at=now,
        power=Power.ABSENT.value,
        user_data=None,
        files=None,
    )
    snapshot.abandon(connection, server)
    shelve.abandon(connection, server)
    move.abandon(connection, server, now)
    console_store.delete(connection, server.id)
    action.end(connection, server.id, now)
    log.event("server.deleted", server=server.id, host=server.host_id)
