"""What a host that renews its lease is answered (design note 0022). It says nothing itself but who it is, by
its certificate.
"""

from __future__ import annotations

from kumoi.cloud.hostapi.things import Message

LEASE_PATH = "/lease"


class LeaseAnswer(Message, frozen=True, kw_only=True):
    """`state` is one of hosts.cluster.leases.LeaseState; `since` tells one lease from the next."""

    state: str
    since: int = 0
