"""What was counted of listeners. Pure.

A proxy counts from its start, and a station has one after the other. So a station's row has of each
listener what the process that runs has counted, and below "before" what its predecessors had.
Listeners that OVN serves are counted by nobody.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from kumoi.cloud.domain.load_balancer.tree import BalancerTree

Counters = Mapping[str, Mapping[str, int]]
OF_NOW = "active_connections"
GROWING = ("bytes_in", "bytes_out", "request_errors", "total_connections")
BEFORE = "before_"


def continued(known: Counters, now: Counters) -> dict[str, dict[str, int]]:
    """What to keep of a station after a report. A listener that it does not name is idle."""
    return {key: _one(known.get(key, {}), now.get(key)) for key in sorted({*known, *now})}


def total(tree: BalancerTree, listener_ids: Iterable[str]) -> dict[str, int]:
    """Of these listeners, of all stations."""
    wanted = set(listener_ids)
    found = dict.fromkeys((OF_NOW, *GROWING), 0)
    for station in tree.stations:
        for key, counters in station.counters.items():
            if key not in wanted:
                continue
            found[OF_NOW] += counters[OF_NOW]
            for name in GROWING:
                found[name] += counters[name] + counters[f"{BEFORE}{name}"]
    return found


def _one(known: Mapping[str, int], now: Mapping[str, int] | None) -> dict[str, int]:
    if now is None:
        return {**known, OF_NOW: 0}
    found = {OF_NOW: now[OF_NOW]}
    is_another = any(now[name] < known.get(name, 0) for name in GROWING)
    for name in GROWING:
        before = known.get(f"{BEFORE}{name}", 0)
        found[name] = now[name]
        found[f"{BEFORE}{name}"] = before + known[name] if is_another else before
    return found
