"""The fence: renews its host's lease, and stops the servers that may run elsewhere when it has ended.

A unit of its own (design note 0022), so that no long work of the agent delays it. It asks each control host
in turn; it counts from the moment at which the last renewal that succeeded was sent. main.py calls it.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import http.client
import json
import os
import ssl
from collections.abc import Callable
from pathlib import Path

from kumoi.base import log
from kumoi.cloud.agent import fence_kill
from kumoi.cloud.agent.fence_state import (
    HEALING,
    LEADERLESS,
    RENEW_EVERY_S,
    FenceFiles,
    FenceState,
    boottime_s,
)
from kumoi.config import CloudSettings, HostSettings
from kumoi.hosts.units import rights, users

PATH = "/host/v1/lease"
ANSWER_TIMEOUT_S = 1.5
LOOK_EVERY_S = 0.2
ANSWER_MAX_BYTES = 4_096
PRIORITY = 1  # The lowest of the real-time class: above everything that is not in it.
MCL_CURRENT, MCL_FUTURE, MCL_ONFAULT = 1, 2, 4
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")

Answer = tuple[str, int]


class LeaseClient:
    """Asks one control host after the other, the one that answered last first."""

    def __init__(self, cloud: CloudSettings, host: HostSettings) -> None:
        self._addresses = [each.address for each in cloud.control_hosts]
        self._port = cloud.host_api_port
        self._pki, self._name = host.pki_dir, host.name
        self._connections: dict[str, http.client.HTTPSConnection] = {}

    def renew(self) -> tuple[float, Answer | None]:
        """When the renewal that was answered was sent, and the answer; None where nobody answered."""
        for address in list(self._addresses):
            sent_s = boottime_s()
            try:
                answer = self._ask(address)
            except (OSError, http.client.HTTPException, ValueError, KeyError):
                self._close(address)
                continue
            if answer is not None:
                self._addresses.remove(address)
                self._addresses.insert(0, address)
                return sent_s, answer
        return boottime_s(), None

    def _ask(self, address: str) -> Answer | None:
        connection = self._connections.get(address)
        if connection is None:
            connection = self._connections[address] = self._connected(address)
        connection.request("POST", PATH)
        answer = connection.getresponse()
        body = answer.read(ANSWER_MAX_BYTES)
        if answer.status != http.client.OK:
            return None
        found = json.loads(body)
        return str(found["state"]), int(found.get("since", 0))

    def _connected(self, address: str) -> http.client.HTTPSConnection:
        """With the certificate of today: the agent renews it."""
        tls = ssl.create_default_context(cafile=str(self._pki / "ca.crt"))
        tls.load_cert_chain(self._pki / f"{self._name}.crt", self._pki / f"{self._name}.key")
        return http.client.HTTPSConnection(
            address, self._port, timeout=ANSWER_TIMEOUT_S, context=tls
        )

    def _close(self, address: str) -> None:
        connection = self._connections.pop(address, None)
        if connection is not None:
            connection.close()


class Fence:
    """`renew` asks for the lease, `kill` ends a control group and says how many processes it had."""

    def __init__(
        self,
        files: FenceFiles,
        renew: Callable[[], tuple[float, Answer | None]],
        *,
        now_s: Callable[[], float] = boottime_s,
        kill: Callable[[str], int] = fence_kill.kill,
    ) -> None:
        self._files = files
        self._renew = renew
        self._now_s = now_s
        self._kill = kill
        self._groups: dict[str, str] = {}
        self._stopped: set[str] = set()
        self._said = ""
        self.state = files.read_state()

    async def run(self) -> None:
        """Until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._renew_always())
            while True:
                self.look()
                await asyncio.sleep(LOOK_EVERY_S)

    async def _renew_always(self) -> None:
        while True:
            began_s = self._now_s()
            self.take(*await asyncio.to_thread(self._renew))
            await asyncio.sleep(max(0.0, began_s + RENEW_EVERY_S - self._now_s()))

    def take(self, sent_s: float, answer: Answer | None) -> None:
        """An answer, or that there was none."""
        if answer is None:
            self._say("" if self.state.has_lease else "lease.not_renewed")
            return
        state, since = answer
        before = self.state
        self._become(self.state.after(state, since, sent_s))
        if before.has_lease and not self.state.has_lease:
            self.look()  # At once: the next renewal may begin another lease before the next look.
        if self.state.has_lease and not before.has_lease:
            self._stopped.clear()
            log.event("lease.begun", since=since)
        words = {HEALING: "lease.refused_while_healed", LEADERLESS: "lease.kept_without_leader"}
        self._say(words.get(state, ""))

    def look(self) -> None:
        """Stop what must not run any more."""
        state = self.state.at(self._now_s())
        if state != self.state:
            self._become(state)
        with contextlib.suppress(OSError, ValueError):  # Those known before are stopped then.
            self._groups = self._files.read_groups()
        if self.state.since and not self.state.has_lease:
            self._stop()

    def _stop(self) -> None:
        """Again and again: one may be starting just now."""
        stopped = [key for key, group in self._groups.items() if self._kill(group)]
        new = [key for key in stopped if key not in self._stopped]
        if new:
            self._stopped.update(new)
            log.warning("servers.stopped_without_lease", servers=new)
            with contextlib.suppress(OSError):
                self._files.note_stopped(new)

    def _become(self, state: FenceState) -> None:
        if self.state.has_lease and not state.has_lease:
            log.warning("lease.ended", after_s=round(self._now_s() - self.state.sent_s, 2))
        self.state = state
        try:
            self._files.write_state(state)
        except OSError as error:
            log.failure("lease.not_written", error)

    def _say(self, words: str) -> None:
        """Once."""
        if words and words != self._said:
            log.warning(words)
        self._said = words


def hold_time() -> list[str]:
    """Before everything that is not in the real-time class, and never paged out. What the machine does not
    let it have.
    """
    missing = []
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(PRIORITY))
    except OSError:
        missing.append("the real-time class")
    libc = ctypes.CDLL(None, use_errno=True)
    # All that there is, and of what comes what is used: a thread's stack would be 8 MiB.
    if any(libc.mlockall(flags) != 0 for flags in (MCL_CURRENT, MCL_FUTURE | MCL_ONFAULT)):
        missing.append("memory that stays")
    return missing


def files_of(host: HostSettings) -> FenceFiles:
    return FenceFiles(rights.run_dir(host, users.FENCE), BOOT_ID.read_text().strip())


async def serve(cloud: CloudSettings, host: HostSettings) -> None:
    """Until cancelled."""
    missing = hold_time()
    if missing:
        log.warning("fence.ordinary", without=missing)
    log.event("fence.started", host=host.name)
    await Fence(files_of(host), LeaseClient(cloud, host).renew).run()
