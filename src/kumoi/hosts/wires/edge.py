"""The edge: a network namespace of ours between the machine and what is tenants'.

    this machine                     NAME-edge                                      virtual hosts
    NAME-ext public_address ── veth ── machine   routes, rules   public (bridge) ── veth ── eth1

                                 underlay ── veth ── NAME-ul, where other control planes of this machine are

The kernel forwards there, and nothing runs: servers reach the APIs and the pipeline of the machine
and nothing else of it, and the machine's own firewall is left alone (design note 0003). Towards the
machine the edge answers for every floating IP, towards tenants for the machine's address.
virtual.py calls this; `rules` is pure.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Collection

from kumoi.base import process
from kumoi.config import CloudSettings
from kumoi.hosts.wires import links

MACHINE = "machine"
PUBLIC = "public"
UNDERLAY = "underlay"
SYSCTLS = {
    "net.ipv4.ip_forward": 1,
    "net.ipv4.conf.all.rp_filter": 1,
    "net.ipv6.conf.all.disable_ipv6": 1,
    "net.ipv6.conf.default.disable_ipv6": 1,
    # What one virtual host sends to another is bridged, and not for our rules.
    "net.bridge.bridge-nf-call-iptables": 0,
    "net.bridge.bridge-nf-call-arptables": 0,
}
UDP_REFUSALS_PER_S = 200
LINK_SYSCTLS = {
    "net.ipv4.conf.{link}.rp_filter": 1,
    "net.ipv4.conf.{link}.proxy_arp": 1,
    "net.ipv4.neigh.{link}.proxy_delay": 0,
}
INWARD = (
    "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12",
    "192.0.0.0/24", "192.0.2.0/24", "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24",
    "203.0.113.0/24", "224.0.0.0/3",
)  # fmt: skip
"""What is not the internet: private, local and special ranges."""


def machine_link(cloud: CloudSettings) -> str:
    """The machine's end: it has the address and the one route for floating IPs."""
    return f"{cloud.name}-ext"


def control_planes(cloud: CloudSettings) -> tuple[str, ...]:
    """Addresses of those that are not the machine's own, whose pipelines runners reach."""
    listed = (each.address for each in cloud.control_hosts)
    return tuple(address for address in listed if address != cloud.control_address)


def _shared(cloud: CloudSettings) -> tuple[str, ...]:
    """The shared address, where it is of the underlay; servers get to another one as to the internet."""
    network = ipaddress.ip_network(cloud.underlay_cidr)
    found = (cloud.shared_address,) if cloud.shared_address else ()
    return tuple(each for each in found if ipaddress.ip_address(each) in network)


def underlay_veth(cloud: CloudSettings, bridge: str) -> links.Veth:
    """The way to them. It needs no address of the underlay's."""
    return links.Veth(
        name=f"{cloud.name}-ue",
        bridge=bridge,
        inner=UNDERLAY,
        inner_namespace=cloud.edge_name,
    )


def mac(cloud: CloudSettings) -> str:
    """Of the edge on the external network, where it stands for the machine: the same for ever, as
    routers do not ask again.
    """
    octets = ipaddress.ip_address(cloud.public_address).packed
    return ":".join(f"{octet:02x}" for octet in (0x0A, 0, *octets))


def ensure(cloud: CloudSettings) -> None:
    """Rules first, so that no packet passes without them."""
    name = cloud.edge_name
    links.ensure_namespace(name)
    outside = links.addresses() if cloud.outbound else []
    process.run(["nft", "-f", "-"], stdin=rules(cloud, outside), namespace=name)
    prefix = int(cloud.public_cidr.partition("/")[2])
    links.ensure_bridge(PUBLIC, namespace=name, mac=mac(cloud))
    links.ensure_address(PUBLIC, address=cloud.edge_address, prefix=prefix, namespace=name)
    links.ensure_veth(links.Veth(name=machine_link(cloud), inner=MACHINE, inner_namespace=name))
    of_links = {
        key.format(link=link): value
        for link in (MACHINE, PUBLIC)
        for key, value in LINK_SYSCTLS.items()
    }
    links.set_sysctls(SYSCTLS | of_links, namespace=name)
    links.ensure_default_route(MACHINE, gateway=cloud.public_address, namespace=name)
    links.ensure_address(machine_link(cloud), address=cloud.public_address, prefix=prefix)


def ensure_underlay(cloud: CloudSettings, bridge: str) -> None:
    """Runners reach the pipelines of other control planes by it, and by no other way: the machine forwards
    nothing.
    """
    veth = underlay_veth(cloud, bridge)
    found = control_planes(cloud)
    if not found:
        links.delete_link(veth.name)
        return
    links.ensure_veth(veth)
    if cloud.shared_address:
        _let_answers_come_by_another_link(cloud, bridge)
    for name, inside in ((veth.name, None), (UNDERLAY, cloud.edge_name)):
        links.disable_offload(name, namespace=inside)
    for address in (*found, *_shared(cloud)):
        links.ensure_route(UNDERLAY, to=f"{address}/32", namespace=cloud.edge_name)


