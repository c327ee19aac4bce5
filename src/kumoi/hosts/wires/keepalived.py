"""keepalived, which gives the shared address to one control host at a time, by VRRP: what it is told.

All begin with one priority, so whoever has the address keeps it while it is well; what the unit `health`
says of a host (hosts/cluster/health.py) lowers its own. `text` is pure. Design note 0035 says why it is so.
"""

from __future__ import annotations

import grp
import os
from collections.abc import Iterable

from kumoi import members
from kumoi.base import files
from kumoi.config import CloudSettings, HostSettings
from kumoi.hosts.units import rights, users
from kumoi.hosts.units.table import namespace_path
from kumoi.hosts.wires import links

PRIORITY = 100
ADVERT_S = 0.25  # Whoever was not heard of for 0.9 s is replaced: three, and a part of another.
AGAIN_S = 2  # Neighbours that heard somebody else are told again after that.
ROUTER_ID = 53  # Messages go to members alone, so no other one's is met.
MODE = 0o640
DIRECTORY_MODE = 0o750


def text(cloud: CloudSettings, host: HostSettings, *, own_link: str, link: str) -> str:
    """Of its file. `own_link` has the control plane's address, `link` gets the shared one."""
    own = members.own(cloud, host)
    peers = "".join(f"    {each.address}\n" for each in cloud.control_hosts if each != own)
    return f"""\
global_defs {{
  router_id {own.name}
  vrrp_version 3
  vrrp_garp_master_refresh {AGAIN_S}
}}
track_file {members.HEALTH} {{
  file {rights.health_file(host)}
  weight 1
}}
vrrp_instance clients {{
  state BACKUP
  interface {own_link}
  virtual_router_id {ROUTER_ID}
  priority {PRIORITY}
  advert_int {ADVERT_S}
  unicast_src_ip {own.address}
  unicast_peer {{
{peers}\
  }}
  virtual_ipaddress {{
    {cloud.shared_address}/32 dev {link}
  }}
  track_file {{
    {members.HEALTH}
  }}
}}
"""


def holders(cloud: CloudSettings, hosts: Iterable[HostSettings]) -> list[str]:
    """Those of these hosts, all on this machine, whose link has the shared address: one, none while it moves, or
    two for a while.
    """
    there = (host for host in hosts if members.shares_address(cloud, host))
    return [
        host.name
        for host in there
        if (host.control_namespace is None or namespace_path(host.control_namespace).exists())
        and cloud.shared_address in links.addresses(host.control_namespace)
    ]


def ensure_file(cloud: CloudSettings, host: HostSettings) -> None:
    """Once its links are there. Raises NotFound where no network of this host has the shared address."""
    inside = host.control_namespace
    found = text(
        cloud,
        host,
        own_link=links.toward(members.own(cloud, host).address, inside),
        link=links.toward(cloud.shared_address, inside),
    )
    path = rights.keepalived_file(host)
    group = grp.getgrnam(users.group_of(cloud, host, members.KEEPALIVED)).gr_gid
    path.parent.mkdir(exist_ok=True)
    os.chown(path.parent, 0, group)
    path.parent.chmod(DIRECTORY_MODE)
    files.replace(path, found, promise=files.Promise.OLD_OR_NEW, mode=MODE, owner=(0, group))
