"""What keepalived is told of one of three control hosts."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from kumoi.config import CloudSettings, HostSettings
from kumoi.control_host import ControlHost
from kumoi.hosts.wires import keepalived, links

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
  advert_int 0.25
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


def test_who_has_the_address_is_seen_in_each_control_planes_network(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    third = replace(SECOND, name="t1-host14")
    joined = replace(SECOND, name="t1-host4")  # It has no control plane, so it has nothing to hold.
    seen = {"t1-host13-control": ["10.0.5.13", "10.0.5.12"], "t1-host14-control": ["10.0.5.14"]}
    monkeypatch.setattr(links, "addresses", seen.__getitem__)
    monkeypatch.setattr(keepalived, "namespace_path", lambda name: tmp_path / name)
    for name in seen:
        (tmp_path / name).touch()
    assert keepalived.holders(CLOUD, [SECOND, third, joined]) == ["t1-host13"]
    (tmp_path / "t1-host13-control").unlink()  # That host is down.
    assert keepalived.holders(CLOUD, [SECOND, third, joined]) == []
    assert keepalived.holders(replace(CLOUD, shared_address=""), [SECOND, third]) == []
