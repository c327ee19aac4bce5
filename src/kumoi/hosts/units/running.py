"""Finds the running units of a cloud by marks in their processes' environments, and stops them.

The mark is set when a unit is started, and /proc shows it for as long as the process lives. So no
process is lost between its start and a record of it, a reused pid is not mistaken for a unit, and
the units of a killed supervisor are found again. The supervisor, `down` and `status` call this;
nothing is started here.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import time
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path

from kumoi.base import process
from kumoi.hosts.units import users
from kumoi.hosts.units.table import Unit

MARK = "KUMOI_UNIT"
SUPERVISOR = "supervisor"
GUARD = "guard"  # Of the supervisor; see guard.py.
PROC = Path("/proc")


@dataclass(frozen=True, slots=True)
class Running:
    """A process that carries our mark. `since` is when it started, in seconds of the epoch."""

    name: str
    digest: str
    pid: int
    since: float


def mark(state_dir: str, name: str, digest: str) -> dict[str, str]:
    return {MARK: f"{state_dir} {name} {digest}"}


def forget_mark() -> None:
    """Called by a marked process, so that its children do not inherit the mark."""
    os.environ.pop(MARK, None)


def found(state_dir: str) -> list[Running]:
    """Every running unit of the cloud with that state directory, oldest first."""
    wanted = f"{MARK}={state_dir} ".encode()
    ours = _spaces(PROC / "self")
    running = []
    for entry in PROC.iterdir():
        if not entry.name.isdigit():
            continue
        with contextlib.suppress(OSError, ValueError):
            if (unit := _marked(entry, wanted, ours, state_dir)) is not None:
                running.append(unit)
    return sorted(running, key=lambda unit: (unit.since, unit.pid))


def state_dirs() -> frozenset[str]:
    """The state directories of all clouds on this machine with a running unit."""
    ours = _spaces(PROC / "self")
    found_dirs = set()
    for entry in PROC.iterdir():
        if not entry.name.isdigit():
            continue
        with contextlib.suppress(OSError, ValueError):
            variables = (entry / "environ").read_bytes().split(b"\0")
            for mark_ in (item for item in variables if item.startswith(f"{MARK}=".encode())):
                state_dir = mark_.decode().removeprefix(f"{MARK}=").rsplit(" ", 2)[0]
                if _marked(entry, f"{MARK}={state_dir} ".encode(), ours, state_dir):
                    found_dirs.add(state_dir)
    return frozenset(found_dirs)


def stop(
    running: Iterable[Running], *, timeout_s: float, first: signal.Signals = signal.SIGTERM
) -> None:
    """Send `first` to the processes, and SIGKILL to those that have not ended in time."""
    _stop((unit.pid for unit in running), timeout_s=timeout_s, first=first)


def stop_process(pid: int, *, timeout_s: float) -> None:
    """`stop` for one process, by its pid."""
    _stop([pid], timeout_s=timeout_s, first=signal.SIGTERM)


def _stop(pids: Iterable[int], *, timeout_s: float, first: signal.Signals) -> None:
    handles = []
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            handles.append(os.pidfd_open(pid))
    left = list(handles)
    try:
        for sent in (first, signal.SIGKILL):
            for handle in left:
                with contextlib.suppress(ProcessLookupError):
                    signal.pidfd_send_signal(handle, sent)
            left = not_ended(left, timeout_s=timeout_s)
    finally:
        for handle in handles:
            os.close(handle)


def stop_in_order(
    state_dir: str,
    groups: Iterable[Collection[str]],
    *,
    timeout_s: float,
    first: signal.Signals = signal.SIGTERM,
) -> None:
    """Stop units by name, group after group, then any other process with the cloud's mark."""
    for names in groups:
        stop(
            (unit for unit in found(state_dir) if unit.name in names),
            timeout_s=timeout_s,
            first=first,
        )
    rest = [unit for unit in found(state_dir) if unit.name not in {SUPERVISOR, GUARD}]
    stop(rest, timeout_s=timeout_s, first=first)


def has_ended(handle: int) -> bool:
    """Whether the process of a pidfd has ended, also where its parent has not waited for it yet."""
    return not not_ended([handle], timeout_s=0)


def run_then(unit: Unit) -> None:
    """The commands that follow a unit's start. Raises ProcessFailed."""
    for command in unit.then:
        process.run(command)


def started_at(pid: int) -> float:
    """When the process started, in seconds of the epoch."""
    ticks = float(_stat(PROC / str(pid))[19])
    with Path("/proc/uptime").open() as file:
        uptime_s = float(file.read().split()[0])
    return time.time() - uptime_s + ticks / os.sysconf("SC_CLK_TCK")


def _spaces(entry: Path) -> tuple[int, ...]:
    """Of users and of processes. In another one, as of a container, the same number is somebody else."""
    return tuple((entry / "ns" / kind).stat().st_ino for kind in ("user", "pid"))


def _marked(
    entry: Path, wanted: bytes, own_spaces: tuple[int, ...], state_dir: str
) -> Running | None:
    """Only a leader of its session, run by us or by the unit's own user, among our users: a
    tenant's root may write any mark into the environment of its own processes, and a role any
    other's.
    """
    pid = int(entry.name)
    if os.getsid(pid) != pid:
        return None
    variables = (entry / "environ").read_bytes().split(b"\0")
    ours = next((item for item in variables if item.startswith(wanted)), None)
    if ours is None or _spaces(entry) != own_spaces:
        return None
    _, name, digest = ours.decode().rsplit(" ", 2)
    owner = entry.stat().st_uid
    if owner != os.geteuid() and not users.is_unit_of(state_dir, name, owner):
        return None
    return Running(name, digest, pid, started_at(pid))


def kill_what_they_left(ended: Iterable[Running]) -> None:
    """Kill programs that ended units had started, such as the unpacking of an image. They are found
    by their session: its number is not reused as a pid while a process is in it.
    """
    leaders = {unit.pid for unit in ended}
    for entry in PROC.iterdir():
        with contextlib.suppress(OSError, ValueError):
            if int(_stat(entry)[3]) in leaders and _stat(entry)[0] not in "ZX":
                os.kill(int(entry.name), signal.SIGKILL)


def kill_what_users_left(state_dir: str) -> None:
    """Kill what runs as a user of the cloud there, such as a database whose keeper was killed."""
    uids, ours = users.ids_of(state_dir), _spaces(PROC / "self")
    for entry in PROC.iterdir():
        with contextlib.suppress(OSError, ValueError):
            is_theirs = entry.name.isdigit() and entry.stat().st_uid in uids
            if is_theirs and _stat(entry)[0] not in "ZX" and _spaces(entry) == ours:
                os.kill(int(entry.name), signal.SIGKILL)


def _stat(entry: Path) -> list[str]:
    """The fields of /proc/PID/stat from the third on: the state, the parent, …"""
    return (entry / "stat").read_text().rpartition(")")[2].split()


def not_ended(handles: list[int], *, timeout_s: float) -> list[int]:
    """The pidfds whose process still runs when the time is over. One turns readable at the end."""
    deadline = time.monotonic() + timeout_s
    left = list(handles)
    while left:
        poll = select.poll()
        for handle in left:
            poll.register(handle, select.POLLIN)
        ready = {handle for handle, _ in poll.poll(max(0.0, deadline - time.monotonic()) * 1000)}
        left = [handle for handle in left if handle not in ready]
        if not ready:
            break
    return left
