"""The table of processes on a host that has members of OVN's databases, and what each of them may."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from tests.unit.hosts.units.test_systemd import without_digests

from kumoi import config
from kumoi.config import CloudSettings, HostSettings, first_host
from kumoi.control_host import ControlHost
from kumoi.hosts.units import rights, systemd, table
from kumoi.hosts.units.releases import Release

GOLDEN = Path(__file__).parent / "golden_members"
ALONE = CloudSettings(
    name="t1",
    public_cidr="10.0.4.0/24",
    underlay_cidr="10.0.5.0/28",
    southbound_url="ssl:10.0.5.1:6642",
)
NAMES = ("t1-host1", "t1-host2", "t1-host3")
ADDRESSES = ("10.0.5.1", "10.0.5.14", "10.0.5.13")
CLOUD = config.changed(ALONE, control_hosts=tuple(map(ControlHost, NAMES, ADDRESSES)))
FIRST = first_host(CLOUD, "/s")
SECOND = HostSettings(
    name="t1-host2", state_dir="/r", underlay_address="10.0.5.3", roles=("network", "agent")
)
FOURTH = HostSettings(name="t1-host4", state_dir="/q", roles=("agent",))
RELEASE = Release("1", Path("/s/releases/1/bin/python"))
CENTRAL = ("ovnnb-db", "ovnsb-db", "ovn-northd")
LIST = "ssl:10.0.5.1:6642,ssl:10.0.5.14:6642,ssl:10.0.5.13:6642"


def units(host: HostSettings, cloud: CloudSettings = CLOUD) -> dict[str, table.Unit]:
    found = table.all_units(cloud, host, RELEASE, only_engines=False)
    return {unit.name: unit for unit in found}


@pytest.mark.parametrize("name", CENTRAL)
def test_a_file_of_a_member_is_as_it_was_reviewed(name: str) -> None:
    every = units(SECOND)
    texts = systemd.render(CLOUD, SECOND, RELEASE, list(every.values()))
    text = without_digests(texts[systemd.service(CLOUD, SECOND, every[name])])
    golden = GOLDEN / f"{name}.txt"
    if os.environ.get("KUMOI_GOLDEN") == "write":
        golden.write_text(text)
    assert text == golden.read_text()


def test_each_host_with_a_member_listens_at_its_own_address_and_northd_asks_all() -> None:
    for host, address in ((FIRST, ADDRESSES[0]), (SECOND, ADDRESSES[1])):
        found = units(host)
        assert f"--remote=pssl:6641:{address}" in found["ovnnb-db"].argv
        assert f"--remote=pssl:6642:{address}" in found["ovnsb-db"].argv
        assert f"--ovnsb-db={LIST}" in found["ovn-northd"].argv


def test_the_northbound_database_believes_nobody_whom_the_clouds_authority_signed() -> None:
    for host in (FIRST, SECOND):
        row = rights.of_unit(CLOUD, host, "ovnnb-db")
        pki = host.pki_dir
        assert f"--ca-cert={pki / 'engines.crt'}" in units(host)["ovnnb-db"].argv
        assert not {str(pki / "ca.crt"), str(pki / "ovn-authorities.crt")} & set(row.reads)


def test_controllers_are_told_of_all_members_also_on_hosts_without_one() -> None:
    for host in (FIRST, SECOND, FOURTH):
        controller = units(host)["ovn-controller"]
        (command,) = controller.then
        assert command[-1] == f'external-ids:ovn-remote-{host.name}="{LIST}"'
        assert f"--certificate={host.pki_dir / f'{host.name}.crt'}" in controller.argv


def test_no_switch_starts_anew_when_members_come() -> None:
    was = config.changed(SECOND, roles=("agent",))
    for before, after in ((FIRST, FIRST), (was, SECOND), (FOURTH, FOURTH)):
        for name in ("ovs-db", "ovs-vswitchd"):
            assert units(before, ALONE)[name].digest == units(after)[name].digest


def test_the_worker_reads_its_certificate_and_needs_no_socket() -> None:
    certificate = {str(FIRST.pki_dir / name) for name in ("worker.key", "worker.crt")}
    assert certificate <= set(rights.of_unit(CLOUD, FIRST, "worker").reads)
    assert not certificate & set(rights.of_unit(ALONE, FIRST, "worker").reads)
    assert units(FIRST, ALONE)["ovnnb-db"].then
    assert not units(FIRST)["ovnnb-db"].then
