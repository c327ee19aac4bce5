"""The virtual host: a network namespace with a switch of its own, on the same machine.

    this machine                        network namespace NAME-host1
    NAME-ul  underlay_address    ── veth ── eth0 in br-phy  host_underlay_address, tunnels
    NAME-ext public_address      ── veth ── eth1 in br-ex   physnet1, floating IPs

So the machine's own switches, bridges and firewall are never touched. `up` and `down` call this; the
switch's own settings stand in units.py, as they are repeated at each of its starts.
"""

from __future__ import annotations

from pathlib import Path

from kumoi.base import process
from kumoi.config import Settings
from kumoi.hosts import links, units

OVN_SCHEMAS = Path("/usr/share/ovn")
SWITCH_SCHEMA = Path("/usr/share/openvswitch/vswitch.ovsschema")


def underlay_bridge(settings: Settings) -> str:
    return f"{settings.name}-ul"


def public_bridge(settings: Settings) -> str:
    return f"{settings.name}-ext"


def ensure_links(settings: Settings) -> bool:
    """The namespace, bridges and links. Whether the namespace had to be made: whatever still runs
    in an older one of that name must be started again.
    """
    made = links.ensure_namespace(settings.host_name)
    for bridge, address, cidr in (
        (underlay_bridge(settings), settings.underlay_address, settings.underlay_cidr),
        (public_bridge(settings), settings.public_address, settings.public_cidr),
    ):
        prefix = int(cidr.partition("/")[2])
        links.ensure_bridge(bridge, address=address, prefix=prefix)
    for veth in _veths(settings):
        links.ensure_veth(veth)
    return made


def ensure_databases(settings: Settings) -> None:
    """Open vSwitch's and OVN's databases, empty, or brought to the installed version's schema."""
    for which, schema in (("ovnnb", "ovn-nb"), ("ovnsb", "ovn-sb")):
        path = units.ovn_database(settings, which)
        _ensure_database(path, OVN_SCHEMAS / f"{schema}.ovsschema")
    _ensure_database(units.switch_database(settings), SWITCH_SCHEMA)
    units.switch_dir(settings).mkdir(parents=True, exist_ok=True)


def is_there(settings: Settings) -> bool:
    """Whether anything of it is."""
    there = {underlay_bridge(settings), public_bridge(settings)} & links.names()
    return bool(there) or units.namespace_path(settings.host_name).exists()


def delete(settings: Settings) -> None:
    """Remove the links and the namespace, whatever of them is there."""
    for veth in _veths(settings):
        links.delete_link(veth.name)
    links.delete_namespace(settings.host_name)
    links.delete_link(underlay_bridge(settings))
    links.delete_link(public_bridge(settings))


def _veths(settings: Settings) -> list[links.Veth]:
    underlay, public = underlay_bridge(settings), public_bridge(settings)
    return [
        links.Veth(
            name=f"{underlay}h", bridge=underlay, namespace=settings.host_name, inner="eth0"
        ),
        links.Veth(name=f"{public}h", bridge=public, namespace=settings.host_name, inner="eth1"),
    ]


def _ensure_database(path: Path, schema: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        draft = path.with_name(f".{path.name}.new")
        draft.unlink(missing_ok=True)
        process.run(["ovsdb-tool", "create", draft, schema])
        draft.replace(path)
    elif process.run(["ovsdb-tool", "needs-conversion", path, schema]).out.strip() == "yes":
        process.run(["ovsdb-tool", "convert", path, schema])
