"""The addresses and security groups of many servers at once, as compute's API shows them."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import NamedTuple

from sqlalchemy.engine import Connection

from kumoi.cloud.store.compute import address as store


class ShownAddress(NamedTuple):
    """An address of a server, fixed or floating."""

    network_name: str
    address: str
    mac: str
    floating: bool

    @property
    def version(self) -> int:
        return 6 if ":" in self.address else 4


@dataclass(slots=True)
class Addresses:
    """The addresses and the names of the security groups, by server."""

    addresses: dict[str, list[ShownAddress]] = field(default_factory=dict)
    groups: dict[str, list[str]] = field(default_factory=dict)


def of(connection: Connection, server_ids: Collection[str]) -> Addresses:
    """A floating address follows the fixed one that it leads to; a group is named once a server."""
    rows = store.ports(connection, server_ids)
    networks = store.network_names(connection, {row.network_id for row in rows})
    groups = store.group_names(connection, {key for row in rows for key in row.group_ids})
    floating = store.floating(connection, [row.id for row in rows])
    found = Addresses()
    for row in rows:
        name = networks.get(row.network_id, "")
        shown = found.addresses.setdefault(row.server_id, [])
        for _, fixed in row.fixed_ips:
            shown.append(ShownAddress(name, fixed, row.mac, floating=False))
            outside = floating.get((row.id, fixed))
            if outside is not None:
                shown.append(ShownAddress(name, outside, row.mac, floating=True))
        names = found.groups.setdefault(row.server_id, [])
        names += [
            groups[key] for key in row.group_ids if key in groups and groups[key] not in names
        ]
    return found
