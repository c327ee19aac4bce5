"""What the virtual host's switch is told each time that it has started: its bridges, its way to OVN, its limits.

`table` puts these commands after the switch, `virtual` takes one back. Pure.
"""

from __future__ import annotations

import shlex
from pathlib import Path

from kumoi import members
from kumoi.config import CloudSettings, HostSettings
from kumoi.members import SOUTHBOUND

UNDERLAY = "br-phy"  # The bridge that has the host's address there.
UNDERLAY_TWIN = "br-phy-twin"
CONTROLLER_LOST_WAIT_MS = 3_000  # Flows stay this long after ovn-controller came back: no gap.
CONNECTION_ZONES = 8_192
CONNECTIONS_PER_ZONE, CONNECTIONS_TOGETHER = 250_000, 2_000_000
"""Of a zone before the agent has said more, and of the whole switch."""


def control(switch_dir: Path) -> Path:
    """The socket by which the switch is asked and told what is in no database."""
    return switch_dir / "ovs-vswitchd.ctl"


def southbound_key(host: HostSettings) -> str:
    """Of the switch's external_ids: OVN prefers it to `ovn-remote`, which is told by another unit."""
    return f"ovn-remote-{host.name}"


def southbound_members(cloud: CloudSettings, host: HostSettings) -> tuple[tuple[str, ...], ...]:
    if not cloud.is_replicated:
        return ()
    value = f'external-ids:{southbound_key(host)}="{members.ovn_remotes(cloud, SOUTHBOUND)}"'
    return (("ovs-vsctl", f"--db={host.switch_remote}", "--timeout=10", "set", "open", ".", value),)


def connection_limits(
    control: Path, *, per_zone: int = CONNECTIONS_PER_ZONE
) -> tuple[tuple[str, ...], ...]:
    """How many connections a switch remembers, in a table that all ports of its host share. OVN gives
    each port, and each router twice, a zone of it: the lowest number that is free. What fills its own
    zone makes no new connections, and its neighbours do. The agent then sets the limits of zones that somebody has, by
    projects (cloud/agent/connection_room.py). OVS 3.1 counts the zones of a default limit
    together, so each has one; no path of a release is in it, as a switch is not started anew for that. It would
    log a line for each zone, each time.
    """
    switch = f"exec ovs-appctl -t {shlex.quote(str(control))}"
    ask = f"{switch} dpctl/ct-set-"
    zones = f"$(seq -f zone=%.0f,limit={per_zone} 1 {CONNECTION_ZONES})"
    return (
        ("sh", "-c", f"{switch} vlog/set conntrack:console:warn"),
        ("sh", "-c", f"{ask}limits {zones}"),
        ("sh", "-c", f"{ask}maxconns {CONNECTIONS_TOGETHER}"),
    )


def kept_tunnels(
    cloud: CloudSettings, host: HostSettings, control: Path
) -> tuple[tuple[str, ...], ...]:
    """A second link with the host's address and MAC in the underlay, which is down and carries nothing, for what the
    switch knows of tunnels to outlast a change of any link of the host's, such as a server's that comes or goes.

    At each, Open vSwitch forgets every route that the kernel has told it, and with the last one of a link which packets to the link's
    address are a tunnel's, until it has read them anew. A flow that is revalidated meanwhile has the kernel get what came by a
    tunnel. What two links have is known as long as one of them is, and a route that was added by hand is not forgotten. So
    the twin has none of the kernel's, and one by hand, as has the way to other hosts.
    """
    ip, twin = f"ip -n {host.name}", UNDERLAY_TWIN
    own = f"{host.underlay_address}/32"
    return (
        (
            "sh",
            "-c",
            f"{ip} link show dev {twin} >/dev/null 2>&1 || {ip} link add {twin} type bridge",
        ),
        (
            "sh",
            "-c",
            f'set $({ip} -br link show dev {UNDERLAY}) && {ip} link set {twin} address "$3"',
        ),
        (*ip.split(), "address", "replace", own, "dev", twin),
        (*ip.split(), "route", "flush", "table", "local", "dev", twin),
        *(_route(control, to, dev) for to, dev in ((own, twin), (cloud.underlay_cidr, UNDERLAY))),
    )


def _route(control: Path, to: str, link: str) -> tuple[str, ...]:
    """Until the switch has heard of the link's address, for some turns of its loop at most."""
    add = f"ovs-appctl -t {shlex.quote(str(control))} ovs/route/add {to} {link}"
    return (
        "sh",
        "-c",
        f"for _ in $(seq 49); do {add} >/dev/null 2>&1 && exit; sleep 0.1; done; {add}",
    )


def no_empty_translation(remote: str) -> tuple[tuple[str, ...], ...]:
    """Tell OVN's controller that the switch cannot translate an address to itself, which OVN would ask for with
    every connection that a security group lets through. Open vSwitch 3.1 can, and aborts
    (`conn_update_state`) when such a connection's addresses and ports come again before it has forgotten
    them. The switch says once what it can, when it has begun and there is a row to say it in; so this
    comes after it was heard to answer.
    """
    ask = f"ovs-vsctl --db={remote} --timeout=10"
    row = f"{ask} get open . datapaths:netdev"
    make = f"{ask} -- --id=@made create datapath datapath_version=0 -- set open . datapaths:netdev=@made"
    return (
        ("sh", "-c", f"{row} >/dev/null 2>&1 || {make} >/dev/null"),
        ("sh", "-c", f"{ask} set datapath $({row}) capabilities:ct_zero_snat=false"),
    )


def settings(cloud: CloudSettings, host: HostSettings) -> tuple[tuple[str, ...], ...]:
    """The virtual host's bridges, and its tunnel address: a user-space switch takes its bridges'
    links along when it dies, so the address is given again at every start.
    """
    prefix = cloud.underlay_cidr.partition("/")[2]
    external_ids = {
        "system-id": host.name,
        "hostname": host.name,
        "ovn-remote": f'"{members.first_southbound(cloud, host)}"',
        "ovn-encap-type": "geneve",
        "ovn-encap-ip": host.underlay_address,
        "ovn-bridge-datapath-type": "netdev",
        **({"ovn-bridge-mappings": "physnet1:br-ex"} if host.has_edge else {}),
        "ovn-ofctrl-wait-before-clear": str(CONTROLLER_LOST_WAIT_MS),
    }
    bridges = {UNDERLAY: "eth0"}
    if host.has_edge:
        bridges["br-ex"] = "eth1"
    configure = ["ovs-vsctl", f"--db={host.switch_remote}", "--timeout=10"]
    configure += ["--", "set", "open", "."]
    configure += [f"external-ids:{key}={value}" for key, value in external_ids.items()]
    for bridge, port in bridges.items():
        configure += ["--", "--may-exist", "add-br", bridge]
        configure += ["--", "set", "bridge", bridge, "datapath_type=netdev"]
        configure += ["--", "--may-exist", "add-port", bridge, port]
    address = f"{host.underlay_address}/{prefix}"
    return (
        ("ovs-vsctl", f"--db={host.switch_remote}", "--no-wait", "--timeout=10", "init"),
        tuple(configure),
        ("ip", "-n", host.name, "address", "replace", address, "dev", UNDERLAY),
        ("ip", "-n", host.name, "link", "set", "dev", UNDERLAY, "up"),
    )
