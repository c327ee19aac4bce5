"""Where members are, of which each follows from the list of control hosts."""

from __future__ import annotations

from pathlib import Path

from kumoi import config, members
from kumoi.config import CloudSettings, HostSettings
from kumoi.control_host import ControlHost

NAMES = ("t1-host1", "t1-host2", "t1-host3")
CLOUD = CloudSettings(
    name="t1",
    underlay_cidr="10.0.5.0/28",
    control_hosts=tuple(map(ControlHost, NAMES, ("10.0.5.1", "10.0.5.14", "10.0.5.13"))),
)
HOST = HostSettings(name="t1-host2", state_dir="/r")


def test_the_worker_asks_all_members_and_shows_its_certificate() -> None:
    remote, certificate = members.northbound(CLOUD, HOST)
    assert remote == "ssl:10.0.5.1:6641,ssl:10.0.5.14:6641,ssl:10.0.5.13:6641"
    pki = Path("/r/pki")
    assert certificate == (pki / "worker.key", pki / "worker.crt", pki / "engines.crt")


def test_where_the_databases_are_alone_a_socket_does() -> None:
    alone = config.changed(CLOUD, control_hosts=())
    assert members.northbound(alone, HOST) == ("unix:/r/run/ovnnb-db/db.sock", None)


def test_an_agent_asks_as_its_hosts_controller_does() -> None:
    remote, certificate = members.southbound(CLOUD, HOST)
    assert remote == "ssl:10.0.5.1:6642,ssl:10.0.5.14:6642,ssl:10.0.5.13:6642"
    pki = Path("/r/pki")
    mine = (pki / "t1-host2.key", pki / "t1-host2.crt", pki / "ca.crt")
    assert certificate == mine
    alone = config.changed(CLOUD, control_hosts=())
    assert members.southbound(alone, HOST) == ("unix:/r/run/ovnsb-db/db.sock", None)
    opened = config.changed(alone, southbound_url="ssl:10.0.5.1:6642")
    other = config.changed(HOST, roles=("agent",))
    assert members.southbound(opened, other) == ("ssl:10.0.5.1:6642", mine)


def test_a_control_host_of_a_cloud_without_networks_has_no_member() -> None:
    assert members.has_ovn_member(CLOUD, HOST)
    assert not members.has_ovn_member(CLOUD, config.changed(HOST, roles=("api",)))
    assert not members.has_ovn_member(CLOUD, config.changed(HOST, name="t1-host4"))
