"""`kumoi host drain` and `undrain`: a host goes out of service before what must interrupt, and comes back.

What is so is in the store: the host is disabled, each server moves by itself (cloud/domain/compute/move.py). This only
asks and shows, one server after the other; so it may be interrupted and called again at any time.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from openstack.connection import Connection

from kumoi.base.errors import NotFound, Permanent, Transient
from kumoi.cli.progress import Progress, ProgressStage

MOVES = {
    "ACTIVE": "os-migrateLive",
    "PAUSED": "os-migrateLive",
    "SUSPENDED": "os-migrateLive",
    "SHUTOFF": "migrate",
}
"""By status, what moves a server."""
MOVING = "MIGRATING"
VERSION = "2.84"
LOOK_S = 0.5
STOP_S = 60.0
WORDS = {
    "VERIFY_RESIZE": "its owner has not confirmed its resize",
    "RESCUE": "it is being rescued",
    "ERROR": "it has failed",
}


@dataclass(slots=True)
class Drained:
    """How many servers went, were stopped here, or stay and run, with the reasons of the last."""

    moved: int = 0
    stopped: int = 0
    left: int = 0


def disable(api: Connection, host: str, reason: str) -> None:
    """No new servers, no way outside and no proxies of balancers, where other hosts can have them."""
    api.compute.disable_service(service(api, host), disabled_reason=reason)


def enable(api: Connection, host: str) -> int:
    """All of that again. Moves from the host whose disks are being copied end; how many."""
    api.compute.enable_service(service(api, host))
    ended = 0
    for server in on_host(api, host):
        path = f"/servers/{server.id}/migrations"
        for move in api.compute.get(path, microversion=VERSION).json()["migrations"]:
            # Refused for one whose server has stopped by now: it ends in a moment.
            ended += api.compute.delete(f"{path}/{move['id']}", microversion=VERSION).ok
    return ended


def service(api: Connection, host: str) -> Any:
    """Raises NotFound."""
    found = next((each for each in api.compute.services() if each.host == host), None)
    if found is None:
        message = f"there is no host {host}: sudo ./kumoi host list"
        raise NotFound("host", host, message=message)
    return found


def on_host(api: Connection, host: str) -> list[Any]:
    return [
        server
        for server in api.compute.servers(details=True, all_projects=True)
        if (server.compute_host or server.hypervisor_hostname) == host
    ]


def empty(api: Connection, host: str, progress: Progress, *, stop: bool) -> Drained:
    """Move the host's servers, one after the other: of two behind one balancer one works at any time. With `stop`
    those that cannot be moved are stopped.
    """
    done, seen = Drained(), set[str]()
    for server in _servers(api, host, seen):
        total = done.moved + done.stopped + done.left + len(on_host(api, host))
        number = done.moved + done.stopped + done.left + 1
        with progress.stage(f"{number} of {max(total, number)}: {server.name}") as stage:
            why = _move(api, server, host, stage)
            if not why:
                done.moved += 1
            elif stop and server.status in MOVES:
                _stop(api, server)
                done.stopped += 1
                stage.note(f"stopped, since {why}")
            else:
                done.left += server.status != "SHUTOFF"
                stage.note(f"stays: {why}")
    return done


def _servers(api: Connection, host: str, seen: set[str]) -> Iterator[Any]:
    """Those of the host, each once, also such as come meanwhile."""
    while True:
        left = [server for server in on_host(api, host) if server.id not in seen]
        if not left:
            return
        seen.add(left[0].id)
        yield left[0]


def _move(api: Connection, server: Any, host: str, stage: ProgressStage) -> str:
    """Why it is still there; empty when it is not."""
    if server.status != MOVING:
        if server.status not in MOVES:
            return WORDS.get(server.status, f"it is {server.status}")
        name = MOVES[server.status]
        arguments = {"host": None, "block_migration": "auto"} if name != "migrate" else None
        answer = api.compute.post(
            f"/servers/{server.id}/action", json={name: arguments}, microversion=VERSION
        )
        if not answer.ok:
            return _refusal(answer)
    now = _settled(api, server, stage)
    if now is None:
        return ""
    details = _details(api, server)
    if now.compute_host == host:
        return details or "its move was cancelled"
    stage.note(f"now on {now.compute_host}; {details}" if details else f"now on {now.compute_host}")
    return ""


def _settled(api: Connection, server: Any, stage: ProgressStage) -> Any:
    """The server once its move has ended; None when it was deleted."""
    path = f"/servers/{server.id}/migrations"
    while True:
        now = api.compute.find_server(server.id, all_projects=True, ignore_missing=True)
        if now is None or now.status != MOVING:
            return now
        for move in api.compute.get(path, microversion=VERSION).json().get("migrations", ()):
            total, sent = move["disk_total_bytes"] >> 20, move["disk_processed_bytes"] >> 20
            stage.tell(f"to {move['dest_compute']}, {sent} MiB of a disk of {total} MiB")
        time.sleep(LOOK_S)


def _details(api: Connection, server: Any) -> str:
    """What its newest action says: how long it paused, or why it did not move."""
    path = f"/servers/{server.id}/os-instance-actions"
    listed = api.compute.get(f"{path}?limit=1", microversion=VERSION).json()["instanceActions"]
    if not listed:
        return ""
    shown = api.compute.get(f"{path}/{listed[0]['request_id']}", microversion=VERSION).json()
    return str(shown["instanceAction"]["events"][0].get("details") or "")


def _stop(api: Connection, server: Any) -> None:
    """Raises Transient."""
    if server.status == "SHUTOFF":
        return
    api.compute.post(f"/servers/{server.id}/action", json={"os-stop": None}, microversion=VERSION)
    until = time.monotonic() + STOP_S
    while api.compute.get_server(server.id).status != "SHUTOFF":
        if time.monotonic() > until:
            raise Transient(f"stop server {server.name}")
        time.sleep(LOOK_S)


def _refusal(answer: Any) -> str:
    """What an API says of why it does not."""
    try:
        ((_, fault),) = answer.json().items()
        return str(fault["message"])
    except (ValueError, KeyError, TypeError) as cause:
        raise Permanent(f"the API refused: {answer.status_code}") from cause
