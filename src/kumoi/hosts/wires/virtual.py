"""The virtual host: a network namespace with a switch of its own, on the same machine.

    this machine                        network namespace of the host's name
    NAME-ul  control_address    ── veth ── eth0 in br-phy  underlay_address, tunnels
    NAME-ext public_address ── edge.py ─── eth1 in br-ex   physnet1, floating IPs

                                        network namespace HOST-control
    NAME-ul                     ── veth ── control         the address of its control plane

The control plane of the cloud's first host is the machine's; that of another one here is in a namespace of
its own, so that its link can be cut and its sockets are nobody else's. On a machine of its own it needs none.

Several hosts of a cloud on one machine share NAME-ul, NAME-ext and the edge, which exist for as
long as one of the hosts does. A host on another machine has NAME-ul and its link to eth0 alone; there and
on the first machine a link of the machine's is in NAME-ul, by which they reach each other (design note 0036).

So the machine's own switches, bridges and firewall are never touched. `up` and `down` call this;
the switch's settings are in units/table.py, since they are set again at each of its starts.
"""

from __future__ import annotations

import contextlib
import ipaddress
from collections.abc import Iterator
from pathlib import Path

from kumoi import members
from kumoi.base import namespace, process
from kumoi.config import CONTROL, CloudSettings, HostSettings, Role
from kumoi.hosts.units import database_file, running, switch, table
from kumoi.hosts.units.database_file import RaftMember
from kumoi.hosts.wires import edge, links, neighbours, shared_address, silence, sockets
from kumoi.members import NORTHBOUND, OVN_DATABASES, SOUTHBOUND, OvnDatabase

OVN_SCHEMAS = Path("/usr/share/ovn")
OVN_SCHEMA_FILES = {NORTHBOUND: "ovn-nb.ovsschema", SOUTHBOUND: "ovn-sb.ovsschema"}
SWITCH_SCHEMA = Path("/usr/share/openvswitch/vswitch.ovsschema")


def underlay_bridge(cloud: CloudSettings) -> str:
    return f"{cloud.name}-ul"


def own_links(cloud: CloudSettings) -> set[str]:
    """The links in the machine's own namespace that have addresses of the cloud."""
    return {underlay_bridge(cloud), edge.machine_link(cloud)}


def ensure_links(cloud: CloudSettings, host: HostSettings) -> bool:
    """Make namespaces, bridges and links. Whether the host's namespace had to be made: then
    processes that still run in an older one of that name must be started again.
    """
    made = links.ensure_namespace(host.name)
    silence.ensure(host.name)
    neighbours.raise_most()
    ensure_underlay(cloud, host)
    underlay = underlay_bridge(cloud)
    if host.has_edge:
        edge.ensure(cloud)
    _ensure_control_addresses(cloud, host)
    if host.has_edge:
        edge.ensure_underlay(cloud, underlay)
    links.disable_offload(underlay, receive=False)
    for veth in veths(cloud, host):
        is_new = links.ensure_veth(veth)
        links.disable_offload(veth.name, namespace=veth.namespace)
        links.disable_offload(veth.inner, namespace=veth.inner_namespace)
        if is_new and not made:
            _remove_from_switch(host, veth.inner)
    return made


def ensure_underlay(cloud: CloudSettings, host: HostSettings) -> None:
    """The bridge, and in it the machine's link to other machines, where one is named. Raises Invalid when
    there is no such link, or it is in use.
    """
    underlay = underlay_bridge(cloud)
    links.ensure_bridge(underlay)
    if host.underlay_interface:
        links.ensure_port(underlay, host.underlay_interface)


def _ensure_control_addresses(cloud: CloudSettings, host: HostSettings) -> None:
    """Of a machine's own network: the first host's, and that of a control host on another machine."""
    underlay, prefix = underlay_bridge(cloud), int(cloud.underlay_cidr.partition("/")[2])
    addresses = [cloud.control_address] if host.has_edge else []
    own = cloud.control_host(host.name)
    if own is not None and host.control_namespace is None:
        addresses.append(own.address)
    for address in addresses:
        links.ensure_address(underlay, address=address, prefix=prefix)
    if addresses and not host.has_edge:
        _ensure_routes_outside(cloud, underlay)


