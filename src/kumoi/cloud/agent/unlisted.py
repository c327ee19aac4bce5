"""Servers on this host that the store does not know, for `kumoi status`.

A store that was restored from a backup knows nothing of servers made since. Their host keeps them
(trust.py) until an operator decides. This only reads, beside whatever agent is running.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from kumoi.cloud.agent.files import WANTED_DIR, ThingFiles
from kumoi.cloud.agent.hearing import WantedThing
from kumoi.cloud.agent.trust import TRUST_FILE, TrustFile
from kumoi.cloud.drivers.instance import registry
from kumoi.cloud.hostapi.messages import SERVER, InstanceSpec, read_server
from kumoi.cloud.hostapi.things import NotUnderstood, Thing
from kumoi.config import HostSettings
from kumoi.hosts.units import running


@dataclass(frozen=True, slots=True)
class UnlistedServer:
    """`name` (its host name) and `addresses` are as the host was last sent them. `since` is when it
    was started, in seconds of the Unix epoch; 0 while it does not run.
    """

    id: str
    name: str
    addresses: tuple[str, ...]
    since: float


def unlisted(host: HostSettings, listed: Collection[str]) -> list[UnlistedServer]:
    """Servers on the host whose ids are not in `listed` and that are not being deleted, by id. None
    while the host trusts the store: then the host deletes such servers itself.
    """
    if not TrustFile(host.agent_dir / TRUST_FILE).read().doubted:
        return []
    wanted = ThingFiles(host.agent_dir / WANTED_DIR).load()
    servers = {key.id: thing for key, thing in wanted.items() if key.kind == SERVER}
    leaving = {server_id for server_id, thing in servers.items() if thing.is_absent}
    drivers = registry.on_host(host.agent_dir, host.name).values()
    pids = {
        server_id: pid for driver in drivers for server_id, pid in driver.list_running().items()
    }
    found = []
    for server_id in sorted((servers.keys() | pids.keys()) - leaving - set(listed)):
        spec = _spec(servers.get(server_id))
        ports = spec.ports if spec else []
        addresses = tuple(fixed.address for port in ports for fixed in port.addresses)
        since = running.started_at(pids[server_id]) if server_id in pids else 0.0
        found.append(UnlistedServer(server_id, spec.hostname if spec else "", addresses, since))
    return found


def _spec(wanted: WantedThing | None) -> InstanceSpec | None:
    """None where there is no spec, or none that this release understands."""
    if wanted is None or not isinstance(wanted.thing, Thing):
        return None
    try:
        return read_server(wanted.thing)
    except NotUnderstood:
        return None
