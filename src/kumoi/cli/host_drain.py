"""`kumoi host drain` and `undrain`: a host goes out of service before what must interrupt, and comes back.

What is so is in the store: the host is disabled, each server moves by itself (cloud/domain/compute/move.py). This only
asks and shows, one server after the other; so it may be interrupted and called again at any time.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
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


PAUSED = re.compile(r"paused for (\d+\.\d+) s")
BAR_WIDTH = 20


@dataclass(frozen=True, slots=True)
class DrainOptions:
    """`connections_end_s` is how long connections of balancers to a server may take to end, None for what the cloud has.
    With `stop` the servers that cannot be moved are stopped.
    """

    stop: bool = False
    connections_end_s: int | None = None


@dataclass(frozen=True, slots=True)
class ServerDrained:
    """`outcome` is moved, stopped, off (it stays, and does not run) or left. `paused_s` is None where it did not pause, or nobody
    said for how long; `why` what kept it.
    """

    id: str
    name: str
    outcome: str
    host: str
    paused_s: float | None = None
    why: str = ""


@dataclass(slots=True)
class Drained:
    """The servers, in the order in which they were seen to."""

    servers: list[ServerDrained] = field(default_factory=list)

    def count(self, outcome: str) -> int:
        return sum(each.outcome == outcome for each in self.servers)

    def longest_pause_s(self) -> float | None:
        return max((each.paused_s for each in self.servers if each.paused_s), default=None)

    def shown(self) -> list[dict[str, Any]]:
        return [asdict(each) for each in self.servers]


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


def empty(
    api: Connection, host: str, progress: Progress, options: DrainOptions, done: Drained
) -> None:
    """Move the host's servers, one after the other: of two behind one balancer one works at any time. `done` gets each."""
    seen = set[str]()
    for server in _servers(api, host, seen):
        number = len(done.servers) + 1
        total = max(number, len(done.servers) + len(on_host(api, host)))
        title = f"{bar(number - 1, total)} {number} of {total}: {server.name}"
        with progress.stage(title) as stage:
            done.servers.append(_seen_to(api, server, host, stage, options))


def bar(done: int, total: int) -> str:
    filled = BAR_WIDTH * done // max(total, 1)
    return "█" * filled + "░" * (BAR_WIDTH - filled)


def _seen_to(
    api: Connection, server: Any, host: str, stage: ProgressStage, options: DrainOptions
) -> ServerDrained:
    why, target, details = _move(api, server, host, stage, options)
    if not why:
        stage.note(f"now on {target}; {details}" if details else f"now on {target}")
        paused = PAUSED.search(details)
        seconds = float(paused[1]) if paused else None
        return ServerDrained(server.id, server.name, "moved", target, seconds)
    if options.stop and server.status in MOVES:
        _stop(api, server)
        stage.note(f"stopped, since {why}")
        return ServerDrained(server.id, server.name, "stopped", host, why=why)
    stage.note(f"stays: {why}")
    outcome = "off" if server.status == "SHUTOFF" else "left"
    return ServerDrained(server.id, server.name, outcome, host, why=why)


def _servers(api: Connection, host: str, seen: set[str]) -> Iterator[Any]:
    """Those of the host, each once, also such as come meanwhile."""
    while True:
        left = [server for server in on_host(api, host) if server.id not in seen]
        if not left:
            return
        seen.add(left[0].id)
        yield left[0]


def _move(
    api: Connection, server: Any, host: str, stage: ProgressStage, options: DrainOptions
) -> tuple[str, str, str]:
    """Why it is still there, empty when it is not; where it is; and what is said of its move."""
    if server.status != MOVING:
        if server.status not in MOVES:
            return WORDS.get(server.status, f"it is {server.status}"), host, ""
        name = MOVES[server.status]
        answer = api.compute.post(
            f"/servers/{server.id}/action",
            json={name: _arguments(name, options)},
            microversion=VERSION,
        )
        if not answer.ok:
            return _refusal(answer), host, ""
    now = _settled(api, server, stage)
    if now is None:
        return "", "no host: it was deleted", ""
    details = _details(api, server)
    if now.status == "ERROR" or now.compute_host == host:
        return details or "its move was cancelled", host, ""
    return "", str(now.compute_host), details


def _arguments(name: str, options: DrainOptions) -> dict[str, Any] | None:
    if name == "migrate":
        return None
    given = {"host": None, "block_migration": "auto"}
    if options.connections_end_s is None:
        return given  # Which a control plane of an older release understands as well.
    return given | {"kumoi:connections_end_s": options.connections_end_s}


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
        wait()


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
        wait()


def wait() -> None:
    """Until the next look."""
    time.sleep(LOOK_S)


def _refusal(answer: Any) -> str:
    """What an API says of why it does not."""
    try:
        ((_, fault),) = answer.json().items()
        return str(fault["message"])
    except (ValueError, KeyError, TypeError) as cause:
        raise Permanent(f"the API refused: {answer.status_code}") from cause
