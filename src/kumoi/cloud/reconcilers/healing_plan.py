"""Whether a host is lost, and whose servers are moved now. Pure; healing.py looks and acts.

A host that has no lease stops its own servers, and one that has it is never lost, whoever says so: the lease
is always one of the two witnesses that are needed. The others are the tunnels that other hosts' switches
watch, and whether other hosts' agents reach it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from kumoi.cloud.hostapi.witness import UP

ABSENT_S = 3.0
"""For so long a quorum of etcd says that there is no lease. A host stops its servers 10 s after it sent its
last renewal, and etcd ends the lease 12 s after it received that."""
PEERS = 2
"""So many others must say so: of one alone nobody knows whether it is its own link that is down."""
ASK_AGAIN_S = 4.0


@dataclass(frozen=True, slots=True)
class PeerWord:
    """An answer of another host."""

    host_id: str
    reached: bool
    tunnel: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class HostSight:
    """A host as it is seen. `absent_s` is how long it has had no lease, None where it has one. `healable`
    are its servers that may be made elsewhere, `waiting` those that it stops and that wait for it.
    """

    id: str
    absent_s: float | None
    is_heard: bool
    words: tuple[PeerWord, ...] = ()
    healable: int = 0
    waiting: int = 0
    asked_s_ago: float | None = None

    @property
    def is_gone(self) -> bool:
        return self.absent_s is not None and not self.is_heard


@dataclass(frozen=True, slots=True)
class Verdict:
    """`said` is by witness what it says; empty where a witness says nothing."""

    is_lost: bool
    said: dict[str, str]


@dataclass(frozen=True, slots=True)
class HealingPlan:
    """`ask` are hosts that others are asked about, `heal` is whose servers are moved, `words` what an
    operator is told.
    """

    ask: tuple[str, ...] = ()
    heal: str | None = None
    said: dict[str, str] | None = None
    words: str = ""


def plan(hosts: Sequence[HostSight], *, is_writable: bool) -> HealingPlan:
    absent = [host for host in hosts if host.absent_s is not None and _concerns(host)]
    if not absent:
        return HealingPlan()
    if not is_writable:
        return HealingPlan(
            words="waits: the store and etcd have not both taken writes for a whole lease without a break"
        )
    ask = tuple(
        host.id for host in absent if host.asked_s_ago is None or host.asked_s_ago >= ASK_AGAIN_S
    )
    gone = [host.id for host in hosts if host.is_gone]
    if 2 * len(gone) >= len(hosts):
        return HealingPlan(
            ask,
            words=f"has stopped: {len(gone)} of {len(hosts)} hosts are gone ({', '.join(gone)}), so it may be this control plane that is cut off",
        )
    words = []
    for host in absent:
        verdict = judge(host)
        if verdict.is_lost and host.healable:
            return HealingPlan(ask, host.id, verdict.said, f"moves the servers of {host.id}")
        words.append(_tell(host, verdict))
    return HealingPlan(ask, words="; ".join(filter(None, words)))


def judge(host: HostSight) -> Verdict:
    """By what is known of one host."""
    tunnels = [word.tunnel for word in host.words if word.tunnel]
    reached = [word.host_id for word in host.words if word.reached]
    said = {"lease": "" if host.absent_s is None else f"none for {host.absent_s:.0f} s"}
    tunnels_gone = len(tunnels) >= PEERS and UP not in tunnels
    said["tunnels"] = "down" if tunnels_gone else "up" if UP in tunnels else ""
    peers_gone = len(host.words) >= PEERS and not reached
    said["peers"] = (
        "reached by none" if peers_gone else f"reached by {', '.join(reached)}" if reached else ""
    )
    is_absent = host.absent_s is not None and host.absent_s >= ABSENT_S
    return Verdict(is_absent and (tunnels_gone or peers_gone), said)


def _concerns(host: HostSight) -> bool:
    return bool(host.healable or host.waiting)


def _tell(host: HostSight, verdict: Verdict) -> str:
    if host.absent_s is None or host.absent_s < ABSENT_S:
        return ""
    if verdict.is_lost:
        return f"{host.id} is lost: its servers wait for it, or for `kumoi host heal {host.id}`"
    if verdict.said["peers"].startswith("reached by none") or not verdict.said["peers"]:
        return f"{host.id} has no lease, and too few others have said whether they reach it"
    return (
        f"{host.id} has no lease and is {verdict.said['peers']}: its fence does not run, or reaches no "
        "control host. Nothing is moved"
    )
