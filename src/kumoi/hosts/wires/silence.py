"""What the kernel of a virtual host's namespace hears of the links that are its switch's: nothing.

A switch in user space reads a copy of each frame that comes by one of its links; the other goes to the kernel, which has
the host's address. Linux answers for an address on every link that it is asked on, with the MAC of that link. So two answered for one
host in the underlay, of which one is no switch's: who took that answer sent its tunnels there, and they ended. And
servers could ask, and speak to what listens in the namespace by a link that OVN's rules are not on.

(Open vSwitch's documentation says so of its user-space datapath and advises such rules: intro/install/userspace.)
"""

from __future__ import annotations

from kumoi.base import process
from kumoi.hosts.units.switch import UNDERLAY
from kumoi.hosts.wires import links

SYSCTLS = {
    # Who asks for an address hears of the link that has it.
    "net.ipv4.conf.all.arp_ignore": 1,
    "net.ipv6.conf.all.disable_ipv6": 1,
    "net.ipv6.conf.default.disable_ipv6": 1,
}
RULES = f"""\
table inet host
delete table inet host
table inet host {{
  chain prerouting {{
    type filter hook prerouting priority raw; policy drop;
    iifname {{ "lo", "{UNDERLAY}" }} accept
  }}
}}
"""


def ensure(name: str) -> None:
    """Of the host of this name, whose namespace is there. It may be repeated."""
    process.run(["nft", "-f", "-"], stdin=RULES, namespace=name)
    links.set_sysctls(SYSCTLS, namespace=name)
