"""What a cloud lacks until it bears the next loss: units, members of stores, hosts."""

from __future__ import annotations

import json
import ssl
import urllib.request
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from keystoneauth1.exceptions import ClientException
from openstack.exceptions import SDKException

from kumoi import members
from kumoi.drill.place import DrillHost
from kumoi.hosts.cluster import ovn_members, succession
from kumoi.hosts.units import keeper
from kumoi.hosts.units.answering import answers

if TYPE_CHECKING:
    from openstack.connection import Connection

TIMEOUT_S = 2.0


@dataclass(slots=True)
class Redundancy:
    """`admin` lists the hosts. What was there when this was made is what must be there again."""

    places: Sequence[DrillHost]
    admin: Connection
    _units: dict[str, frozenset[str]] = field(init=False)

    def __post_init__(self) -> None:
        self._units = {place.host.name: frozenset(_running(place)) for place in self.places}

    def missing(self, killed: Collection[int] = ()) -> list[str]:
        """In words, the cheapest to find out first; nothing where all is there. A process of `killed` is
        not taken for the one after it.
        """
        lacks = [each for place in self.places for each in self._missing_units(place, killed)]
        return lacks or self._missing_members() or self._missing_hosts()

    def _missing_units(self, place: DrillHost, killed: Collection[int]) -> list[str]:
        there = _running(place)
        names = [
            name for name in self._units[place.host.name] if there.get(name, 0) in {0, *killed}
        ]
        return [f"{name} on {place.host.name}" for name in sorted(names)]

    def _missing_members(self) -> list[str]:
        first = self.places[0]
        ovn = ovn_members.look(first.cloud, first.host)
        lacks = [ovn_members.words(each) for each in ovn if not each.is_whole]
        if not first.cloud.is_replicated:
            return lacks
        lacks += [
            f"etcd at {member.address}"
            for member in first.cloud.control_hosts
            if not _is_healthy(first, member.address)
        ]
        return [*lacks, *succession.look(first.cloud, first.host).missing]

    def _missing_hosts(self) -> list[str]:
        try:
            found = list(self.admin.compute.hypervisors(details=True))
        except (SDKException, ClientException) as error:
            return [f"the API: {error}"]
        return [f"the host {each.name}" for each in found if each.state != "up"]


def _running(place: DrillHost) -> dict[str, int]:
    """The processes of units that run and answer, by the units' names."""
    status = keeper.of(place.cloud, place.host).read_status()
    return {
        unit.name: unit.pid
        for unit in (status.units if status else ())
        if unit.state == "running" and answers(unit.listens, unit.namespace or None)
    }


def _is_healthy(place: DrillHost, address: str) -> bool:
    """Whether a member of etcd answers with a quorum behind it."""
    key, certificate, authority = members.certificate(place.host, members.ETCD)
    context = ssl.create_default_context(cafile=str(authority))
    context.load_cert_chain(certificate, key)
    url = f"https://{address}:{members.ETCD_PORT}/health"
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT_S, context=context) as answer:
            return bool(json.load(answer)["health"] == "true")
    except (OSError, ValueError):
        return False
