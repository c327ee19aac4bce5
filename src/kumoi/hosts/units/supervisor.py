"""Keep the units of a cloud running. One per cloud, started detached by `up`.

Every unit is a process in a session of its own. What ends is started again after a growing pause.
When the supervisor itself is killed the units go on, and the next supervisor takes over what it
finds running (running.py); only what is not as wanted any more is started anew.

    SIGTERM   stop everything, roles before engines, then end
    SIGHUP    end and leave everything running, for another supervisor to take over

Servers are never children of this process. It imports little, as it is there all the time: it
writes its own log lines, for structlog alone would double its memory.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import select
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from kumoi.base import process
from kumoi.base.errors import Conflict, KumoiError, chain
from kumoi.hosts.units import running
from kumoi.hosts.units.table import Unit, stop_order

PAUSE_FIRST_S = 0.1
PAUSE_MAX_S = 5.0
HEALTHY_AFTER_S = 30.0  # Running for this long, a unit's pause starts from the first again.
READY_POLL_S = 0.02
SETTLE_S = 1.0  # A unit that answers nowhere is ready when it lived this long.
NEEDS_WAIT_S = 10.0
TICK_S = 5.0
STOP_TIMEOUT_S = 8.0  # A role lets what is under way finish, for 5 s at most.
LOG_MAX_BYTES = 10 << 20  # Of each unit's log, and as much again in one older file.


@dataclass(frozen=True, slots=True)
class Places:
    """Where the supervisor of one cloud keeps things."""

    state_dir: str
    run_dir: Path
    log_dir: Path


@dataclass(slots=True)
class Slot:
    """One unit and what became of it. `state` is waiting, starting or running."""

    unit: Unit
    state: str = "waiting"
    pid: int = 0
    handle: int = -1  # A pidfd.
    child: subprocess.Popen[bytes] | None = None
    since: float = 0.0
    restarts: int = 0
    why: str = ""
    pause_s: float = PAUSE_FIRST_S
    next_at: float = 0.0
    ready_at: float = 0.0

    def shown(self) -> dict[str, Any]:
        return {
            "kind": self.unit.kind.value,
            "state": self.state,
            "pid": self.pid,
            "since": self.since,
            "restarts": self.restarts,
            "why": self.why,
        }


@dataclass(slots=True)
class Supervisor:
    units: Sequence[Unit]
    digest: str
    places: Places
    slots: list[Slot] = field(init=False)
    _asked: set[int] = field(default_factory=set)
    _written: str = ""
    _rotated_at: float = 0.0
    _began: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        self.slots = [Slot(unit) for unit in self.units]

    def run(self) -> None:
        """Until told to end. Raises Conflict when another supervisor of this cloud runs."""
        with only_one(self.places.run_dir), _signals(self._asked) as wakeup:
            self._log("supervisor.started")
            self._adopt()
            while not self._asked:
                for slot in self.slots:
                    self._advance(slot)
                self._rotate_logs()
                self._write_status()
                self._wait(wakeup)
            if signal.SIGTERM in self._asked:
                self._stop_all()
            self._write_status()
            self._log("supervisor.ended", left_running=signal.SIGTERM not in self._asked)

    # One unit.

    def _adopt(self) -> None:
        """Take over what runs as wanted; end what runs otherwise, or twice, or is not wanted."""
        by_name = {slot.unit.name: slot for slot in self.slots}
        surplus = []
        for one in running.found(self.places.state_dir):
            slot = by_name.get(one.name)
            if one.name == running.SUPERVISOR:
                continue
            if slot is None or slot.pid or slot.unit.digest != one.digest:
                surplus.append(one)
                continue
            slot.pid, slot.handle, slot.since = one.pid, os.pidfd_open(one.pid), one.since
            slot.state = "starting"  # It is ready when it answers and `then` went through again.
            self._log("unit.adopted", unit=one.name, pid=one.pid)
        running.stop(surplus, timeout_s=STOP_TIMEOUT_S)
        for one in surplus:
            self._log("unit.replaced", unit=one.name, pid=one.pid)

    def _advance(self, slot: Slot) -> None:
        if slot.pid and running.has_ended(slot.handle):
            self._note_end(slot)
        now = time.monotonic()
        if slot.state == "waiting" and now >= slot.next_at and self._needs_are_ready(slot):
            self._start(slot)
        elif slot.state == "starting" and now >= slot.next_at and _is_ready(slot):
            self._finish_start(slot)
        elif slot.state == "running" and now - slot.ready_at > HEALTHY_AFTER_S:
            slot.pause_s = PAUSE_FIRST_S

    def _start(self, slot: Slot) -> None:
        unit = slot.unit
        try:
            slot.child = process.start(
                unit.command,
                log=self.places.log_dir / f"{unit.name}.log",
                env={
                    **dict(unit.env),
                    **running.mark(self.places.state_dir, unit.name, unit.digest),
                },
            )
        except KumoiError as error:
            self._pause(slot, error)
            return
        slot.pid = slot.child.pid
        slot.handle = os.pidfd_open(slot.pid)
        slot.since = time.time()
        slot.state, slot.why = "starting", ""
        self._log("unit.started", unit=unit.name, pid=slot.pid)
        self._write_pid(slot)

    def _finish_start(self, slot: Slot) -> None:
        try:
            running.run_then(slot.unit)
        except KumoiError as error:
            self._pause(slot, error)
            return
        slot.state, slot.why, slot.ready_at = "running", "", time.monotonic()
        self._log("unit.ready", unit=slot.unit.name, pid=slot.pid)
        self._write_pid(slot)

    def _note_end(self, slot: Slot) -> None:
        status = slot.child.poll() if slot.child else None
        self._log("unit.ended", unit=slot.unit.name, pid=slot.pid, status=status)
        os.close(slot.handle)
        slot.pid, slot.handle, slot.child, slot.state = 0, -1, None, "waiting"
        slot.restarts += 1
        slot.why = "it ended" if status is None else f"it ended with status {status}"
        slot.next_at = time.monotonic() + slot.pause_s
        slot.pause_s = min(slot.pause_s * 2, PAUSE_MAX_S)

    def _pause(self, slot: Slot, error: KumoiError) -> None:
        slot.why = str(error)
        slot.next_at = time.monotonic() + slot.pause_s
        slot.pause_s = min(slot.pause_s * 2, PAUSE_MAX_S)
        self._log("unit.start_failed", unit=slot.unit.name, error=chain(error))

    def _needs_are_ready(self, slot: Slot) -> bool:
        """Only before the first start, and not for ever: each copes with others that come and go,
        and a host starts its servers with the control plane gone.
        """
        if slot.restarts or time.monotonic() - self._began > NEEDS_WAIT_S:
            return True
        ready = {other.unit.name for other in self.slots if other.state == "running"}
        return ready.issuperset(slot.unit.needs)

    # All of them.

    def _stop_all(self) -> None:
        order = stop_order(self.units)
        running.stop_in_order(self.places.state_dir, order, timeout_s=STOP_TIMEOUT_S)
        for slot in self.slots:
            slot.state, slot.pid, slot.why = "waiting", 0, "stopped"
            (self.places.run_dir / f"{slot.unit.name}.pid").unlink(missing_ok=True)

    def _wait(self, wakeup: int) -> None:
        """For the end of a unit, a signal, or the next thing that is due."""
        poll = select.poll()
        poll.register(wakeup, select.POLLIN)
        for slot in self.slots:
            if slot.handle >= 0:
                poll.register(slot.handle, select.POLLIN)
        poll.poll(self._due_s() * 1000)
        with contextlib.suppress(BlockingIOError):
            os.read(wakeup, 64)

    def _due_s(self) -> float:
        now = time.monotonic()
        due_s = TICK_S
        for slot in self.slots:
            if slot.state == "starting" or (slot.state == "waiting" and slot.next_at > now):
                due_s = min(due_s, max(READY_POLL_S, slot.next_at - now))
        return due_s

    def _rotate_logs(self) -> None:
        """Copied and emptied in place: the unit appends to the same file all along."""
        now = time.monotonic()
        if now - self._rotated_at < TICK_S:
            return
        self._rotated_at = now
        for name in [running.SUPERVISOR, *(slot.unit.name for slot in self.slots)]:
            path = self.places.log_dir / f"{name}.log"
            with contextlib.suppress(FileNotFoundError):
                if path.stat().st_size > LOG_MAX_BYTES:
                    path.with_suffix(".log.1").write_bytes(path.read_bytes())
                    os.truncate(path, 0)

    def _write_pid(self, slot: Slot) -> None:
        path = self.places.run_dir / f"{slot.unit.name}.pid"
        _replace(path, f"{slot.pid} {int(slot.since)}\n")

    def _write_status(self) -> None:
        text = json.dumps(
            {
                "pid": os.getpid(),
                "digest": self.digest,
                "units": {slot.unit.name: slot.shown() for slot in self.slots},
            }
        )
        if text != self._written:
            _replace(self.places.run_dir / "status.json", text)
            self._written = text

    def _log(self, name: str, **fields: Any) -> None:
        stamp = datetime.now(UTC).isoformat()
        line = json.dumps({"event": name, "role": running.SUPERVISOR, "timestamp": stamp, **fields})
        os.write(2, f"{line}\n".encode())


def _is_ready(slot: Slot) -> bool:
    if not slot.unit.listens:
        return time.time() - slot.since > SETTLE_S
    return answers(slot.unit.listens)


def answers(listens: str) -> bool:
    """Whether somebody accepts connections there; true when there is nowhere to ask."""
    kind, _, where = listens.partition(":")
    if not kind:
        return True
    family = socket.AF_UNIX if kind == "unix" else socket.AF_INET
    address, _, port = where.rpartition(":")
    with socket.socket(family, socket.SOCK_STREAM) as asked:
        asked.settimeout(1.0)
        try:
            asked.connect(where if kind == "unix" else (address, int(port)))
        except OSError:
            return False
    return True


@contextlib.contextmanager
def only_one(run_dir: Path) -> Iterator[None]:
    """Hold the lock of this cloud's supervisor. Raises Conflict when another holds it."""
    with (run_dir / "supervisor.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as cause:
            raise Conflict("another supervisor of this cloud is running") from cause
        yield


@contextlib.contextmanager
def _signals(asked: set[int]) -> Iterator[int]:
    """Signals end up in `asked`; the descriptor given becomes readable at each."""
    reader, writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, _frame: asked.add(number))
    try:
        yield reader
    finally:
        signal.set_wakeup_fd(-1)
        os.close(reader)
        os.close(writer)


def _replace(path: Path, text: str) -> None:
    draft = path.with_name(f".{path.name}.new")
    draft.write_text(text)
    draft.replace(path)
