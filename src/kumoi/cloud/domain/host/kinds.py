"""The kinds of thing on hosts, by name. A new kind is a line here."""

from __future__ import annotations

from kumoi.cloud.domain.host import load_balancer, server
from kumoi.cloud.domain.host.thing import Kinds

KINDS: Kinds = {kind.name: kind for kind in (server.KIND, load_balancer.KIND)}
