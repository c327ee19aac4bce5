"""The virtual host: a network namespace with a switch of its own, on the same machine.

    this machine                        network namespace of the host's name
    NAME-ul  control_address    ── veth ── eth0 in br-phy  underlay_address, tunnels
    NAME-ext public_address ── edge.py ─── eth1 in br-ex   physnet1, floating IPs

Several hosts of a cloud on one machine share NAME-ul, NAME-ext and the edge, which are there for as
long as one of them is.

So the machine's own switches, bridges and firewall are never touched. `up` and `down` call this; the
switch's own settings stand in units/table.py, as they are repeated at each of its starts.
"""

from __future__ import annotations

import ipaddress
from pathlib import Path

from kumoi.base import files, process
from kumoi.base.files import Promise
from kumoi.config import CloudSettings, HostSettings, Role
from kumoi.hosts.units import running, table
from kumoi.hosts.wires import edge, links, sockets

OVN_SCHEMAS = Path("/usr/share/ovn")
SWITCH_SCHEMA = Path("/usr/share/openvswitch/vswitch.ovsschema")


def underlay_bridge(cloud: CloudSettings) -> str:
    return f"{cloud.name}-ul"


def own_links(cloud: CloudSettings) -> set[str]:
    """Those of the machine's own namespace that have addresses of the cloud's."""
    return {underlay_bridge(cloud), edge.machine_link(cloud)}


def ensure_links(cloud: CloudSettings, host: HostSettings) -> bool:
    """The namespaces, bridges and links. Whether the host's namespace had to be made: whatever
    still runs in an older one of that name must be started again.
    """
    made = links.ensure_namespace(host.name)
    edge.ensure(cloud)
    underlay = underlay_bridge(cloud)
    links.ensure_bridge(underlay)
    prefix = int(cloud.underlay_cidr.partition("/")[2])
    links.ensure_address(underlay, address=cloud.control_address, prefix=prefix)
    links.disable_offload(underlay, receive=False)
    for veth in veths(cloud, host):
        fresh = links.ensure_veth(veth)
        links.disable_offload(veth.name, namespace=veth.namespace)
        links.disable_offload(veth.inner, namespace=veth.inner_namespace)
        if fresh and not made:
            _unplug(host, veth.inner)
    return made


def forget_other_gateways(cloud: CloudSettings, host: HostSettings) -> None:
    """Routers remember whom they asked for the machine's address, and do not ask again: what an
    earlier layout of the machine's links taught them goes. The central engines answer.
    """
    remote = f"--db={host.southbound_remote}"
    ask = ["ovn-sbctl", remote, "--timeout=10", "--bare", "--columns=_uuid", "find", "MAC_Binding"]
    wrong = [f"ip={cloud.public_address}", f'mac!="{edge.mac(cloud)}"']
    for row in process.run([*ask, *wrong]).out.split():
        forget = ["--if-exists", "destroy", "MAC_Binding", row]
        process.run(["ovn-sbctl", remote, "--timeout=10", *forget])


def ensure_databases(host: HostSettings) -> None:
    """The databases of OVN and Open vSwitch that its roles need, empty, or brought to the installed
    version's schema.
    """
    if Role.NETWORK in host.roles:
        for which, schema in (("ovnnb", "ovn-nb"), ("ovnsb", "ovn-sb")):
            path = table.ovn_database(host, which)
            _ensure_database(path, OVN_SCHEMAS / f"{schema}.ovsschema")
    if Role.AGENT in host.roles:
        _ensure_database(table.switch_database(host), SWITCH_SCHEMA)


def is_there(cloud: CloudSettings, host: HostSettings) -> bool:
    """Whether anything of it is, or anything that hosts share and none is left of."""
    if links.ports_of(underlay_bridge(cloud)):
        return table.namespace_path(host.name).exists()
    namespaces = (host.name, cloud.edge_name)
    there = own_links(cloud) & links.names()
    return bool(there) or any(table.namespace_path(name).exists() for name in namespaces)


def delete(cloud: CloudSettings, host: HostSettings) -> None:
    """Remove the host's links and namespace, whatever of them is there; with the last host of the
    cloud here, also what they share.
    """
    for veth in veths(cloud, host):
        links.delete_link(veth.name, namespace=veth.namespace)
    links.delete_namespace(host.name)
    if not links.ports_of(underlay_bridge(cloud)):
        edge.delete(cloud)
        links.delete_link(underlay_bridge(cloud))


def _unplug(host: HostSettings, port: str) -> None:
    """A switch that runs holds on to a link that is no more, whatever has its name now. It is given
    its ports again when `up` goes on.
    """
    if any(one.name == sockets.SWITCH for one in running.found(host.state_dir)):
        remote = f"--db={host.switch_remote}"
        process.run(["ovs-vsctl", remote, "--timeout=10", "--if-exists", "del-port", port])


def veths(cloud: CloudSettings, host: HostSettings) -> list[links.Veth]:
    """Those between the machine or the edge and the host's switch."""
    inside, number = host.name, _number(cloud, host)
    return [
        links.Veth(
            name=f"{cloud.name}-u{number}",
            bridge=underlay_bridge(cloud),
            inner="eth0",
            inner_namespace=inside,
        ),
        links.Veth(
            name=f"host{number}",
            namespace=cloud.edge_name,
            bridge=edge.PUBLIC,
            inner="eth1",
            inner_namespace=inside,
        ),
    ]


def _number(cloud: CloudSettings, host: HostSettings) -> int:
    """Its place in the underlay: a name may be too long for that of a link."""
    network = ipaddress.IPv4Network(cloud.underlay_cidr)
    return int(ipaddress.IPv4Address(host.underlay_address)) - int(network.network_address)


def _ensure_database(path: Path, schema: Path) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not path.exists():
        draft = files.draft_of(path)
        draft.unlink(missing_ok=True)
        process.run(["ovsdb-tool", "create", draft, schema])
        files.publish(draft, path, promise=Promise.KILL)
    elif process.run(["ovsdb-tool", "needs-conversion", path, schema]).out.strip() == "yes":
        process.run(["ovsdb-tool", "convert", path, schema])
