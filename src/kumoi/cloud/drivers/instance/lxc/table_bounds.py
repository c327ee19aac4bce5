"""Holds servers to their part of the kernel's memory that counts for nobody (network_tables.py). Called by apply.py."""

from __future__ import annotations

from collections.abc import Callable

from kumoi.base import log
from kumoi.cloud.drivers.instance.lxc import cgroup, network_tables


class TableBounds:
    """Of a host's servers. One ends where it has too much at two looks, one after the other: what only passes through it
    is gone by then.
    """

    def __init__(self) -> None:
        self._had_too_much: set[str] = set()

    def hold(self, server_id: str, group: str, end: Callable[[], None]) -> bool:
        """Whether it had more than its part."""
        had_too_much = server_id in self._had_too_much
        self._had_too_much.discard(server_id)
        most = cgroup.memory_bytes(group) // network_tables.PART
        with network_tables.namespaces(cgroup.pids(group)) as found:
            if network_tables.uncounted_bytes(found, most=most) <= most:
                return False
            network_tables.forget(found)
            left = network_tables.uncounted_bytes(found, most=most)
        ends = left > most and had_too_much
        log.warning(
            "server.network_tables_too_large", server=server_id, most_mib=most >> 20, ends=ends
        )
        if ends:
            end()
        elif left > most:
            self._had_too_much.add(server_id)
        return True
