"""What to tell a running HAProxy so that its servers are as wanted: pure, sorted, as commands.

A server that goes is first taken out of use; it can be deleted once its last connection is over, and
stays till then.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable
from dataclasses import replace

from kumoi.cloud.drivers.load_balancer.haproxy.config import ProxyServer
from kumoi.cloud.hostapi.load_balancer import ListenerCounters

MAINTENANCE = 0x01 | 0x04
"""Bits of an administrator's state: by command, and by the configuration."""


def plan_servers(wanted: Iterable[ProxyServer], seen: Iterable[ProxyServer]) -> list[str]:
    """Nothing when all is as wanted. One whose address is another is another server."""
    present = {(one.backend, one.name): one for one in seen}
    commands: list[str] = []
    named = set()
    for one in sorted(wanted):
        named.add((one.backend, one.name))
        there = present.get((one.backend, one.name))
        path = f"{one.backend}/{one.name}"
        if there is None:
            options = f" {one.options}" if one.options else ""
            commands.append(f"add server {path} {one.end} weight {one.weight}{options}")
            there = replace(one, ready=False)
        if there.weight != one.weight:
            commands.append(f"set server {path} weight {one.weight}")
        if there.ready != one.ready:
            commands.append(f"set server {path} state {'ready' if one.ready else 'maint'}")
    for key in sorted(present.keys() - named):
        path = "/".join(key)
        if present[key].ready:
            commands.append(f"set server {path} state maint")
        commands.append(f"del server {path}")
    return commands


def read_servers(said: str) -> list[ProxyServer]:
    """Of what `show servers state` answers."""
    found = []
    for line in said.splitlines():
        words = line.split()
        if len(words) < 19 or line.startswith("#"):  # noqa: PLR2004 - the columns up to the port
            continue
        found.append(
            ProxyServer(
                backend=words[1],
                name=words[3],
                address=words[4],
                port=int(words[18]),
                weight=int(words[7]),
                ready=not int(words[6]) & MAINTENANCE,
            )
        )
    return found


def read_counters(said: str) -> dict[str, ListenerCounters]:
    """Of what `show stat` answers of frontends, by their names."""
    rows = csv.DictReader(said.removeprefix("# ").splitlines())
    return {
        row["pxname"]: ListenerCounters(
            active_connections=int(row["scur"]),
            bytes_in=int(row["bin"]),
            bytes_out=int(row["bout"]),
            request_errors=int(row["ereq"]),
            total_connections=int(row["stot"]),
        )
        for row in rows
        if row.get("svname") == "FRONTEND" and row["pxname"] != "GLOBAL"
    }
