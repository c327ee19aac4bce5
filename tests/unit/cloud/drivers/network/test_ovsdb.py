"""With real OVSDB servers, each on an empty database of its own."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from tests.unit.cloud.drivers.network.lagging import Lagging
from tests.unit.cloud.drivers.network.network_samples import (
    INNER_A,
    OUTER,
    OUTSIDE,
    PRIVATE_SUBNET,
    PUBLIC,
    ROUTED,
    SWITCHED,
    WEB,
)

from kumoi.base import process
from kumoi.base.errors import Bug, Transient
from kumoi.cloud.drivers.network import ovsdb
from kumoi.cloud.drivers.network.fake import FakeNorthbound, FakeSwitch
from kumoi.cloud.drivers.network.interface import Northbound, Switch, Topology
from kumoi.cloud.drivers.network.ovn import northbound
from kumoi.cloud.drivers.network.ovn.apply import OvnNorthbound
from kumoi.cloud.drivers.network.ovs.apply import OvsSwitch

NORTHBOUND_SCHEMA = Path("/usr/share/ovn/ovn-nb.ovsschema")
SWITCH_SCHEMA = Path("/usr/share/openvswitch/vswitch.ovsschema")
WAIT_S = 10.0


class Server:
    """An ovsdb-server that can be killed and started again."""

    def __init__(self, folder: Path, schema: Path) -> None:
        self._file = folder / "db"
        self._folder = folder
        self._running: subprocess.Popen[bytes] | None = None
        self.socket = folder / "s"
        self.remote = f"unix:{self.socket}"
        process.run(["ovsdb-tool", "create", self._file, schema])

    def start(self) -> None:
        self._running = process.start(
            [
                "ovsdb-server",
                self._file,
                f"--remote=p{self.remote}",
                f"--unixctl={self._folder / 'c'}",
                "--no-chdir",
            ],
            log=self._folder / "log",
        )
        wait_until(self.listens)

    def listens(self) -> bool:
        """There is a socket a moment before somebody listens."""
        with socket.socket(socket.AF_UNIX) as asking:
            return asking.connect_ex(str(self.socket)) == 0

    def kill(self) -> None:
        if self._running is not None:
            self._running.kill()
            self._running.wait()
            self._running = None
            self.socket.unlink(missing_ok=True)

    def client(self, *args: str) -> str:
        return process.run(["ovsdb-client", "--timeout=5", *args]).out


def wait_until(holds: Callable[[], bool]) -> None:
    until = time.monotonic() + WAIT_S
    while not holds():
        assert time.monotonic() < until, "it does not come to hold"
        threading.Event().wait(0.01)


@pytest.fixture
def northbound_server(tmp_path: Path) -> Iterator[Server]:
    server = Server(tmp_path, NORTHBOUND_SCHEMA)
    server.start()
    try:
        yield server
    finally:
        server.kill()


@pytest.fixture
def switch_server(tmp_path: Path) -> Iterator[Server]:
    server = Server(tmp_path, SWITCH_SCHEMA)
    server.start()
    try:
        process.run(["ovs-vsctl", f"--db={server.remote}", "--no-wait", "init"])
        vsctl(server, "add-br", "br-int")
        yield server
    finally:
        server.kill()


def nbctl(server: Server, *args: str) -> str:
    return process.run(["ovn-nbctl", f"--db={server.remote}", "--timeout=5", *args]).out


def vsctl(server: Server, *args: str) -> str:
    return process.run(
        ["ovs-vsctl", f"--db={server.remote}", "--no-wait", "--timeout=5", *args]
    ).out


def test_the_first_write_is_complete_and_the_second_writes_nothing(
    northbound_server: Server,
) -> None:
    with OvnNorthbound(northbound_server.remote) as network:
        for topology in (SWITCHED, ROUTED, OUTSIDE, SWITCHED, Topology(), OUTSIDE):
            assert network.converge(topology).actions
            assert network.converge(topology).actions == ()
    with OvnNorthbound(northbound_server.remote) as another:
        assert another.converge(OUTSIDE).actions == ()


def test_what_is_not_wanted_is_gone_and_what_others_made_stays(northbound_server: Server) -> None:
    nbctl(northbound_server, "ls-add", "lab", "--", "lsp-add", "lab", "lab-port")
    with OvnNorthbound(northbound_server.remote) as network:
        network.converge(OUTSIDE)
        network.converge(Topology())
    for table in (record.TABLE for record in northbound.RECORDS):
        left = (
            nbctl(northbound_server, "--bare", "--columns=name", "list", table)
            if table
            in {
                "Logical_Switch",
                "Logical_Switch_Port",
            }
            else nbctl(northbound_server, "--bare", "list", table)
        )
        assert left.split() == {
            "Logical_Switch": ["lab"],
            "Logical_Switch_Port": ["lab-port"],
        }.get(table, [])


@pytest.mark.parametrize(
    "damage",
    [
        ("ls-del", "kumoi-net-a"),
        ("lsp-del", "web"),
        ("lr-del", "kumoi-router-1"),
        ("lrp-del", "lrp-r-x"),
        ("lr-nat-del", "kumoi-router-1"),
        ("lr-route-del", "kumoi-router-1"),
        ("pg-del", "kumoi_drop"),
        ("clear", "Port_Group", "kumoi_drop", "ports"),
        ("clear", "Port_Group", "kumoi_drop", "acls"),
        ("clear", "Logical_Switch_Port", "web", "external_ids"),
        ("clear", "Logical_Switch_Port", "web", "dhcpv4_options"),
        ("set", "Logical_Switch_Port", "web", "external_ids:kumoi\\:id=other"),
        ("set", "Logical_Switch_Port", "web", "name=other"),
        ("lsp-set-addresses", "web", "unknown"),
        ("lsp-set-port-security", "web"),
        ("lsp-del", "web", "--", "ls-add", "lab", "--", "lsp-add", "lab", "web"),
    ],
    ids=" ".join,
)
def test_damage_done_by_hand_is_repaired_in_one_round(
    northbound_server: Server, damage: tuple[str, ...]
) -> None:
    with OvnNorthbound(northbound_server.remote) as network:
        network.converge(OUTSIDE)
        nbctl(northbound_server, *damage)
        # The server tells its clients of the damage when it has answered the one that did it.
        wait_until(lambda: network.converge(OUTSIDE).actions != ())
        assert network.converge(OUTSIDE).actions == ()


def test_a_gateway_host_that_others_gave_our_port_stays(northbound_server: Server) -> None:
    theirs = ("lrp-set-gateway-chassis", "lrp-r-x", "elsewhere", "7")
    with OvnNorthbound(northbound_server.remote) as network:
        network.converge(OUTSIDE)
        nbctl(northbound_server, *theirs, "--", "lsp-del", "web")
        wait_until(lambda: network.converge(OUTSIDE).actions != ())
    assert "elsewhere" in nbctl(northbound_server, "lrp-get-gateway-chassis", "lrp-r-x")


def test_ports_are_up_when_their_host_says_so(northbound_server: Server) -> None:
    with OvnNorthbound(northbound_server.remote) as network:
        network.converge(OUTSIDE)
        assert network.observe().ports_up == frozenset()
        nbctl(northbound_server, "set", "Logical_Switch_Port", "web", "up=true")
        nbctl(northbound_server, "set", "Logical_Switch_Port", "r-a", "up=true")
        wait_until(lambda: network.observe().ports_up == {"web"})


def test_a_change_is_told(northbound_server: Server) -> None:
    changed = threading.Event()
    with OvnNorthbound(northbound_server.remote, changed=changed.set) as network:
        network.observe()
        assert changed.wait(WAIT_S)
        changed.clear()
        nbctl(northbound_server, "ls-add", "lab")
        assert changed.wait(WAIT_S)


def test_a_server_that_is_away_is_reported_in_time_and_found_again(
    northbound_server: Server,
) -> None:
    with OvnNorthbound(northbound_server.remote, timeout_s=0.3) as network:
        network.converge(SWITCHED)
        northbound_server.kill()
        began = time.monotonic()
        with pytest.raises(ovsdb.Unreachable):
            network.converge(ROUTED)
        assert time.monotonic() - began < 2
        northbound_server.start()

        def converges() -> bool:
            try:
                network.converge(ROUTED)
            except ovsdb.Unreachable:
                return False  # What it was sent may be written all the same.
            return True

        wait_until(converges)
        assert network.converge(ROUTED).actions == ()
        assert "kumoi-router-1" in nbctl(northbound_server, "lr-list")


def test_a_database_emptied_while_it_was_away_is_filled_again(
    northbound_server: Server, tmp_path: Path
) -> None:
    with OvnNorthbound(northbound_server.remote) as network:
        network.converge(OUTSIDE)
        northbound_server.kill()
        (tmp_path / "db").unlink()
        process.run(["ovsdb-tool", "create", tmp_path / "db", NORTHBOUND_SCHEMA])
        northbound_server.start()
        wait_until(lambda: network.converge(OUTSIDE).actions != ())
        assert "kumoi-net-a" in nbctl(northbound_server, "ls-list")


def test_one_connection_serves_several_threads(northbound_server: Server) -> None:
    problems: list[BaseException] = []

    def work(network: OvnNorthbound) -> None:
        try:
            for _ in range(20):
                network.converge(OUTSIDE)
                network.observe()
        except BaseException as problem:  # noqa: BLE001 - handed to the test
            problems.append(problem)

    with OvnNorthbound(northbound_server.remote) as network:
        threads = [threading.Thread(target=work, args=[network]) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert problems == []
        assert network.converge(OUTSIDE).actions == ()


def test_a_plan_of_rows_that_were_planned_anew_is_made_again(
    northbound_server: Server, tmp_path: Path
) -> None:
    nbctl(northbound_server, "init")
    way = Lagging(northbound_server.socket, tmp_path)
    with (
        contextlib.closing(way),
        OvnNorthbound(way.remote) as behind,
        OvnNorthbound(northbound_server.remote) as network,
    ):
        assert behind.observe().ports_up == frozenset()
        way.hold_back()
        network.converge(SWITCHED)
        assert behind.converge(SWITCHED).actions == ()
        assert way.asked.is_set()
        assert network.converge(SWITCHED).actions == ()


def test_what_the_database_refuses_says_why_and_changes_nothing(northbound_server: Server) -> None:
    table = "Logical_Switch"

    def twice(database: ovsdb.ReplicaTransaction) -> None:
        switch = database.insert(table)
        database.write(switch, table, "name", "lab")
        for _ in range(2):
            port = database.insert("Logical_Switch_Port")
            database.write(port, "Logical_Switch_Port", "name", "twin")
            database.add(switch, "ports", port)

    with ovsdb.Connection(
        northbound_server.remote, northbound.DATABASE, northbound.tables()
    ) as connection:
        with pytest.raises(ovsdb.OvsdbRefused, match="constraint violation"):
            connection.transact(twice)
        with connection.reading() as database:
            assert list(database.rows(table)) == []

        def fail(database: ovsdb.ReplicaTransaction) -> None:
            twice(database)
            raise LookupError

        with pytest.raises(LookupError):
            connection.transact(fail)
        with connection.reading() as database:
            assert list(database.rows(table)) == []


def test_use_after_close_is_a_bug() -> None:
    connection = ovsdb.Connection("unix:/nowhere", northbound.DATABASE, northbound.tables())
    connection.close()
    connection.close()
    with pytest.raises(Bug), connection.reading():
        pass


def test_links_are_plugged_and_unplugged(switch_server: Server) -> None:
    vsctl(switch_server, "add-port", "br-int", "patch")
    with OvsSwitch(switch_server.remote) as switch:
        assert switch.list_ports() == {}
        switch.ensure_ports({"k1": "port-1", "k2": "port-2"})
        switch.ensure_ports({"k2": "port-3"})
        assert switch.list_ports() == {"k1": "port-1", "k2": "port-3"}
        assert vsctl(switch_server, "list-ports", "br-int").split() == ["k1", "k2", "patch"]
        iface = vsctl(switch_server, "get", "Interface", "k1", "external_ids:iface-id")
        assert iface.strip().strip('"') == "port-1"
        switch.delete_ports(["k1", "patch", "gone"])
        assert switch.list_ports() == {"k2": "port-3"}
        assert vsctl(switch_server, "list-ports", "br-int").split() == ["k2", "patch"]


def test_what_ovn_notes_at_a_link_is_kept_when_it_becomes_another_port(
    switch_server: Server,
) -> None:
    with OvsSwitch(switch_server.remote) as switch:
        switch.ensure_ports({"k1": "port-1"})
        vsctl(switch_server, "set", "Interface", "k1", "external_ids:ovn-installed=true")
        switch.ensure_ports({"k1": "port-2"})
        ids = vsctl(switch_server, "get", "Interface", "k1", "external_ids")
        assert "ovn-installed" in ids
        assert "port-2" in ids


def test_a_link_is_plugged_again_only_when_the_switch_has_let_go(switch_server: Server) -> None:
    """A link replaced by another of its name is no longer plugged, and plugging it takes two steps.
    Nobody plays the switch's part here but the test.
    """
    indexes = {"k1": 5}
    with OvsSwitch(switch_server.remote, link_index=indexes.get, timeout_s=0.3) as switch:
        switch.ensure_ports({"k1": "port-1", "late": "port-2"})
        assert set(switch.list_ports()) == {"k1", "late"}
        indexes |= {"k1": 6, "late": 7}
        assert set(switch.list_ports()) == {"late"}
        with pytest.raises(Transient, match="let go"):
            switch.ensure_ports({"k1": "port-1"})
        assert vsctl(switch_server, "list-ports", "br-int").split() == ["late"]
        following = vsctl(switch_server, "get", "Open_vSwitch", ".", "next_cfg").strip()
        vsctl(switch_server, "set", "Open_vSwitch", ".", f"cur_cfg={following}")
        switch.ensure_ports({"k1": "port-1"})
        assert set(switch.list_ports()) == {"k1", "late"}
        indexes.clear()
        assert set(switch.list_ports()) == {"k1", "late"}


def test_the_index_of_a_link_made_while_it_is_plugged_is_noted(switch_server: Server) -> None:
    asked: list[str] = []

    def appearing(name: str) -> int | None:
        asked.append(name)
        return 9 if len(asked) > 3 else None

    with OvsSwitch(switch_server.remote, link_index=appearing) as switch:
        switch.ensure_ports({"k1": "port-1"})
    noted = vsctl(switch_server, "get", "Port", "k1", "external_ids:kumoi\\:link")
    assert noted.strip().strip('"') == "9"


def test_a_switch_without_its_bridge_is_waited_for(switch_server: Server) -> None:
    vsctl(switch_server, "del-br", "br-int")
    with OvsSwitch(switch_server.remote) as switch:
        with pytest.raises(Transient, match="no bridge"):
            switch.ensure_ports({"k1": "port-1"})
        vsctl(switch_server, "add-br", "br-int")

        def plugged() -> bool:
            try:
                switch.ensure_ports({"k1": "port-1"})
            except Transient:
                return False
            return True

        wait_until(plugged)


def test_the_fakes_behave_like_the_real_ones(
    northbound_server: Server,
) -> None:
    fake: Northbound = FakeNorthbound()
    with OvnNorthbound(northbound_server.remote) as real:
        for topology in (
            OUTSIDE,
            OUTSIDE,
            replace(OUTSIDE, ports=(INNER_A, OUTER)),
            replace(SWITCHED, subnets=(replace(PRIVATE_SUBNET, enable_dhcp=False),)),
            replace(OUTSIDE, networks=(PUBLIC,)),
            Topology(),
        ):
            assert fake.converge(topology) == real.converge(topology)


def test_fakes_hold_state_and_fail_when_told() -> None:
    switch = FakeSwitch()
    network = FakeNorthbound(switches=(switch,))
    network.converge(SWITCHED)
    assert network.observe().ports_up == frozenset()
    plugging: Switch = switch
    plugging.ensure_ports({"k1": WEB.id, "k2": "unknown"})
    assert network.observe().ports_up == {WEB.id}
    plugging.delete_ports(["k1", "gone"])
    assert plugging.list_ports() == {"k2": "unknown"}
    assert FakeNorthbound(topology=SWITCHED).observe().ports_up == {WEB.id}
    switch.failures.fail_next()
    network.failures.fail_next(2)
    for attempt in (plugging.list_ports, network.observe, lambda: network.converge(SWITCHED)):
        with pytest.raises(Transient):
            attempt()
    assert network.converge(SWITCHED).actions == ()
