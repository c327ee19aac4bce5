"""Servers that are on this host, for `kumoi status`: those that the store does not know are told.

After a store was restored from a backup it knows nothing of servers that were made since. Their host
keeps them (trust.py); what is to become of them is an operator's to say. Only looks, beside whatever
agent runs.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from kumoi.cloud.agent.state import StateDir
from kumoi.cloud.agent.trust import Trust
from kumoi.cloud.drivers.instance.lxc import monitor
from kumoi.cloud.drivers.instance.lxc.paths import Paths
from kumoi.cloud.hostapi.messages import Power
from kumoi.config import HostSettings
from kumoi.hosts.units import running


@dataclass(frozen=True, slots=True)
class UnlistedServer:
    """`since` is when it was started, in seconds of the epoch, 0 while it does not run. `name` and
    `addresses` are what the host was told last.
    """

    id: str
    name: str
    addresses: tuple[str, ...]
    since: float


def unlisted(host: HostSettings, listed: Collection[str]) -> list[UnlistedServer]:
    """What is on the host beside those servers, by id; not what is on its way out. Nothing while the
    host trusts the store: then it removes what is not listed.
    """
    if not Trust(host.agent_dir / "control-plane.json").doubted:
        return []
    kept = StateDir(host.agent_dir / "wanted").load()
    runs = monitor.find_all(Paths(host.agent_dir))
    found = []
    for server_id in sorted((kept.keys() | runs.keys()) - set(listed)):
        server = kept[server_id].server if server_id in kept else None
        if server is not None and server.power is Power.ABSENT:
            continue
        ports = server.ports if server else []
        addresses = tuple(one.address for port in ports for one in port.addresses)
        pid = runs[server_id].keeper_pid if server_id in runs else 0
        since = running.started_at(pid) if pid else 0.0
        found.append(UnlistedServer(server_id, server.name if server else "", addresses, since))
    return found
