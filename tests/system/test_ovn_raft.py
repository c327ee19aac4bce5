"""The driver of OVN's northbound database on a RAFT of three: whoever leads, what is planned is written."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from tests.system.raft import MEMBERS, Raft, every, wait_until
from tests.unit.cloud.drivers.network.network_samples import OUTSIDE, WEB

from kumoi.base.errors import Conflict
from kumoi.cloud.drivers.network.interface import PortSpec, Topology
from kumoi.cloud.drivers.network.ovn.apply import OvnNorthbound
from kumoi.hosts.units import database_file
from kumoi.hosts.units.database_file import RaftMember

pytestmark = [pytest.mark.system, pytest.mark.timeout(170)]

PORTS = 60
UNDER_TRANSFERS_S = 20.0
ELECTED_S = (
    13.0  # Two elections: in one of 25, both that are left ask for votes at once, and none leads.
)
SWITCHED_S = 3.0
GO_BEFORE_ANSWERING = "transfer-leadership-after-sending-append-request"
REMEMBERED = 100  # Transactions that a server tells a client which comes back; else all rows.


@pytest.fixture(scope="module")
def raft(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Raft]:
    raft = Raft(tmp_path_factory.mktemp("raft"))
    try:
        raft.grow()
        yield raft
    finally:
        raft.stop()


def port(number: int) -> PortSpec:
    name = f"port-{number}"
    return replace(WEB, id=name, name=name, mac=f"02:00:00:00:00:{number:02x}")


def with_ports(count: int) -> Topology:
    return replace(OUTSIDE, ports=(*OUTSIDE.ports, *map(port, range(count))))


def is_there(raft: Raft, wanted: Topology) -> bool:
    """Once, and nothing else, as another connection finds it."""
    with OvnNorthbound(raft.remotes, timeout_s=ELECTED_S) as another:
        return another.converge(wanted).actions == ()


def plan_for(network: OvnNorthbound, seconds: float) -> tuple[int, float]:
    """Ports are made one by one, and go together. How many plans were written, and the slowest."""
    made, slowest, until = 0, 0.0, time.monotonic() + seconds
    while time.monotonic() < until:
        began = time.monotonic()
        network.converge(with_ports(made % PORTS))
        slowest = max(slowest, time.monotonic() - began)
        made += 1
    return made, slowest


def slowest_while(raft: Raft, changes_leader: Callable[[], None]) -> float:
    """Of plans, none of which fails while another server leads each second. What OVN has is then what was planned."""
    with OvnNorthbound(raft.remotes, timeout_s=ELECTED_S) as network:
        network.converge(OUTSIDE)
        before = raft.term()
        with every(1.0, changes_leader):
            made, slowest = plan_for(network, UNDER_TRANSFERS_S)
        transfers = raft.term() - before
        network.converge(with_ports(PORTS))
    assert is_there(raft, with_ports(PORTS))
    assert UNDER_TRANSFERS_S / 2 < transfers < made
    return slowest


def test_no_plan_fails_while_another_server_leads_each_second(raft: Raft) -> None:
    assert slowest_while(raft, raft.transfer) < SWITCHED_S


def test_no_plan_fails_while_leaders_go_before_they_answer(raft: Raft) -> None:
    """What they were sent is written, or is not."""

    def go() -> None:
        leader = raft.leader()
        if leader is not None:
            raft.tell(leader, "cluster/failure-test", GO_BEFORE_ANSWERING)

    assert slowest_while(raft, go) < ELECTED_S


def test_when_the_leader_is_killed_plans_are_written_after_an_election(raft: Raft) -> None:
    with OvnNorthbound(raft.remotes, timeout_s=ELECTED_S) as network:
        network.converge(OUTSIDE)
        killed = raft.leader()
        assert killed is not None
        raft.kill(killed)
        try:
            began = time.monotonic()
            assert network.converge(with_ports(PORTS)).actions
            took = time.monotonic() - began
            assert is_there(raft, with_ports(PORTS))
        finally:
            raft.start(killed)
        assert took < ELECTED_S
    wait_until(lambda: all("cluster member" in raft.status(one) for one in MEMBERS))


@pytest.mark.parametrize("missed", [1, REMEMBERED + 20])
def test_what_was_written_while_a_connection_was_away_is_known_when_it_is_back(
    raft: Raft, missed: int
) -> None:
    with OvnNorthbound(raft.remotes, timeout_s=ELECTED_S) as network:
        network.converge(with_ports(PORTS))
        leader = raft.leader()
        assert leader is not None
        with raft.frozen(leader):
            wait_until(lambda: raft.leader() is not None)
            remotes = ",".join(map(raft.remote, raft.members))
            with OvnNorthbound(remotes, timeout_s=ELECTED_S) as another:
                for number in range(missed):
                    assert another.converge(with_ports(number % PORTS)).actions

        def knows() -> bool:
            """For a moment the one that was frozen takes itself for the leader."""
            network.converge(with_ports(PORTS))
            return is_there(raft, with_ports(PORTS))

        wait_until(knows)
        assert network.converge(with_ports(PORTS)).actions == ()


def test_a_database_alone_becomes_a_clusters_and_one_alone_again(tmp_path: Path) -> None:
    raft = Raft(tmp_path)
    listed = ("--format=csv", "--columns=_uuid,name", "list", "Logical_Switch_Port")
    try:
        raft.start_alone()
        with OvnNorthbound(raft.remotes, timeout_s=ELECTED_S) as network:
            network.converge(with_ports(PORTS))
            before = raft.ask(*listed)
            raft.kill(1)
            raft.grow()
            assert raft.ask(*listed) == before
            assert network.converge(with_ports(PORTS)).actions == ()
            assert network.converge(OUTSIDE).actions
            after = raft.ask(*listed)
            raft.shrink()
            raft.start_alone()
            assert raft.ask(*listed) == after
            assert network.converge(OUTSIDE).actions == ()
            assert network.converge(with_ports(1)).actions
    finally:
        raft.stop()


def test_a_member_whose_address_is_another_one_is_refused(tmp_path: Path) -> None:
    path, schema = tmp_path / "db", Path("/usr/share/ovn/ovn-nb.ovsschema")
    member = RaftMember("tcp:127.0.0.1:6643", ("tcp:127.0.0.2:6643",))
    database_file.ensure(path, schema, member)
    content = path.read_bytes()
    database_file.ensure(path, schema, member)
    assert not database_file.is_to_change(path, member)
    moved = replace(member, address="tcp:127.0.0.3:6643")
    with pytest.raises(Conflict, match=r"of a member at tcp:127\.0\.0\.1:6643"):
        database_file.ensure(path, schema, moved)
    assert path.read_bytes() == content
    assert database_file.is_to_change(path, None)
