"""Choose hosts for the stations of balancers: who has one, and how many each host has, in; what to
change out. Reads nothing.

A station stays where it is as long as its host is up; where there are hosts enough, a balancer has
one on each of several.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence


def missing(present: Sequence[str], loads: Mapping[str, int], *, wanted: int) -> tuple[str, ...]:
    """Hosts to have another station. `present` are the hosts that have one and are up, `loads` how many
    stations each host that may have one has.
    """
    free = sorted(
        (host for host in loads if host not in present), key=lambda host: (loads[host], host)
    )
    return tuple(free[: max(0, wanted - len(present))])
