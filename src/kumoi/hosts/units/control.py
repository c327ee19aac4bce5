"""Starts, watches and stops a cloud's supervisor, for `up`, `down`, `status` and tests."""

from __future__ import annotations

import contextlib
import hashlib
import json
import signal
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from kumoi.base.errors import Permanent
from kumoi.config import CloudSettings, HostSettings
from kumoi.hosts.units import guard, running, table
from kumoi.hosts.units.table import Unit

POLL_S = 0.05
LEAVE_TIMEOUT_S = 5.0
STOP_TIMEOUT_S = 5.0
LOG_SHOWN_LINES = 3
FIRST_TO_GO = {running.GUARD: signal.SIGTERM, running.SUPERVISOR: signal.SIGHUP}
DISMISSED_AT_MOST = 5


@dataclass(frozen=True, slots=True)
class UnitStatus:
    """A unit's state in its supervisor. `since` is in seconds of the epoch, 0 without a process; `namespace`
    is the network namespace that it runs in, "" the machine's own.
    """

    name: str
    kind: str
    state: str
    pid: int
    since: float
    restarts: int
    why: str
    listens: str = ""
    namespace: str = ""


@dataclass(frozen=True, slots=True)
class SupervisorStatus:
    pid: int
    digest: str
    units: tuple[UnitStatus, ...]


def digest_of(units: Sequence[Unit]) -> str:
    return hashlib.sha256(repr([unit.digest for unit in units]).encode()).hexdigest()[:16]


def ensure(host: HostSettings, units: Sequence[Unit], *, command: Sequence[str]) -> None:
    """Make a supervisor of exactly these units run. One with other units is replaced; units that
    both have go on running. `command` is the supervisor's own.
    """
    digest = digest_of(units)
    supervisor = _supervisor(host)
    if supervisor is not None and supervisor.digest == digest:
        for unit in units:
            running.run_then(unit)
        return
    _dismiss(host)
    status_file(host).unlink(missing_ok=True)
    guard.start(host.state_dir, host.log_dir, digest=digest, command=command)


def is_running(host: HostSettings, wanted: Sequence[Unit]) -> bool:
    """Whether exactly these units run and are ready, so that their stores need no check."""
    status = read_status(host)
    names = [unit.name for unit in wanted]
    return bool(status and status.digest == digest_of(wanted) and not _not_ready(status, names))


def wait_ready(
    host: HostSettings,
    names: Sequence[str],
    *,
    timeout_s: float,
    tell: Callable[[str], None] = lambda _text: None,
) -> None:
    """Wait until these units are ready. Raises Permanent with the names of those that are not in
    time, and the last lines of the first one's log.
    """
    deadline = time.monotonic() + timeout_s
    while True:
        status = read_status(host)
        late = _not_ready(status, names)
        if not late:
            return
        units = status.units if status else ()
        not_replaced = [unit for unit in units if unit.name in late and unit.state == "kept"]
        if not_replaced:
            raise Permanent(
                f"{not_replaced[0].name}: {not_replaced[0].why}; see {_log(host, not_replaced[0].name)}"
            )
        if time.monotonic() > deadline:
            raise Permanent(_lateness(host, late, timeout_s))
        tell(", ".join(late))
        time.sleep(POLL_S)


def stop_roles(cloud: CloudSettings, host: HostSettings, *, at_once: bool = False) -> None:
    """Stop the roles; first the supervisor, which would start them again."""
    _dismiss(host)
    engines = {unit.name for unit in table.engines(cloud, host)}
    roles = [unit for unit in running.found(host.state_dir) if unit.name not in engines]
    running.stop(roles, timeout_s=STOP_TIMEOUT_S, first=_first(at_once=at_once))
    running.kill_what_they_left(roles)


def stop_units(host: HostSettings, names: Collection[str]) -> None:
    """Stop these, and first the supervisor, which would start them again."""
    _dismiss(host)
    running.stop(
        (unit for unit in running.found(host.state_dir) if unit.name in names),
        timeout_s=STOP_TIMEOUT_S,
    )


def stop(cloud: CloudSettings, host: HostSettings, *, at_once: bool = False) -> None:
    """Stop all units in order, also those of a killed supervisor, and a supervisor that hangs."""
    stop_roles(cloud, host, at_once=at_once)
    order = [] if at_once else table.stop_order(table.engines(cloud, host))
    first = _first(at_once=at_once)
    running.stop_in_order(host.state_dir, order, timeout_s=STOP_TIMEOUT_S, first=first)
    running.kill_what_users_left(host.state_dir)
    status_file(host).unlink(missing_ok=True)


def read_status(host: HostSettings) -> SupervisorStatus | None:
    """The status that the supervisor wrote last; None when no supervisor runs."""
    if _supervisor(host) is None:
        return None
    try:
        raw: dict[str, Any] = json.loads(status_file(host).read_text())
    except FileNotFoundError:
        return None
    known = {item.name for item in fields(UnitStatus)}
    units = tuple(
        UnitStatus(name=name, **{key: shown[key] for key in shown.keys() & known})
        for name, shown in raw["units"].items()
    )
    return SupervisorStatus(raw["pid"], raw["digest"], units)


def status_file(host: HostSettings) -> Path:
    return host.run_dir / "status.json"


def _first(*, at_once: bool) -> signal.Signals:
    return signal.SIGKILL if at_once else signal.SIGTERM


def _dismiss(host: HostSettings) -> None:
    """End the supervisor, and before it the guard that would start it again. Units go on. A supervisor that sees
    first that it has lost its guard starts another one, so nobody is to be left in the end.
    """
    for _ in range(DISMISSED_AT_MOST):
        if not any(unit.name in FIRST_TO_GO for unit in running.found(host.state_dir)):
            return
        for name, first in FIRST_TO_GO.items():
            marked = [unit for unit in running.found(host.state_dir) if unit.name == name]
            running.stop(marked, timeout_s=LEAVE_TIMEOUT_S, first=first)


def _supervisor(host: HostSettings) -> running.Running | None:
    marked = running.found(host.state_dir)
    return next((unit for unit in marked if unit.name == running.SUPERVISOR), None)


def _not_ready(status: SupervisorStatus | None, names: Sequence[str]) -> list[str]:
    ready = {unit.name for unit in status.units if unit.state == "running"} if status else set()
    return [name for name in names if name not in ready]


def _log(host: HostSettings, name: str) -> Path:
    return host.log_dir / f"{name}.log"


def _lateness(host: HostSettings, late: list[str], timeout_s: float) -> str:
    log = _log(host, late[0])
    with contextlib.suppress(FileNotFoundError):
        lines = log.read_text(errors="replace").splitlines()[-LOG_SHOWN_LINES:]
        return (
            f"{', '.join(late)} not ready after {timeout_s:g} s; the end of {log}:\n"
            + "\n".join(f"    {line}" for line in lines)
        )
    return f"{', '.join(late)} not ready after {timeout_s:g} s; see {host.log_dir}"