def _ensure_routes_outside(
    cloud: CloudSettings, link: str, *, namespace: str | None = None
) -> None:
    """From a control plane that is not the first machine's own: to that one's public address, and to servers by the
    edge; that machine forwards nothing.
    """
    links.ensure_route(link, to=f"{cloud.edge_address}/32", namespace=namespace)
    gateways = {
        cloud.public_address: cloud.control_address,
        cloud.public_cidr: cloud.edge_address,
    }
    for to, gateway in gateways.items():
        links.ensure_route(link, to=to, gateway=gateway, namespace=namespace)


def forget_control_address(cloud: CloudSettings, host: HostSettings) -> None:
    """Of another machine than the first one, which is no control host any more: it has no address there."""
    if not host.has_edge:
        for to in (cloud.public_address, cloud.public_cidr, f"{cloud.edge_address}/32"):
            links.delete_route(underlay_bridge(cloud), to=to)
        links.delete_addresses(underlay_bridge(cloud))


@contextlib.contextmanager
def lent_address(cloud: CloudSettings, host: HostSettings, to: str) -> Iterator[None]:
    """A machine that has no switch yet speaks from the host's own address to that one. It is given back, as
    two would answer for it.
    """
    underlay = underlay_bridge(cloud)
    ensure_underlay(cloud, host)
    links.ensure_address(underlay, address=host.underlay_address, prefix=32)
    links.ensure_route(underlay, to=f"{to}/32")
    try:
        yield
    finally:
        links.delete_address(underlay, address=host.underlay_address)
        links.delete_route(underlay, to=f"{to}/32")


def ensure_control(cloud: CloudSettings, host: HostSettings) -> bool:
    """The namespace of the host's control plane, where it has one of its own. Whether it had to be made:
    then what still runs there is in one that is no more.
    """
    inside, own = host.control_namespace, cloud.control_host(host.name)
    if inside is None:
        return False
    if own is None:
        links.delete_namespace(inside)
        return False
    made = links.ensure_namespace(inside)
    underlay = underlay_bridge(cloud)
    # Of an earlier layout. Two would answer for it.
    links.delete_address(underlay, address=own.address)
    veth = control_veth(cloud, host)
    links.ensure_veth(veth)
    prefix = int(cloud.underlay_cidr.partition("/")[2])
    links.ensure_address(veth.inner, address=own.address, prefix=prefix, namespace=inside)
    # The machine answers at the cloud's public address.
    links.ensure_default_route(veth.inner, gateway=cloud.control_address, namespace=inside)
    _ensure_routes_outside(cloud, veth.inner, namespace=inside)
    return made


def forget_other_gateways(cloud: CloudSettings, host: HostSettings) -> None:
    """Delete OVN's records of another MAC address for the machine's, as of an earlier layout of its
    links: routers do not ask again for an address that they have a record of. Called while OVN's
    central databases run.
    """
    sbctl = ["ovn-sbctl", f"--db={host.southbound_remote}", "--timeout=10", "--no-leader-only"]
    wrong = [f"ip={cloud.public_address}", f'mac!="{edge.mac(cloud)}"']
    found = process.run([*sbctl, "--bare", "--columns=_uuid", "find", "MAC_Binding", *wrong])
    for row in found.out.split():
        process.run([*sbctl, "--if-exists", "destroy", "MAC_Binding", row])


def forget_controller(host: HostSettings, lost: str) -> None:
    """Of a host that will not say good-bye itself. Called where OVN's southbound database has a server."""
    sbctl = ["ovn-sbctl", f"--db={host.southbound_remote}", "--timeout=10", "--no-leader-only"]
    process.run([*sbctl, "--if-exists", "chassis-del", lost])


def forget_southbound_members(host: HostSettings) -> None:
    """Of a cluster that is none any more: the host's controller goes where its switch's settings say."""
    remove = ["remove", "open", ".", "external_ids", switch.southbound_key(host)]
    process.run(["ovs-vsctl", f"--db={host.switch_remote}", "--timeout=10", *remove])


def ensure_databases(
    cloud: CloudSettings, host: HostSettings, *, only_missing: bool = False
) -> None:
    """Make the databases of OVN and Open vSwitch that the host's roles need; existing ones become what
    the settings say, and are converted to the schema of the installed version, unless `only_missing`: their
    servers may run.
    """
    if Role.NETWORK in host.roles:
        ensure_central(cloud, host, only_missing=only_missing)
    path = table.switch_database(host)
    if Role.AGENT in host.roles and not (only_missing and path.exists()):
        database_file.ensure(path, SWITCH_SCHEMA)


