"""The table of processes: what it says for one set of settings."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from kumoi import config, members
from kumoi.base.errors import Invalid
from kumoi.config import CloudSettings, HostSettings, first_host
from kumoi.control_host import ControlHost
from kumoi.hosts.units import rights, table
from kumoi.hosts.units.confinement import Confinement
from kumoi.hosts.units.releases import Release

CLOUD = CloudSettings(name="t1", public_cidr="10.0.4.0/24", underlay_cidr="10.0.5.0/28")
HOST = first_host(CLOUD, "/s")
REPLICATED = config.changed(
    CLOUD,
    control_hosts=tuple(ControlHost(f"t1-host{n}", f"10.0.5.{n}") for n in (1, 2, 3)),
)
RELEASE = Release("1", Path("/s/releases/1/bin/python"))


def by_name(cloud: CloudSettings = CLOUD, host: HostSettings = HOST) -> dict[str, table.Unit]:
    found = table.all_units(cloud, host, RELEASE, only_engines=False)
    return {unit.name: unit for unit in found}


def row_of(unit: str) -> Confinement:
    return rights.of_unit(CLOUD, HOST, unit)


def test_only_the_switch_its_controller_and_the_agent_live_in_the_hosts_namespace() -> None:
    inside = {name for name, unit in by_name().items() if unit.namespace == "t1-host1"}
    assert inside == {"ovs-db", "ovs-vswitchd", "ovn-controller", "agent"}


def test_a_control_plane_beside_the_first_has_a_namespace_of_its_own() -> None:
    other = replace(HOST, name="t1-host2", roles=(), shares_machine=True)
    for host, inside in ((HOST, None), (other, "t1-host2-control")):
        units = by_name(REPLICATED, host)
        assert [units[name].namespace for name in (members.ETCD, members.PATRONI)] == [inside] * 2


def test_what_lives_in_a_namespace_is_told_so_by_its_file() -> None:
    namespaces = {
        name: json.loads(unit.command[4])["namespace"] for name, unit in by_name().items()
    }
    inside = {name for name, namespace in namespaces.items() if namespace}
    assert inside == {"ovs-db", "ovs-vswitchd", "ovn-controller", "agent"}
    assert namespaces["agent"] == "/run/netns/t1-host1"


def test_the_central_databases_listen_on_files_only() -> None:
    for name in ("ovnnb-db", "ovnsb-db", "ovs-db"):
        remotes = [word for word in by_name()[name].argv if word.startswith("--remote=")]
        assert [remote.split(":")[0] for remote in remotes] == ["--remote=punix"]


def test_every_need_names_a_unit_that_stands_before() -> None:
    seen: set[str] = set()
    for name, unit in by_name().items():
        assert seen.issuperset(unit.needs), name
        seen.add(name)


def test_the_switch_is_told_all_that_ovn_needs_after_each_start() -> None:
    told = [" ".join(command) for command in by_name()["ovs-vswitchd"].then]
    *commands, quiet, limits, most, row, cannot = told[:-6]
    assert quiet.endswith("ovs-vswitchd.ctl vlog/set conntrack:console:warn")
    assert "dpctl/ct-set-limits $(seq -f zone=%.0f,limit=250000 1 8192)" in limits
    assert most.endswith("dpctl/ct-set-maxconns 2000000")
    assert "create datapath" in row
    assert cannot.endswith(" capabilities:ct_zero_snat=false")
    assert commands == [
        "ovs-vsctl --db=unix:/s/run/ovs-db/db.sock --no-wait --timeout=10 init",
        (
            "ovs-vsctl --db=unix:/s/run/ovs-db/db.sock --timeout=10"
            " -- set open . external-ids:system-id=t1-host1 external-ids:hostname=t1-host1"
            ' external-ids:ovn-remote="unix:/s/run/ovnsb-db/db.sock" external-ids:ovn-encap-type=geneve'
            " external-ids:ovn-encap-ip=10.0.5.2 external-ids:ovn-bridge-datapath-type=netdev"
            " external-ids:ovn-bridge-mappings=physnet1:br-ex"
            " external-ids:ovn-ofctrl-wait-before-clear=3000"
            " -- --may-exist add-br br-phy -- set bridge br-phy datapath_type=netdev"
            " -- --may-exist add-port br-phy eth0"
            " -- --may-exist add-br br-ex -- set bridge br-ex datapath_type=netdev"
            " -- --may-exist add-port br-ex eth1"
        ),
        "ip -n t1-host1 address replace 10.0.5.2/28 dev br-phy",
        "ip -n t1-host1 link set dev br-phy up",
    ]


def test_a_second_link_knows_the_hosts_tunnel_address_and_no_route_of_the_kernels() -> None:
    add, same, address, none, own, others = [
        " ".join(command) for command in by_name()["ovs-vswitchd"].then[-6:]
    ]
    assert add.endswith("|| ip -n t1-host1 link add br-phy-twin type bridge")
    assert same.endswith('ip -n t1-host1 link set br-phy-twin address "$3"')
    assert address == "ip -n t1-host1 address replace 10.0.5.2/32 dev br-phy-twin"
    assert none == "ip -n t1-host1 route flush table local dev br-phy-twin"
    assert own.endswith(" ovs/route/add 10.0.5.2/32 br-phy-twin")
    assert others.endswith(" ovs/route/add 10.0.5.0/28 br-phy")


def test_a_switch_without_an_edge_is_told_of_no_external_network() -> None:
    told = str(by_name(host=replace(HOST, has_edge=False))["ovs-vswitchd"].then)
    assert "br-phy" in told
    assert "br-ex" not in told


def test_a_role_is_started_anew_for_another_version_and_an_engine_is_not() -> None:
    one = table.roles(CLOUD, HOST, RELEASE, version="1")
    other = table.roles(CLOUD, HOST, RELEASE, version="2")
    assert all(a.digest != b.digest for a, b in zip(one, other, strict=True))
    again = config.changed(CLOUD, run_deadline_s=7)
    assert table.engines(CLOUD, HOST) == table.engines(again, HOST)


def test_two_clouds_share_no_path_port_or_namespace() -> None:
    other = CloudSettings(name="t2", public_cidr="10.1.4.0/24", underlay_cidr="10.1.5.0/28")
    for name, unit in by_name().items():
        twin = by_name(other, first_host(other, "/o"))[name]
        assert unit.namespace is None or unit.namespace != twin.namespace
        assert not unit.listens or unit.listens != twin.listens


def test_a_host_of_one_role_has_what_that_role_needs_and_waits_for_nobody_else() -> None:
    far = config.changed(CLOUD, southbound_url="ssl:10.0.5.1:6642")
    host = HostSettings(
        name="rack7", state_dir="/r", underlay_address="10.0.5.9", roles=("agent", "of-tomorrow")
    )
    units = by_name(far, host)
    assert list(units) == ["ovs-db", "ovs-vswitchd", "ovn-controller", "agent"]
    for unit in units.values():
        assert unit.namespace == "rack7"
        assert set(unit.needs) < set(units)
    command = " ".join(units["ovs-vswitchd"].then[1])
    assert "external-ids:system-id=rack7 " in command
    assert 'external-ids:ovn-remote="ssl:10.0.5.1:6642"' in command
    assert "--certificate=/r/pki/rack7.crt" in units["ovn-controller"].argv
    assert "--remote=pssl:6642:10.0.5.1" in by_name(far)["ovnsb-db"].argv


def test_a_host_that_cannot_reach_ovn_is_refused() -> None:
    with pytest.raises(Invalid, match="set southbound_url"):
        by_name(host=HostSettings(roles=("agent",)))


def test_roles_stop_first_and_an_engine_when_nothing_needs_it_any_more() -> None:
    order = table.stop_order(list(by_name().values()))
    assert order[0] == {"inspector", "api", "worker", "agent", "repositories", "pipeline"}
    gone: set[str] = set()
    for names in order:
        gone |= names
        for unit in by_name().values():
            assert unit.name in gone or not gone & set(unit.needs), unit.name
    assert gone == set(by_name())


def test_each_unit_but_the_agent_is_a_user_of_its_own() -> None:
    confined = {name: unit.confined for name, unit in by_name().items() if unit.confined}
    assert list(confined) == list(by_name())
    users = {name: row.user for name, row in confined.items()}
    assert users.pop("agent") == "root"
    assert users == {name: f"t1-{name}" for name in users}
    assert [name for name, row in confined.items() if not row.is_bounded] == ["agent"]


def test_the_pipeline_starts_no_program_and_reaches_no_repository() -> None:
    pipeline, repositories = row_of("pipeline"), row_of("repositories")
    assert not pipeline.starts_programs
    assert not {*pipeline.writes, *pipeline.reads} & {*repositories.writes, *repositories.reads}
    assert repositories.families == ("unix",)


def test_the_api_and_the_worker_share_their_group_and_the_pipeline_shares_nothing() -> None:
    api, worker, pipeline = (row_of(name) for name in ("api", "worker", "pipeline"))
    assert api.group == worker.group == "t1-control"
    assert pipeline.group == "t1-pipeline"
    assert not set(pipeline.writes) & {*api.writes, *worker.writes}
    assert not set(pipeline.reads) & set(worker.reads)


def test_only_the_switch_has_capabilities_and_only_for_its_network() -> None:
    with_some = {name: row_of(name).capabilities for name in by_name() if row_of(name).capabilities}
    assert with_some == {"ovs-vswitchd": ("CAP_NET_ADMIN", "CAP_NET_RAW")}


def test_a_unit_is_in_the_groups_of_those_whose_sockets_it_connects_to() -> None:
    groups = {name: row_of(name).groups for name in by_name() if row_of(name).groups}
    assert groups == {
        "ovnnb-db": ("t1-ovn",),
        "ovnsb-db": ("t1-ovn",),
        "ovn-northd": ("t1-ovnnb-db", "t1-ovnsb-db"),
        "api": ("t1-inspector",),
        "pipeline": ("t1-repositories",),
        "ovs-vswitchd": ("t1-ovs-db",),
        "ovn-controller": ("t1-ovs-db", "t1-ovs-vswitchd", "t1-ovnsb-db"),
    }


def test_hosts_of_a_cloud_on_one_machine_have_users_of_their_own() -> None:
    long = "A.host-with.a-long-name"
    for name, prefix in (("rack7", "rack7"), (long, "t1-526ab4c")):
        host = HostSettings(name=name, state_dir="/r")
        assert rights.of_unit(CLOUD, host, "ovs-db").user == f"{prefix}-ovs-db"
        assert rights.of_unit(CLOUD, host, "worker").user == f"{prefix}-worker"


def test_a_confined_unit_is_started_by_the_launcher_of_its_own_release() -> None:
    for unit in by_name().values():
        python, *words = unit.command[:4]
        assert python == "/s/releases/1/bin/python", unit.name
        assert words == ["-I", "-m", "kumoi.hosts.units.launch"]
    command = by_name()["api"].command
    assert command[5:] == by_name()["api"].argv
    assert command[-1] == "/s/settings/api"
