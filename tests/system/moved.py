"""A server that moves between two hosts: at which step it is, where it runs, and what is left of a move."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.system.live import LiveCloud, eventually

from kumoi.base.process import run
from kumoi.cloud.drivers.instance.wire import link_name
from kumoi.engine import sqlite

BOUND_S = 60.0
COUNT_EVERY_S = 0.1
STEPS = (
    "copying", "emptying", "stopping", "finishing", "starting", "settling", "leaving", "",
)  # fmt: skip
SUMMED = "SELECT id, servers_claimed, (SELECT count(*) FROM server WHERE host_id = host.id AND NOT deleted) FROM host"
KNOWN = "SELECT moving, host_id, generation, observed_generation, state, fault, move, arrival, port_use FROM server WHERE id = ?"
UNDER_WAY = "SELECT id FROM migration WHERE server_id = ? AND status = 'migrating'"
UNFINISHED = "SELECT action FROM server_action WHERE server_id = ? AND finish_at IS NULL"


def where(cloud: LiveCloud, server: Any) -> tuple[str, str]:
    with cloud.connect(admin=True) as admin:
        found = admin.compute.get_server(server.id)
        return found.compute_host, found.status


@dataclass
class Moved:
    """A server between two hosts, looked at in the store and from outside."""

    clouds: dict[str, LiveCloud]
    first: LiveCloud
    server: Any
    port_id: str = ""
    counts: list[int] = field(default_factory=list)

    def step(self) -> str:
        return str(self.rows("SELECT moving FROM server WHERE id = ?", self.server.id)[0][0])

    def rows(self, query: str, *values: str) -> list[tuple[Any, ...]]:
        file = Path(self.first.here.state_dir) / "cloud/cloud.db"
        with contextlib.closing(sqlite.driver().connect(f"file:{file}?mode=ro", uri=True)) as store:
            return list(store.execute(query, values))

    def begin(self) -> tuple[str, str]:
        """From where to where."""
        source, _ = where(self.first, self.server)
        (target,) = self.clouds.keys() - {source}
        body = {"os-migrateLive": {"host": target, "block_migration": "auto"}}
        path = f"/servers/{self.server.id}/action"
        with self.first.connect(admin=True) as admin:
            eventually(
                lambda: admin.compute.post(path, json=body, microversion="2.80").ok,
                within_s=BOUND_S,
                what="its move begins",
            )
        return source, target

    def at(self, step: str) -> None:
        """Or later, where the step was too short to be seen."""
        self._await(lambda: STEPS.index(self.step()) >= STEPS.index(step), step)

    def _await(self, look: Callable[[], bool], what: str) -> None:
        try:
            eventually(look, within_s=BOUND_S, what=what)
        except TimeoutError as late:
            raise TimeoutError(f"{late}; {self.rows(KNOWN, self.server.id)}") from None

    def ended(self, status: str = "ACTIVE") -> str:
        """Where it is, once nothing of the move is left anywhere."""
        self._await(
            lambda: self.step() == "" and where(self.first, self.server)[1] == status,
            "the move has ended",
        )
        now, _ = where(self.first, self.server)
        with contextlib.suppress(TimeoutError):
            eventually(lambda: self.left(now) == [], within_s=15, what="nothing is left")
        assert self.left(now) == []
        return now

    def left(self, now: str) -> list[str]:
        """What there is of it beside the server on the host that it is on, a line for each."""
        found = []
        link = link_name(self.port_id) if self.port_id else ""
        for name, cloud in self.clouds.items():
            for kind in ("arrivals", "servers"):
                place = cloud.here.agent_dir / "lxc" / kind / self.server.id
                if place.exists() and (kind, name) != ("servers", now):
                    found.append(str(place))
            if link and name != now:
                switch = ["ovs-vsctl", f"--db={cloud.here.switch_remote}", "show"]
                asked = {"links": ["ip", "-o", "link"], "switch": switch}
                found += [
                    f"{link} in the {place} of {name}"
                    for place, ask in asked.items()
                    if link in run(ask, namespace=name).out
                ]
        found += [f"under way: {row}" for row in self.rows(UNDER_WAY, self.server.id)]
        found += [f"unfinished: {row}" for row in self.rows(UNFINISHED, self.server.id)]
        found += [f"claimed: {row}" for row in self.rows(SUMMED) if row[1] != row[2]]
        return found

    def running(self) -> int:
        return len(self.running_on())

    def running_on(self) -> list[str]:
        """The hosts on which a process is in its control group."""
        found = []
        for name in self.clouds:
            groups = Path("/sys/fs/cgroup").glob(f"*/{name}.servers/{self.server.id}/cgroup.events")
            only = Path(f"/sys/fs/cgroup/{name}.servers/{self.server.id}/cgroup.events")
            for group in (*groups, only):
                with contextlib.suppress(OSError):
                    if "populated 1" in group.read_text():
                        found.append(name)
        return sorted(set(found))


@contextlib.contextmanager
def counted(moved: Moved) -> Iterator[None]:
    """Looked at all the time; never on two hosts."""
    over = threading.Event()

    def count() -> None:
        while not over.wait(COUNT_EVERY_S):
            moved.counts.append(moved.running())

    counting = threading.Thread(target=count)
    counting.start()
    try:
        yield
    finally:
        over.set()
        counting.join()
    assert max(moved.counts) == 1
    assert min(moved.counts) == 0  # It was seen to stop: so both hosts are looked at.


FROZEN_S = 5.0
"""Longer than an agent waits before it tries again, and shorter than a host may be silent."""


@dataclass(frozen=True)
class Fault:
    """One process is killed or frozen when a move is at one of its steps."""

    step: str
    victim: str
    kills: bool

    def __str__(self) -> str:
        return f"{self.victim} {'killed' if self.kills else 'frozen'} at {self.step}"

    @contextlib.contextmanager
    def done_to(self, pid: int) -> Iterator[None]:
        os.kill(pid, signal.SIGKILL if self.kills else signal.SIGSTOP)
        try:
            yield
        finally:
            if not self.kills:
                os.kill(pid, signal.SIGCONT)


VICTIMS = ("source", "target", "worker", "api")
FAULTS = [
    Fault(step, victim, kills)
    for step in STEPS[:-1]
    for victim in VICTIMS
    for kills in (True, False)
]


def hurt(moved: Moved, fault: Fault) -> str:
    """Moves the server while that happens. What came of it, in a line."""
    began_s = time.monotonic()
    source, target = moved.begin()
    hosts = {"source": source, "target": target}
    moved.at(fault.step)
    unit = "agent" if fault.victim in hosts else fault.victim
    cloud = moved.clouds[hosts[fault.victim]] if fault.victim in hosts else moved.first
    with fault.done_to(cloud.pid(unit)):
        seen = moved.step()
        if not fault.kills:
            time.sleep(FROZEN_S)
    now = moved.ended()
    assert moved.running_on() == [now], fault
    ended = "moved" if now == target else "did not move"
    return f"{fault} (seen: {seen or 'the end'}): {ended} in {time.monotonic() - began_s:.1f} s, load {os.getloadavg()[0]:.0f}"
