"""What a cloud takes while nobody wants anything of it: processor time and memory of all its processes.

Processor time is counted by the kernel, so other work on the machine changes little.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

from bench.measure import Figure
from kumoi import config
from kumoi.cli import choice
from kumoi.config import CloudSettings, HostSettings
from kumoi.drill.place import DrillHost
from kumoi.drill.plan import POSTGRES
from kumoi.hosts.units import running
from kumoi.hosts.units.memory import pss_kib

QUIET_S = 120.0  # After which what was begun before has ended.
COUNTED_S = 60.0
THREE_HOSTS = 3
SHARE_MAX, MEMORY_MAX_MIB = 15.0, 1.5e9 / 2**20  # Of three hosts.


def figures(_name: str, state_dir: str) -> list[Figure]:
    """Waits for three minutes; nothing is to be asked of the cloud meanwhile."""
    places = places_of(Path(state_dir))
    print(f"{len(places)} hosts are left alone for {QUIET_S:g} s, then counted for {COUNTED_S:g} s")
    time.sleep(QUIET_S)
    before, began_s = _spent_s(_processes(places)), time.monotonic()
    time.sleep(COUNTED_S)
    found = _processes(places)
    spent, took_s = _spent_s(found), time.monotonic() - began_s
    share: defaultdict[str, float] = defaultdict(float)
    memory_mib: defaultdict[str, float] = defaultdict(float)
    for pid, unit in found.items():
        share[unit] += 100 * (spent.get(pid, 0.0) - before.get(pid, 0.0)) / took_s
        memory_mib[unit] += pss_kib(pid) / 1024
    for unit in sorted(share, key=share.__getitem__, reverse=True):
        print(f"{unit:16} {share[unit]:5.2f} % {memory_mib[unit]:6.0f} MiB")
    are_three = len(places) == THREE_HOSTS
    hosts = f"{len(places)} host{'' if len(places) == 1 else 's'}"
    return [
        Figure(
            f"{hosts}, idle: of one core",
            [sum(share.values())],
            "%",
            SHARE_MAX if are_three else None,
        ),
        Figure(
            f"{hosts}, idle: memory (PSS) with all engines",
            [sum(memory_mib.values())],
            "MiB",
            MEMORY_MAX_MIB if are_three else None,
        ),
    ]


def places_of(state: Path) -> Sequence[DrillHost]:
    """The cloud's hosts on this machine."""
    cloud, first = config.read(CloudSettings, state), config.read(HostSettings, state)
    every = (first.settings, *choice.others_here(cloud.settings, first.settings))
    return [DrillHost(config.read(CloudSettings, each.state).settings, each) for each in every]


def _processes(places: Sequence[DrillHost]) -> Mapping[int, str]:
    """Of units and of what they started, with the units' names; servers are not among them."""
    found: dict[int, str] = {}
    for place in places:
        units = {unit.pid: unit.name for unit in running.found(place.host.state_dir)}
        for pid in place.every_pid():
            with contextlib.suppress(OSError):
                found[pid] = units.get(pid) or units.get(os.getsid(pid), POSTGRES)
    return found


def _spent_s(pids: Mapping[int, str]) -> dict[int, float]:
    """Processor time of each, and of its children that have ended."""
    found = {}
    for pid in pids:
        with contextlib.suppress(OSError):
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            found[pid] = sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")
    return found
