"""Servers that are on this host, for `kumoi status`: those that the store does not know are told.

After a store was restored from a backup it knows nothing of servers that were made since. Their host
keeps them (trust.py); what is to become of them is an operator's to say. Only looks, beside whatever
agent runs.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from kumoi.cloud.agent.files import ThingFiles
from kumoi.cloud.agent.hearing import WantedThing
from kumoi.cloud.agent.trust import TrustFile
from kumoi.cloud.drivers.instance import registry
from kumoi.cloud.hostapi.messages import SERVER, InstanceSpec, read_server
from kumoi.cloud.hostapi.things import NotUnderstood, Thing, ThingKey
from kumoi.config import HostSettings
from kumoi.hosts.units import running


@dataclass(frozen=True, slots=True)
class UnlistedServer:
    """`since` is when it was started, in seconds of the epoch, 0 while it does not run. `name` (its
    host name) and `addresses` are what the host was told last.
    """

    id: str
    name: str
    addresses: tuple[str, ...]
    since: float


def unlisted(host: HostSettings, listed: Collection[str]) -> list[UnlistedServer]:
    """What is on the host beside those servers, by id; not what is on its way out. Nothing while the
    host trusts the store: then it removes what is not listed.
    """
    if not TrustFile(host.agent_dir / "control-plane.json").read().doubted:
        return []
    wanted = ThingFiles(host.agent_dir / "wanted").load()
    here = {key.id for key, one in wanted.items() if key.kind == SERVER and not one.is_absent}
    leaving = {key.id for key, one in wanted.items() if key.kind == SERVER and one.is_absent}
    drivers = registry.on_host(host.agent_dir, host.name).values()
    runs = {key: pid for driver in drivers for key, pid in driver.list_running().items()}
    found = []
    for server_id in sorted((here | runs.keys()) - leaving - set(listed)):
        server = _read(wanted.get(ThingKey(SERVER, server_id)))
        ports = server.ports if server else []
        addresses = tuple(one.address for port in ports for one in port.addresses)
        since = running.started_at(runs[server_id]) if server_id in runs else 0.0
        found.append(UnlistedServer(server_id, server.hostname if server else "", addresses, since))
    return found


def _read(wanted: WantedThing | None) -> InstanceSpec | None:
    """None where nothing was told, or nothing that this release understands."""
    if wanted is None or not isinstance(wanted.told, Thing):
        return None
    try:
        return read_server(wanted.told)
    except NotUnderstood:
        return None
