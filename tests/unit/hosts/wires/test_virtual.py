from __future__ import annotations

from dataclasses import replace

from kumoi.config import CloudSettings, first_host
from kumoi.hosts.wires import virtual

LINK_NAME_MAX = 15


def test_hosts_of_one_cloud_share_no_link_and_any_name_will_do() -> None:
    cloud = CloudSettings(name="eightchr", underlay_cidr="10.2.0.0/16")
    first = first_host(cloud, "/s")
    other = replace(first, name="a.name.longer.than.a.link.may.have", underlay_address="10.2.255.9")
    names = [
        (veth.namespace, veth.name)
        for host in (first, other)
        for veth in virtual.veths(cloud, host)
    ]
    control = [virtual.control_veth(cloud, host) for host in (first, other)]
    names += [(veth.namespace, veth.name) for veth in control]
    assert len(names) == len(set(names)) == 6
    assert len({veth.inner_namespace for veth in control}) == 2
    assert all(len(name) <= LINK_NAME_MAX for _, name in names)


def test_a_host_on_another_machine_has_a_link_to_the_underlay_alone() -> None:
    cloud = CloudSettings(name="t1", underlay_cidr="10.2.0.0/28")
    other = replace(first_host(cloud, "/s"), has_edge=False, underlay_interface="eth1")
    assert [veth.inner for veth in virtual.veths(cloud, other)] == ["eth0"]
