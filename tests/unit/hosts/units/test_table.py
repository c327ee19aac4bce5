"""The table of processes: what it says for one set of settings."""

from __future__ import annotations

from pathlib import Path

import pytest

from kumoi import config
from kumoi.base.errors import Invalid
from kumoi.config import CloudSettings, HostSettings, first_host
from kumoi.hosts.units import table
from kumoi.hosts.units.releases import Release

CLOUD = CloudSettings(name="t1", public_cidr="10.0.4.0/24", underlay_cidr="10.0.5.0/28")
HOST = first_host(CLOUD, "/s")
RELEASE = Release("1", Path("/s/releases/1/bin/python"))


def by_name(cloud: CloudSettings = CLOUD, host: HostSettings = HOST) -> dict[str, table.Unit]:
    found = table.all_units(cloud, host, RELEASE, only_engines=False)
    return {unit.name: unit for unit in found}


def test_only_the_switch_its_controller_and_the_agent_live_in_the_hosts_namespace() -> None:
    inside = {name for name, unit in by_name().items() if unit.namespace == "t1-host1"}
    assert inside == {"ovs-db", "ovs-vswitchd", "ovn-controller", "agent"}


def test_entering_a_namespace_keeps_the_mounts() -> None:
    agent = by_name()["agent"]
    assert agent.command[:3] == ("nsenter", "--net=/run/netns/t1-host1", "--")
    assert agent.command[3:] == agent.argv


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
    assert told == [
        "ovs-vsctl --db=unix:/s/run/ovs/db.sock --no-wait --timeout=10 init",
        (
            "ovs-vsctl --db=unix:/s/run/ovs/db.sock --timeout=10"
            " -- set open . external-ids:system-id=t1-host1 external-ids:hostname=t1-host1"
            ' external-ids:ovn-remote="unix:/s/run/ovnsb_db.sock" external-ids:ovn-encap-type=geneve'
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
    told = " ".join(units["ovs-vswitchd"].then[1])
    assert "external-ids:system-id=rack7 " in told
    assert 'external-ids:ovn-remote="ssl:10.0.5.1:6642"' in told
    assert "--certificate=/r/pki/rack7.crt" in units["ovn-controller"].argv
    assert "--remote=pssl:6642:10.0.5.1" in by_name(far)["ovnsb-db"].argv


def test_a_host_that_cannot_reach_ovn_is_refused() -> None:
    with pytest.raises(Invalid, match="set southbound_url"):
        by_name(host=HostSettings(roles=("agent",)))


def test_roles_stop_first_and_an_engine_when_nothing_needs_it_any_more() -> None:
    order = table.stop_order(list(by_name().values()))
    assert order[0] == {"api", "worker", "agent", "pipeline"}
    gone: set[str] = set()
    for names in order:
        gone |= names
        for unit in by_name().values():
            assert unit.name in gone or not gone & set(unit.needs), unit.name
    assert gone == set(by_name())


def test_roles_but_the_agent_are_users_and_the_pipeline_shares_nothing() -> None:
    units = by_name()
    assert {name for name, unit in units.items() if unit.confined} == {"api", "worker", "pipeline"}
    api, worker, pipeline = (units[name].confined for name in ("api", "worker", "pipeline"))
    assert api is not None
    assert worker is not None
    assert pipeline is not None
    assert (api.user, worker.user, pipeline.user) == ("t1-api", "t1-worker", "t1-pipeline")
    assert api.group == worker.group == "t1-control"
    assert pipeline.group == "t1-pipeline"
    assert not set(pipeline.writes) & {*api.writes, *worker.writes}
    assert not set(pipeline.reads) & set(worker.reads)


def test_a_confined_unit_is_started_by_the_launcher_of_its_own_release() -> None:
    command = by_name()["api"].command
    assert command[:4] == ("/s/releases/1/bin/python", "-I", "-m", "kumoi.hosts.units.launch")
    assert command[5:] == by_name()["api"].argv
    assert command[-1] == "/s/settings/api"
