"""What the fence knows of its host's lease, and the files by which agent and fence know of each other.

    lease.json     by the fence: the lease as it is
    servers.json   by the agent: the control groups of the servers that may run elsewhere one day
    stopped/ID     by whoever stopped the server because the lease had ended; the agent removes it

Times are of CLOCK_BOOTTIME, which goes on while a machine sleeps. Pure, but for the class `FenceFiles`.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from kumoi.base import files
from kumoi.base.files import Promise

RENEW_EVERY_S = 2.0
STOP_AFTER_S = 10.0
"""After the sending of the last renewal that succeeded. etcd ends the lease 12 s after it received it."""
START_WITHIN_S = 5.0
"""No server is started later after that: the start takes some time itself."""
GUARD_AFTER_S = STOP_AFTER_S + 1.0
"""Then the agent stops what the fence should have."""
FILE_BYTES = 512
HELD, HEALING, LEADERLESS = "held", "healing", "leaderless"


def boottime_s() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)


@dataclass(frozen=True, slots=True)
class FenceState:
    """`since` tells one lease from the next; 0 is none yet in this boot of the machine. `sent_s` is when
    the last renewal that succeeded was sent. `begun_s` is when the lease that it has was first known.
    """

    since: int = 0
    sent_s: float = 0.0
    begun_s: float = 0.0
    has_lease: bool = False

    def after(self, state: str, since: int, sent_s: float) -> FenceState:
        """Another lease than the one before: in between others may have been given its servers."""
        if state == LEADERLESS:
            return replace(self, sent_s=sent_s) if self.has_lease else self
        if state != HELD:
            return replace(self, has_lease=False)
        if self.since in (0, since) and (self.has_lease or not self.since):
            begun_s = self.begun_s if self.has_lease else sent_s
            return FenceState(since, sent_s, begun_s, has_lease=True)
        if self.has_lease:
            return replace(
                self, has_lease=False
            )  # Stop first; the next renewal begins the new one.
        return FenceState(since, sent_s, sent_s, has_lease=True)

    def at(self, now_s: float) -> FenceState:
        if self.has_lease and now_s - self.sent_s >= STOP_AFTER_S:
            return replace(self, has_lease=False)
        return self

    def may_start(self, now_s: float) -> bool:
        return self.has_lease and now_s - self.sent_s < START_WITHIN_S


class FenceFiles:
    """`boot` tells one boot of the machine from the next."""

    def __init__(self, directory: Path, boot: str) -> None:
        self._boot = boot
        self._lease = directory / "lease.json"
        self._servers = directory / "servers.json"
        self._stopped = directory / "stopped"

    def read_state(self) -> FenceState:
        """Of an earlier boot, or unreadable: none."""
        try:
            found = json.loads(self._lease.read_bytes())
            if found.pop("boot") != self._boot:
                return FenceState()
            return FenceState(**found)
        except (OSError, ValueError, TypeError, KeyError):
            return FenceState()

    def write_state(self, state: FenceState) -> None:
        """In place, so that a full disk is no reason to stop servers."""
        text = json.dumps({"boot": self._boot, **asdict(state)}).ljust(FILE_BYTES)
        handle = os.open(self._lease, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            os.pwrite(handle, text.encode(), 0)
        finally:
            os.close(handle)

    def read_groups(self) -> dict[str, str]:
        """The control group of each server. Raises OSError and ValueError where it is not known."""
        try:
            found = json.loads(self._servers.read_bytes())
        except FileNotFoundError:
            return {}
        return {str(key): str(group) for key, group in found.items()}

    def write_groups(self, groups: Mapping[str, str]) -> None:
        files.replace(self._servers, json.dumps(groups), promise=Promise.KILL)

    def note_stopped(self, server_ids: Iterable[str]) -> None:
        self._stopped.mkdir(exist_ok=True)
        for server_id in server_ids:
            (self._stopped / server_id).touch()

    def was_stopped(self, server_id: str) -> bool:
        return (self._stopped / server_id).exists()

    def forget_stopped(self, server_id: str) -> None:
        (self._stopped / server_id).unlink(missing_ok=True)