def ensure_central(cloud: CloudSettings, host: HostSettings, *, only_missing: bool = False) -> None:
    """OVN's own, of which each is alone or a member."""
    for database in OVN_DATABASES:
        path = table.ovn_database(host, database.name)
        if not (only_missing and path.exists()):
            schema = OVN_SCHEMAS / OVN_SCHEMA_FILES[database]
            database_file.ensure(path, schema, _member(cloud, host, database))


def is_central_to_change(cloud: CloudSettings, host: HostSettings) -> bool:
    """Whether one of OVN's databases is alone that is to be a member, or the other way round."""
    return Role.NETWORK in host.roles and any(
        database_file.is_to_change(
            table.ovn_database(host, database.name), _member(cloud, host, database)
        )
        for database in OVN_DATABASES
    )


def _member(cloud: CloudSettings, host: HostSettings, database: OvnDatabase) -> RaftMember | None:
    if not members.has_ovn_member(cloud, host):
        return None
    own = members.own(cloud, host)
    others = (each for each in cloud.control_hosts if each != own)
    return RaftMember(
        members.ovn_peer(own, database),
        tuple(members.ovn_peer(each, database) for each in others),
    )


def is_there(cloud: CloudSettings, host: HostSettings) -> bool:
    """Whether the host's namespace exists, or shared links and namespaces exist without a host."""
    if _has_hosts(cloud):
        return table.namespace_path(host.name).exists()
    namespaces = (host.name, cloud.edge_name, f"{host.name}{CONTROL}")
    shared = own_links(cloud) & links.names()
    return bool(shared) or any(table.namespace_path(name).exists() for name in namespaces)


def delete(cloud: CloudSettings, host: HostSettings) -> None:
    """Remove the host's links and namespace, where they exist, and those of balancers; with the cloud's last host on this
    machine also the shared ones.
    """
    for veth in veths(cloud, host):
        links.delete_link(veth.name, namespace=veth.namespace)
    for station in namespace.NAMESPACES.glob(f"{host.name}-lb-*"):
        namespace.remove(station)
    links.delete_link(control_veth(cloud, host).name)
    for inside in (host.name, f"{host.name}{CONTROL}"):
        links.delete_namespace(inside)
    if host.control_namespace is None:
        shared_address.forget_refusals(cloud)
    if not _has_hosts(cloud):
        edge.delete(cloud)
        links.delete_link(underlay_bridge(cloud))


def _has_hosts(cloud: CloudSettings) -> bool:
    """Whether any is on this machine: the edge is none."""
    own = f"{cloud.name}-"
    found = {name for name in links.ports_of(underlay_bridge(cloud)) if name.startswith(own)}
    return bool(found - {edge.underlay_veth(cloud, underlay_bridge(cloud)).name})


def _remove_from_switch(host: HostSettings, port: str) -> None:
    """Make a running switch drop a port whose link was replaced: it would go on with the deleted
    link. A later stage of `up` adds the ports again.
    """
    if any(found.name == sockets.SWITCH for found in running.found(host.state_dir)):
        remote = f"--db={host.switch_remote}"
        process.run(["ovs-vsctl", remote, "--timeout=10", "--if-exists", "del-port", port])


def veths(cloud: CloudSettings, host: HostSettings) -> list[links.Veth]:
    """The links from the machine, and from the edge, to the host's switch."""
    number, inside = _number(cloud, host), host.name
    to_underlay = links.Veth(
        name=f"{cloud.name}-u{number}",
        bridge=underlay_bridge(cloud),
        inner="eth0",
        inner_namespace=inside,
    )
    if not host.has_edge:
        return [to_underlay]
    to_edge = links.Veth(
        name=f"host{number}",
        namespace=cloud.edge_name,
        bridge=edge.PUBLIC,
        inner="eth1",
        inner_namespace=inside,
    )
    return [to_underlay, to_edge]


def control_veth(cloud: CloudSettings, host: HostSettings) -> links.Veth:
    """The link of a control plane that has a namespace of its own."""
    return links.Veth(
        name=f"{cloud.name}-c{_number(cloud, host)}",
        bridge=underlay_bridge(cloud),
        inner="control",
        inner_namespace=f"{host.name}{CONTROL}",
    )


def _number(cloud: CloudSettings, host: HostSettings) -> int:
    """A host's name may be too long for that of a link; its place in the underlay is not."""
    network = ipaddress.IPv4Network(cloud.underlay_cidr)
    return int(ipaddress.IPv4Address(host.underlay_address)) - int(network.network_address)
