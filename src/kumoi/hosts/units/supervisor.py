"""Keep the units of a cloud running. One per cloud, started detached by `up`.

Every unit is a process in a session of its own. What ends is started again after a growing pause.
When the supervisor itself is killed the units go on, and the next supervisor takes over what it
finds running (running.py). What is not as wanted any more is replaced, one unit after the other:
where two of it may run at once, the new one starts first, on the same listening sockets, and the
old one leaves when the new one said that it is ready. One that does not start replaces nothing.

    SIGTERM   stop everything, roles before engines, then end
    SIGHUP    end and leave everything running, for another supervisor to take over

Servers are never children of this process. It imports little, as it is there all the time.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import select
import signal
import socket
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from kumoi.base import files, process
from kumoi.base.backoff import Backoff
from kumoi.base.errors import Conflict, KumoiError, chain
from kumoi.engine import activation
from kumoi.hosts.units import guard, listening, running
from kumoi.hosts.units.answering import answers
from kumoi.hosts.units.notices import Notices
from kumoi.hosts.units.slot import Slot, SlotState, WatchedProcess
from kumoi.hosts.units.table import Unit, stop_order

AGAIN = Backoff(first_s=0.1, most_s=5.0)  # After which pause what ended is started again.
HEALTHY_AFTER_S = 30.0  # Running for this long, a unit's pause starts from the first again.
READY_POLL_S = 0.02
SETTLE_S = 1.0  # A unit that answers nowhere is ready when it lived this long.
NEEDS_WAIT_S = 10.0
TICK_S = 5.0
STOP_TIMEOUT_S = 8.0  # A role lets what is under way finish, for 5 s at most.
REPLACE_TIMEOUT_S = 30.0
REPLACE_ATTEMPTS = 3
DRAIN_TIMEOUT_S = 75.0  # Longer than a role takes for it; see engine/http.
LOG_MAX_BYTES = 10 << 20  # Of each unit's log, and as much again in one older file.


@dataclass(frozen=True, slots=True)
class Places:
    """Where the supervisor of one cloud keeps things."""

    state_dir: str
    run_dir: Path
    log_dir: Path


@dataclass(slots=True)
class Supervisor:
    units: Sequence[Unit]
    digest: str
    places: Places
    slots: list[Slot] = field(init=False)
    _asked: set[int] = field(default_factory=set)
    _sockets: dict[str, socket.socket] = field(default_factory=dict)
    _leaving: list[Leaving] = field(default_factory=list)
    _written: str = ""
    _rotated_at: float = 0.0
    _began: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        self.slots = [Slot(unit) for unit in self.units]

    def run(self) -> None:
        """Until told to end. Raises Conflict when another supervisor of this cloud runs."""
        notices = Notices(self.places.run_dir / "notify.sock")
        with only_one(self.places.run_dir), notices, _signals(self._asked) as wakeup:
            self._log("supervisor.started")
            self._open_sockets()
            self._adopt()
            while not self._asked and not self._lost_its_guard():
                self._hear(notices)
                for slot in self.slots:
                    self._advance(slot)
                self._leaving = [leaving for leaving in self._leaving if not leaving.has_left()]
                self._rotate_logs()
                self._write_status()
                self._wait(wakeup, notices)
            if signal.SIGTERM in self._asked:
                self._stop_all()
            self._write_status()
            self._log("supervisor.ended", left_running=signal.SIGTERM not in self._asked)

    def _open_sockets(self) -> None:
        addresses = {each: unit.namespace for unit in self.units for each in unit.sockets}
        holders = [unit.pid for unit in running.found(self.places.state_dir)]
        self._sockets = listening.open_all(addresses, holders)

    def _lost_its_guard(self) -> bool:
        """Then another guard, with another supervisor, takes over."""
        if not guard.is_gone():
            return False
        guard.start_again(self.places.state_dir, self.places.log_dir, digest=self.digest)
        return True

    # One unit.

    def _adopt(self) -> None:
        """Take over what runs as wanted. What runs otherwise serves until its turn to be replaced;
        what runs twice, or is not wanted at all, ends.
        """
        by_name = {slot.unit.name: slot for slot in self.slots}
        surplus = []
        for unit in running.found(self.places.state_dir):
            slot = by_name.get(unit.name)
            if unit.name in {running.SUPERVISOR, running.GUARD}:
                continue
            process = WatchedProcess.of(unit)
            if process is None:
                continue
            if slot is not None and slot.unit.digest == unit.digest and slot.process is None:
                slot.process = process
                slot.state = SlotState.STARTING  # Until it answers and `then` went through again.
                self._log("unit.adopted", unit=unit.name, pid=unit.pid)
            elif slot is not None and slot.unit.digest != unit.digest and slot.before is None:
                slot.before = process
            else:
                process.close()
                surplus.append(unit)
        for slot in self.slots:
            if slot.process and slot.before:  # It was being replaced when a supervisor ended.
                self._let_go(slot, slot.before)
        running.stop(surplus, timeout_s=STOP_TIMEOUT_S)
        for unit in surplus:
            self._log("unit.ended_as_surplus", unit=unit.name, pid=unit.pid)

    def _advance(self, slot: Slot) -> None:
        self._note_ends(slot)
        now = time.monotonic()
        match slot.state:
            case SlotState.WAITING if now >= slot.next_at and self._has_turn(slot):
                self._start(slot)
            case SlotState.STARTING if now >= slot.next_at and _is_ready(slot):
                self._finish_start(slot)
            case SlotState.STARTING if slot.before and slot.process:
                if time.time() - slot.process.since > REPLACE_TIMEOUT_S:
                    self._keep_before(slot, f"it was not ready within {REPLACE_TIMEOUT_S:g} s")
            case SlotState.RUNNING if now - slot.ready_at > HEALTHY_AFTER_S:
                slot.failures = 0

    def _has_turn(self, slot: Slot) -> bool:
        """What replaces another goes one at a time, in the table's order, and only when all before
        it are as wanted: a release that does not start stops the update.
        """
        if slot.before is None:
            return self._needs_are_ready(slot)
        earlier = self.slots[: self.slots.index(slot)]
        return all(other.state is SlotState.RUNNING for other in earlier)

    def _start(self, slot: Slot) -> None:
        unit = slot.unit
        if slot.before and not unit.overlaps:
            self._stop_before(slot, slot.before)
        handed = [self._sockets[address].fileno() for address in unit.sockets]
        env = {
            **dict(unit.env),
            **running.mark(self.places.state_dir, unit.name, unit.digest),
            activation.OUR_LISTEN_FDS: ",".join(map(str, handed)),
            "NOTIFY_SOCKET": str(self.places.run_dir / "notify.sock"),
        }
        log = self.places.log_dir / f"{unit.name}.log"
        try:
            child = process.start(unit.command, log=log, env=env, descriptors=handed)
        except KumoiError as error:
            self._pause(slot, error)
            return
        slot.process = WatchedProcess(child.pid, os.pidfd_open(child.pid), time.time(), child)
        slot.state, slot.why, slot.told_ready = SlotState.STARTING, "", False
        self._log("unit.started", unit=unit.name, pid=child.pid)
        self._write_pid(slot)

    def _finish_start(self, slot: Slot) -> None:
        try:
            running.run_then(slot.unit)
        except KumoiError as error:
            self._pause(slot, error)
            return
        slot.state, slot.why, slot.attempts = SlotState.RUNNING, "", 0
        slot.ready_at = time.monotonic()
        self._log("unit.ready", unit=slot.unit.name, pid=slot.process.pid if slot.process else 0)
        self._write_pid(slot)
        if slot.before:
            self._let_go(slot, slot.before)

    def _note_ends(self, slot: Slot) -> None:
        if slot.before and slot.before.ended():
            slot.before.close()
            slot.before = None
            if slot.state is SlotState.KEPT:
                slot.state, slot.next_at = SlotState.WAITING, 0.0
        if slot.process is None or not slot.process.ended():
            return
        pid, status = slot.process.pid, slot.process.close()
        self._log("unit.ended", unit=slot.unit.name, pid=pid, status=status)
        slot.process, slot.state = None, SlotState.WAITING
        slot.restarts += 1
        slot.why = "it ended" if status is None else f"it ended with status {status}"
        slot.failures += 1
        slot.next_at = time.monotonic() + AGAIN.after(slot.failures)
        if slot.before:
            slot.attempts += 1
            if slot.attempts >= REPLACE_ATTEMPTS:
                self._keep_before(slot, slot.why)

    def _pause(self, slot: Slot, error: KumoiError) -> None:
        slot.why = str(error)
        slot.failures += 1
        slot.next_at = time.monotonic() + AGAIN.after(slot.failures)
        self._log("unit.start_failed", unit=slot.unit.name, error=chain(error))

    # Replacing one.

    def _let_go(self, slot: Slot, before: WatchedProcess) -> None:
        """It serves who is connected, and ends."""
        slot.before = None
        with contextlib.suppress(ProcessLookupError):
            drains = signal.SIGUSR1 if slot.unit.overlaps else signal.SIGTERM
            signal.pidfd_send_signal(before.handle, drains)
        self._leaving.append(Leaving(before, time.monotonic() + DRAIN_TIMEOUT_S))
        self._log("unit.replaced", unit=slot.unit.name, pid=before.pid)

    def _stop_before(self, slot: Slot, before: WatchedProcess) -> None:
        """And wait: two of these may not run at once."""
        running.stop_process(before.pid, timeout_s=STOP_TIMEOUT_S)
        before.close()
        slot.before = None
        self._log("unit.replaced", unit=slot.unit.name, pid=before.pid)

    def _keep_before(self, slot: Slot, why: str) -> None:
        if slot.process:
            running.stop_process(slot.process.pid, timeout_s=STOP_TIMEOUT_S)
            slot.process.close()
            slot.process = None
        slot.state = SlotState.KEPT
        slot.why = f"what is wanted does not start ({why}); the one before it goes on"
        self._log("unit.kept", unit=slot.unit.name, why=why)

    def _needs_are_ready(self, slot: Slot) -> bool:
        """Only before the first start, and not for ever: each copes with others that come and go,
        and a host starts its servers with the control plane gone.
        """
        if slot.restarts or time.monotonic() - self._began > NEEDS_WAIT_S:
            return True
        ready = {other.unit.name for other in self.slots if other.state is SlotState.RUNNING}
        ready |= {other.unit.name for other in self.slots if other.before}
        return ready.issuperset(slot.unit.needs)

    # All of them.

    def _hear(self, notices: Notices) -> None:
        ready = notices.ready()
        for slot in self.slots:
            if slot.process and slot.process.pid in ready:
                slot.told_ready = True

    def _stop_all(self) -> None:
        order = stop_order(self.units)
        running.stop_in_order(self.places.state_dir, order, timeout_s=STOP_TIMEOUT_S)
        for slot in self.slots:
            slot.state, slot.process, slot.why = SlotState.WAITING, None, "stopped"
            (self.places.run_dir / f"{slot.unit.name}.pid").unlink(missing_ok=True)

    def _wait(self, wakeup: int, notices: Notices) -> None:
        """For the end of a unit, a signal, or the next thing that is due."""
        poll = select.poll()
        poll.register(wakeup, select.POLLIN)
        poll.register(notices.fileno(), select.POLLIN)
        of_slots = [each for slot in self.slots for each in (slot.process, slot.before)]
        for watched in (*of_slots, *(leaving.process for leaving in self._leaving)):
            if watched is not None:
                poll.register(watched.handle, select.POLLIN)
        poll.poll(self._due_s() * 1000)
        with contextlib.suppress(BlockingIOError):
            os.read(wakeup, 64)

    def _due_s(self) -> float:
        now = time.monotonic()
        due_s = TICK_S
        for slot in self.slots:
            is_due = slot.state is SlotState.WAITING and slot.next_at > now
            if slot.state is SlotState.STARTING or is_due:
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
            with contextlib.suppress(FileNotFoundError), _unless_full():
                if path.stat().st_size > LOG_MAX_BYTES:
                    path.with_suffix(".log.1").write_bytes(path.read_bytes())
                    os.truncate(path, 0)

    def _write_pid(self, slot: Slot) -> None:
        path = self.places.run_dir / f"{slot.unit.name}.pid"
        if slot.process:
            with _unless_full():
                files.replace(
                    path,
                    f"{slot.process.pid} {int(slot.process.since)}\n",
                    promise=files.Promise.KILL,
                )

    def _write_status(self) -> None:
        text = json.dumps(
            {
                "pid": os.getpid(),
                "digest": self.digest,
                "units": {slot.unit.name: slot.shown() for slot in self.slots},
            }
        )
        if text != self._written:
            with _unless_full():
                path = self.places.run_dir / "status.json"
                files.replace(path, text, promise=files.Promise.KILL)
                self._written = text

    def _log(self, name: str, **fields: Any) -> None:
        stamp = datetime.now(UTC).isoformat()
        line = json.dumps({"event": name, "role": running.SUPERVISOR, "timestamp": stamp, **fields})
        with contextlib.suppress(OSError):  # A line that cannot be written ends nothing.
            os.write(2, f"{line}\n".encode())


@contextlib.contextmanager
def _unless_full() -> Iterator[None]:
    """What cannot be written since the disk is full is not: units run on, and are started again."""
    try:
        yield
    except OSError as error:
        if not files.is_disk_full(error):
            raise


@dataclass(slots=True)
class Leaving:
    """A process that was replaced and serves who is connected, until `deadline`."""

    process: WatchedProcess
    deadline: float

    def has_left(self) -> bool:
        if not self.process.ended():
            if time.monotonic() < self.deadline:
                return False
            running.stop_process(self.process.pid, timeout_s=STOP_TIMEOUT_S)
        self.process.close()
        return True


def _is_ready(slot: Slot) -> bool:
    """One that we started says so itself, where it can: its socket takes connections before it
    answers them. One that was running before us answers, or did.
    """
    if slot.process is None:
        return False
    if slot.unit.notifies and slot.process.child is not None:
        return slot.told_ready
    if not slot.unit.listens:
        return time.time() - slot.process.since > SETTLE_S
    return answers(slot.unit.listens, slot.unit.namespace)


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
