"""The kinds of thing on hosts, by name. A new kind is a line here."""

from __future__ import annotations

from kumoi.cloud.domain.host import arrival, load_balancer, server
from kumoi.cloud.domain.host.thing import Kinds
from kumoi.cloud.store.seal import Seal


def kinds(seal: Seal) -> Kinds:
    """`seal` opens what hosts are sent of what is kept sealed."""
    return {kind.name: kind for kind in (server.KIND, arrival.KIND, load_balancer.kind(seal))}
