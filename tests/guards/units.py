"""The reference's page on units: hosts/units/rights.py for people."""

from __future__ import annotations

from pathlib import Path

from kumoi.config import CloudSettings, HostSettings
from kumoi.control_host import ControlHost
from kumoi.hosts.units import rights, users
from kumoi.hosts.units.confinement import Confinement

WRITTEN_BY = "<!-- Made by `python -m tests.guards.reference`; do not edit. -->\n"
HEAD = """
# Units: what each may

What `up` starts on the first host of a cloud named `kumoi`, as it is where others may join and the
stores are on several hosts that share an address; `authority` is there only in the one case, `etcd`, `patroni` with PostgreSQL,
`copies`, `health`, `keepalived` and the certificates of stores only in the other. Paths are below its state directory, where
they do not begin with `/`. Beside them a unit reads the system's programs and libraries and its
release. A unit's own group has its name, but for `kumoi-control`, which `api`, `worker` and `copies` share.

| unit | user | other groups | writes | reads | capabilities | sockets | starts programs |
| --- | --- | --- | --- | --- | --- | --- | --- |
"""


def page() -> str:
    host = HostSettings()
    cloud = CloudSettings(
        southbound_url="ssl:172.24.5.1:6642",
        control_hosts=(ControlHost(host.name, CloudSettings().control_address),),
        shared_address="172.24.5.12",
    )
    units = [*users.units_here(cloud, host), "agent"]
    rows = [_row(unit, rights.of_unit(cloud, host, unit), host.state) for unit in units]
    return WRITTEN_BY + HEAD + "".join(f"{row}\n" for row in rows)


def _row(unit: str, row: Confinement, state: Path) -> str:
    everything = "everything"
    cells = (
        f"`{unit}`",
        f"`{row.user}`",
        _names(row.groups),
        _names(_below(state, row.writes)) if row.is_bounded else everything,
        _names(_below(state, row.reads)) if row.is_bounded else everything,
        _names(row.capabilities) if row.is_bounded else everything,
        ", ".join(row.families) if row.is_bounded else everything,
        "yes" if row.starts_programs else "no",
    )
    return f"| {' | '.join(cells)} |"


def _below(state: Path, paths: tuple[str, ...]) -> tuple[str, ...]:
    """Each once, shortened."""
    return tuple(dict.fromkeys(path.removeprefix(f"{state}/") for path in paths))


def _names(names: tuple[str, ...]) -> str:
    return ", ".join(f"`{name}`" for name in names)
