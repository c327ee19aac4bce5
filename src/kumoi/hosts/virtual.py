"""The virtual host: a network namespace with a switch of its own, on the same machine.

    this machine                        network namespace NAME-host1
    NAME-ul  underlay_address    ── veth ── eth0 in br-phy  host_underlay_address, tunnels
    NAME-ext public_address ── edge.py ──── eth1 in br-ex   physnet1, floating IPs

So the machine's own switches, bridges and firewall are never touched. `up` and `down` call this; the
switch's own settings stand in units.py, as they are repeated at each of its starts.
"""

from __future__ import annotations

from pathlib import Path

from kumoi.base import process
from kumoi.config import Settings
from kumoi.hosts import edge, links, running, sockets, units

OVN_SCHEMAS = Path("/usr/share/ovn")
SWITCH_SCHEMA = Path("/usr/share/openvswitch/vswitch.ovsschema")


def underlay_bridge(settings: Settings) -> str:
    return f"{settings.name}-ul"


def own_links(settings: Settings) -> set[str]:
    """Those of the machine's own namespace that have addresses of the cloud's."""
    return {underlay_bridge(settings), edge.machine_link(settings)}


def ensure_links(settings: Settings) -> bool:
    """The namespaces, bridges and links. Whether the host's namespace had to be made: whatever
    still runs in an older one of that name must be started again.
    """
    made = links.ensure_namespace(settings.host_name)
    edge.ensure(settings)
    underlay = underlay_bridge(settings)
    links.ensure_bridge(underlay)
    prefix = int(settings.underlay_cidr.partition("/")[2])
    links.ensure_address(underlay, address=settings.underlay_address, prefix=prefix)
    links.disable_offload(underlay, receive=False)
    for veth in _veths(settings):
        fresh = links.ensure_veth(veth)
        links.disable_offload(veth.name, namespace=veth.namespace)
        links.disable_offload(veth.inner, namespace=veth.inner_namespace)
        if fresh and not made:
            _unplug(settings, veth.inner)
    return made


def forget_other_gateways(settings: Settings) -> None:
    """Routers remember whom they asked for the machine's address, and do not ask again: what an
    earlier layout of the machine's links taught them goes. The central engines answer.
    """
    remote = f"--db={settings.southbound_remote}"
    ask = ["ovn-sbctl", remote, "--timeout=10", "--bare", "--columns=_uuid", "find", "MAC_Binding"]
    wrong = [f"ip={settings.public_address}", f'mac!="{edge.mac(settings)}"']
    for row in process.run([*ask, *wrong]).out.split():
        forget = ["--if-exists", "destroy", "MAC_Binding", row]
        process.run(["ovn-sbctl", remote, "--timeout=10", *forget])


def ensure_databases(settings: Settings) -> None:
    """Open vSwitch's and OVN's databases, empty, or brought to the installed version's schema."""
    for which, schema in (("ovnnb", "ovn-nb"), ("ovnsb", "ovn-sb")):
        path = units.ovn_database(settings, which)
        _ensure_database(path, OVN_SCHEMAS / f"{schema}.ovsschema")
    _ensure_database(units.switch_database(settings), SWITCH_SCHEMA)
    units.switch_dir(settings).mkdir(parents=True, exist_ok=True)


def is_there(settings: Settings) -> bool:
    """Whether anything of it is."""
    namespaces = (settings.host_name, settings.edge_name)
    there = own_links(settings) & links.names()
    return bool(there) or any(units.namespace_path(name).exists() for name in namespaces)


def delete(settings: Settings) -> None:
    """Remove the links and the namespaces, whatever of them is there."""
    for veth in _veths(settings):
        if veth.namespace is None:
            links.delete_link(veth.name)
    edge.delete(settings)
    links.delete_namespace(settings.host_name)
    links.delete_link(underlay_bridge(settings))


def _unplug(settings: Settings, port: str) -> None:
    """A switch that runs holds on to a link that is no more, whatever has its name now. It is given
    its ports again when `up` goes on.
    """
    if any(one.name == sockets.SWITCH for one in running.found(settings.state_dir)):
        remote = f"--db={settings.switch_remote}"
        process.run(["ovs-vsctl", remote, "--timeout=10", "--if-exists", "del-port", port])


def _veths(settings: Settings) -> list[links.Veth]:
    """Those between the machine or the edge and the host's switch."""
    host, underlay = settings.host_name, underlay_bridge(settings)
    return [
        links.Veth(name=f"{underlay}h", bridge=underlay, inner="eth0", inner_namespace=host),
        links.Veth(
            name="host1",
            namespace=settings.edge_name,
            bridge=edge.PUBLIC,
            inner="eth1",
            inner_namespace=host,
        ),
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
