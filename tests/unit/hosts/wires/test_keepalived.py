"""What keepalived is told of one of three control hosts."""

from __future__ import annotations

from kumoi.config import CloudSettings, HostSettings
from kumoi.control_host import ControlHost
from kumoi.hosts.wires import keepalived

LISTED = tuple(ControlHost(f"t1-host{n}", f"10.0.5.{n}") for n in (1, 13, 14))
CLOUD = CloudSettings(
    name="t1", underlay_cidr="10.0.5.0/28", control_hosts=LISTED, shared_address="10.0.5.12"
)
SECOND = HostSettings(name="t1-host13", state_dir="/s-2", shares_machine=True)
TEXT = """\
global_defs {
  router_id t1-host13
  vrrp_version 3
  vrrp_garp_master_refresh 2
}
track_file health {
  file /s-2/run/health/health
  weight 1
}
vrrp_instance clients {
  state BACKUP
  interface control
  virtual_router_id 53
  priority 100
  advert_int 1
  unicast_src_ip 10.0.5.13
  unicast_peer {
    10.0.5.1
    10.0.5.14
  }
  virtual_ipaddress {
    10.0.5.12/32 dev eth0
  }
  track_file {
    health
  }
}
"""


def test_members_speak_by_their_own_addresses_and_the_shared_one_is_where_clients_are() -> None:
    assert keepalived.text(CLOUD, SECOND, own_link="control", link="eth0") == TEXT
