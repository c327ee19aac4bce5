"""Pings, one a millisecond, whose losses can be read at any moment."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from kumoi.base import process
from kumoi.base.errors import Transient

EVERY_S = 0.001
COUNTED = re.compile(
    r"(\d+)/(\d+) packets"
)  # What `ping` says of itself at SIGQUIT: received, sent.
LOOKS, LOOK_S, SAID_WITHIN_S = 50, 0.02, 10.0


@dataclass(frozen=True, slots=True)
class PingStream:
    """`hosts` are those of its two ends, by name. `network_of` is a process in whose network it begins, 0 the
    machine's own.
    """

    name: str
    address: str
    hosts: frozenset[str]
    network_of: int = 0


@dataclass(slots=True)
class Pinging:
    """One stream that is under way, with the file that `ping` writes to."""

    stream: PingStream
    child: subprocess.Popen[bytes]
    log: Path
    _known: int = 0

    def lost(self) -> int:
        """Packets that were sent and not answered so far. What was sent just now cannot have been answered, and with an
        answer that takes a millisecond or two there is nearly always one: so this looks until there are no more than the
        last time, or takes the fewest of many looks.
        """
        fewest = self._unanswered()
        for _ in range(LOOKS):
            if fewest <= self._known:
                break
            fewest = min(fewest, self._unanswered())
        self._known = fewest
        return fewest

    def is_answered(self) -> bool:
        """Whether one of them was."""
        return self._counted()[0] > 0

    def _unanswered(self) -> int:
        received, sent = self._counted()
        return sent - received

    def _counted(self) -> tuple[int, int]:
        """How many were received, and sent."""
        ends_s = time.monotonic() + SAID_WITHIN_S
        while not self._hears():  # Before it does, the signal would end it.
            if self.child.poll() is not None or time.monotonic() > ends_s:
                raise Transient(f"ping of {self.stream.name} has ended: see {self.log}")
            time.sleep(LOOK_S)
        before = self.log.stat().st_size
        self.child.send_signal(signal.SIGQUIT)
        while time.monotonic() < ends_s:
            time.sleep(LOOK_S)
            found = COUNTED.findall(self.log.read_bytes()[before:].decode(errors="replace"))
            if found:
                received, sent = map(int, found[-1])
                return received, sent
        raise Transient(f"ping of {self.stream.name} says nothing: see {self.log}")

    def _hears(self) -> bool:
        """Whether it catches the signal at which it counts."""
        text = Path(f"/proc/{self.child.pid}/status").read_text()
        caught = next(line for line in text.splitlines() if line.startswith("SigCgt:"))
        return bool(int(caught.split()[1], 16) >> (signal.SIGQUIT - 1) & 1)


@contextlib.contextmanager
def under_way(streams: Sequence[PingStream], directory: Path) -> Iterator[list[Pinging]]:
    started: list[Pinging] = []
    try:
        for number, stream in enumerate(streams):
            log = directory / f"ping-{number}.log"
            inside = ["nsenter", "-t", str(stream.network_of), "-n"] if stream.network_of else []
            words = [*inside, "ping", "-q", "-i", str(EVERY_S), stream.address]
            started.append(Pinging(stream, process.start(words, log=log), log))
        yield started
    finally:
        for each in started:
            with contextlib.suppress(ProcessLookupError):
                os.kill(each.child.pid, signal.SIGKILL)
            each.child.wait()
