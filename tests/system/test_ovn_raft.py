"""The driver of OVN's northbound database on a RAFT of three: whoever leads, what is planned is written."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace

import pytest
from tests.system.raft import MEMBERS, Raft, every, wait_until
from tests.unit.cloud.drivers.network.network_samples import OUTSIDE, WEB

from kumoi.cloud.drivers.network.interface import PortSpec, Topology
from kumoi.cloud.drivers.network.ovn.apply import OvnNorthbound

pytestmark = [pytest.mark.system, pytest.mark.timeout(170)]

PORTS = 60
UNDER_TRANSFERS_S = 20.0
ELECTED_S = 8.0  # The timer, up to a second that members take apart, and finding who leads.
REMEMBERED = 100  # Transactions that a server tells a client which comes back; else all rows.


@pytest.fixture(scope="module")
def raft(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Raft]:
    raft = Raft(tmp_path_factory.mktemp("raft"))
    try:
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
    with OvnNorthbound(raft.remotes) as another:
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


@pytest.mark.parametrize(
    "words",
    [
        ("ovsdb-server/compact",),
        ("cluster/failure-test", "transfer-leadership-after-sending-append-request"),
    ],
    ids=["compaction", "answers lost"],
)
def test_no_plan_fails_while_another_server_leads_each_second(
    raft: Raft, words: tuple[str, ...]
) -> None:
    transfers = 0

    def transfer() -> None:
        nonlocal transfers
        leader = raft.leader()
        if leader is not None:
            raft.tell(leader, *words)
            transfers += 1

    with OvnNorthbound(raft.remotes) as network:
        network.converge(OUTSIDE)
        with every(1.0, transfer):
            made, slowest = plan_for(network, UNDER_TRANSFERS_S)
        network.converge(with_ports(PORTS))
    assert is_there(raft, with_ports(PORTS))
    assert transfers >= UNDER_TRANSFERS_S / 2
    assert made > transfers
    assert slowest < ELECTED_S


def test_when_the_leader_is_killed_plans_are_written_after_an_election(raft: Raft) -> None:
    with OvnNorthbound(raft.remotes) as network:
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
    with OvnNorthbound(raft.remotes) as network:
        network.converge(with_ports(PORTS))
        leader = raft.leader()
        assert leader is not None
        with raft.frozen(leader):
            wait_until(lambda: raft.leader() not in {leader, None})
            for number in range(missed):
                raft.ask("set", "Logical_Switch_Port", "web", f"external_ids:other={number}")
            raft.ask("lsp-del", "port-1")
        wait_until(lambda: network.converge(with_ports(PORTS)).actions != ())
        assert network.converge(with_ports(PORTS)).actions == ()
    assert is_there(raft, with_ports(PORTS))
