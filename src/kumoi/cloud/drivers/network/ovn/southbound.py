"""Which router each datapath of OVN is, as its southbound database says: a host's switch has zones of connections for
a datapath, and knows it by that id alone.

Read by the agent, as the host's controller reads it; nothing is written.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from kumoi.cloud.drivers.network import ovsdb

DATABASE = "OVN_Southbound"
DATAPATH = "Datapath_Binding"
ROUTER, NAME = "logical-router", "name"
NAME_PREFIX = "kumoi-"
"""With which names of routers begin, before their id."""
TABLES = (
    ovsdb.Table(name=DATAPATH, root=True, columns={"external_ids": ovsdb.Column(pairs=True)}),
)


class OvnSouthbound(ovsdb.OvsdbClient):
    """`certificate` is what `ssl:` needs."""

    def __init__(
        self,
        remote: str,
        *,
        certificate: tuple[Path, Path, Path] | None = None,
        timeout_s: float = ovsdb.DEFAULT_TIMEOUT_S,
    ) -> None:
        connection = ovsdb.Connection(remote, DATABASE, TABLES, certificate=certificate)
        super().__init__(connection, timeout_s)

    def routers(self) -> dict[str, str]:
        """The id of each router, or of the balancer that it is of, by the id of its datapath. Raises Unreachable."""
        found = {}
        with self._connection.reading(timeout_s=self._timeout_s) as database:
            for row in database.rows(DATAPATH):
                value: Any = database.value(row, DATAPATH, "external_ids")
                ids = dict(value)
                if ROUTER in ids:
                    found[str(row.uuid)] = ids.get(NAME, "").removeprefix(NAME_PREFIX)
        return found