def _let_answers_come_by_another_link(cloud: CloudSettings, bridge: str) -> None:
    """Where the first host has the shared address, servers ask by the underlay, and the machine answers by its
    other link, whose end here has no address: so loose is not loose enough (fib_validate_source).
    """
    process.run(["sysctl", "--quiet", "--write", f"net.ipv4.conf.{bridge}.rp_filter=2"])
    wanted = {UNDERLAY: 1, MACHINE: 0, "all": 0}  # The strictest of a link and all counts.
    assignments = [f"net.ipv4.conf.{link}.rp_filter={value}" for link, value in wanted.items()]
    process.run(["sysctl", "--quiet", "--write", *assignments], namespace=cloud.edge_name)


def delete(cloud: CloudSettings) -> None:
    links.delete_link(machine_link(cloud))
    links.delete_namespace(cloud.edge_name)


def rules(cloud: CloudSettings, machine_addresses: Collection[str]) -> str:
    """What passes, as one transaction of nft that replaces what was there.

    TCP is not tracked: a packet that opens a connection shows it. So tenants cannot fill the table
    of connections, which the machine bounds for all, and what is open outlives the edge. What the
    machine opens by other protocols is tracked, for the answers.

    A segment that opens nothing and belongs to nothing is answered by nobody: without ACK or RST it
    is dropped here, and the reset by which the machine's kernel answers an ACK (a bare RST) goes
    out from the ports that tenants may open only. What is refused is refused aloud, so that nobody
    waits: TCP by a reset, UDP by ICMP, of which there is a bounded number a second.
    """
    here, ports = cloud.public_address, f"{cloud.api_port}, {cloud.pipeline_port}"
    underlay = _underlay_rules(cloud)
    outbound, from_machine = "", ""
    if cloud.outbound:
        inward = [ipaddress.IPv4Network(cidr) for cidr in (*INWARD, *machine_addresses)]
        merged = ", ".join(str(network) for network in ipaddress.collapse_addresses(inward))
        outbound = f"    ip daddr != {{ {merged} }} accept\n"
        from_machine = f"ip saddr {{ {merged} }} "
    return f"""\
table inet edge
delete table inet edge
table inet edge {{
  chain prerouting {{
    type filter hook prerouting priority raw; policy accept;
    meta l4proto tcp notrack
    iifname "{PUBLIC}" icmp type echo-request notrack
  }}
  chain input {{
    type filter hook input priority filter; policy drop;
  }}
  chain forward {{
    type filter hook forward priority filter; policy drop;
    iifname "{MACHINE}" oifname "{PUBLIC}" jump machine
    iifname "{PUBLIC}" oifname "{MACHINE}" jump tenants
{underlay}\
  }}
  chain machine {{
    ip saddr {here} tcp sport {{ {ports} }} accept
    {from_machine}tcp flags & (rst | ack) == rst drop
    accept
  }}
  chain tenants {{
    tcp flags & ack == ack accept
    tcp flags & (syn | rst) == rst accept
    tcp flags & (fin | syn) != syn drop
    ct state established,related accept
    ip daddr {here} tcp dport {{ {ports} }} accept
    ip daddr {here} icmp type echo-request accept
    icmp type {{ destination-unreachable, time-exceeded, parameter-problem }} accept
{outbound}\
    meta l4proto tcp reject with tcp reset
    meta l4proto udp limit rate {UDP_REFUSALS_PER_S}/second reject with icmp port-unreachable
  }}
}}
"""


def _underlay_rules(cloud: CloudSettings) -> str:
    """To the pipelines of other control planes, and to who has the shared address; and their answers."""
    found = ", ".join(control_planes(cloud))
    if not found:
        return ""
    there = f'iifname "{PUBLIC}" oifname "{UNDERLAY}"'
    back = f'iifname "{UNDERLAY}" oifname "{PUBLIC}"'
    port = cloud.pipeline_port
    ports = f"{cloud.api_port}, {port}"
    shared = "".join(
        f"""\
    {there} ip daddr {each} tcp dport {{ {ports} }} accept
    {back} ip saddr {each} tcp sport {{ {ports} }} accept
"""
        for each in _shared(cloud)
    )
    return f"""\
{shared}\
    {there} ip daddr {{ {found} }} tcp dport {port} accept
    {there} meta l4proto tcp reject with tcp reset
    {back} ip saddr {{ {found} }} tcp sport {port} accept
"""
