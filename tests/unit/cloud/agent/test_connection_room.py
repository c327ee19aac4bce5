"""Each project has its share of a switch's connections, whatever ports and routers it has there."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from kumoi.base.clock import SetClock
from kumoi.base.errors import Transient
from kumoi.cloud.agent.connection_room import LOOK_S, ConnectionRoom, plan, share, shares
from kumoi.cloud.drivers.network.ovs.connections import SwitchConnections, ZoneUse

TOGETHER, EACH = 8_000, 1_000


class CountingSwitch(SwitchConnections):
    """A switch whose zones fill up to their limits when they are told to."""

    def __init__(self) -> None:
        self.limits: dict[int, int] = dict.fromkeys(range(1, 101), EACH)
        self.counts: dict[int, int] = {}
        self.looks = 0

    def uses(self, zones: Collection[int]) -> dict[int, ZoneUse]:
        self.looks += 1
        return {zone: ZoneUse(self.limits[zone], self.counts.get(zone, 0)) for zone in zones}

    def limit(self, limits: Mapping[int, int]) -> None:
        self.limits |= limits

    def fill(self, zones: Collection[int]) -> None:
        for zone in zones:
            self.counts[zone] = max(self.counts.get(zone, 0), self.limits[zone])

    def total(self, zones: Collection[int]) -> int:
        return sum(self.counts.get(zone, 0) for zone in zones)


@dataclass
class Host:
    """Whose ports and routers a host has."""

    zones: dict[str, int] = field(default_factory=dict)
    routers: dict[str, str] = field(default_factory=dict)
    projects: dict[str, str] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    switch: CountingSwitch = field(default_factory=CountingSwitch)
    clock: SetClock = field(default_factory=SetClock)
    is_away: bool = False

    async def owners(self, ids: Sequence[str]) -> dict[str, str]:
        if self.is_away:
            raise Transient("away")
        self.asked += ids
        return {key: self.projects[key] for key in ids if key in self.projects}

    def room(self) -> ConnectionRoom:
        return ConnectionRoom(
            zones=lambda: dict(self.zones),
            routers=lambda: dict(self.routers),
            connections=self.switch,
            upstream=self,
            changed=asyncio.Event(),
            clock=self.clock,
            together=TOGETHER,
        )

    def look(self, room: ConnectionRoom) -> None:
        self.clock.advance(LOOK_S)
        asyncio.run(room.round())

    def plug(self, project: str, port: str, zone: int) -> None:
        self.zones[port] = zone
        self.projects[port] = project


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        ([0], [1_000]),
        ([0, 0], [500, 500]),
        ([500, 0], [687, 312]),
        ([687, 0], [734, 266]),
        ([250, 250], [500, 500]),
        ([400, 400], [500, 500]),
        ([1_000, 1_000], [500, 500]),
        ([2_000, 0], [750, 250]),
        ([0] * 2_000, [0] * 2_000),
    ],
)
def test_what_a_project_has_is_never_more_than_its_share(
    counts: list[int], expected: list[int]
) -> None:
    found = shares(1_000, dict(enumerate(counts)))
    assert list(found.values()) == expected
    assert sum(found.values()) <= 1_000


@pytest.mark.parametrize(("projects", "most"), [(0, 250), (1, 250), (8, 250), (20, 100), (80, 25)])
def test_shares_fit_the_table(projects: int, most: int) -> None:
    assert share(2_000_000, projects) == most * 1_000
    assert share(2_000_000, 1_000) == 25_000


def test_ports_that_fill_all_they_may_again_and_again_have_no_more_than_their_project() -> None:
    """Each had its limit, and eight of them together all that a host's switch remembers."""
    host = Host()
    room = host.room()
    host.plug("neighbour", "n", 50)
    for zone in range(1, 11):
        host.plug("greedy", f"p{zone}", zone)
    for turn in range(1, 20):
        host.look(room)
        host.switch.fill(range(1, 1 + turn % 10))
        assert host.switch.total(range(1, 11)) <= TOGETHER // 8
    assert host.switch.limits[50] == EACH


def test_a_port_alone_takes_most_of_its_projects_share_and_leaves_its_siblings_some() -> None:
    host = Host()
    room = host.room()
    for zone in range(1, 11):
        host.plug("own", f"p{zone}", zone)
    for _ in range(6):
        host.look(room)
        host.switch.fill([1])
    assert host.switch.counts[1] > EACH // 2
    assert min(host.switch.limits.values()) >= EACH // 2 // 10


def test_routers_are_their_projects_as_well_and_networks_have_no_zone() -> None:
    host = Host(routers={"dp-r": "r"}, projects={"r": "one"})
    host.plug("one", "p", 1)
    host.zones |= {"dp-r_snat": 2, "dp-r_dnat": 3, "dp-net_snat": 4, "dp-net_dnat": 5}
    host.zones |= {"localnet-x": 6, "cr-lrp-y": 7}
    host.look(host.room())
    limits = [host.switch.limits[zone] for zone in range(1, 8)]
    assert limits == [333, 333, 333, EACH, EACH, EACH, EACH]
    assert sorted(host.asked) == ["p", "r"]


def test_what_nobody_knows_has_a_share_of_its_own() -> None:
    host = Host(zones={"a": 1, "every-b": 2, "b": 3}, projects={"b": "one"})
    host.look(host.room())
    assert [host.switch.limits[zone] for zone in (1, 2, 3)] == [EACH, EACH // 2, EACH // 2]


def test_a_switch_that_began_anew_is_told_again_and_so_is_a_new_agent() -> None:
    host = Host()
    room = host.room()
    for zone in (1, 2):
        host.plug("own", f"p{zone}", zone)
    host.look(room)
    host.switch.limits = dict.fromkeys(host.switch.limits, EACH)
    host.look(room)
    assert (host.switch.limits[1], host.switch.limits[2]) == (500, 500)
    host.switch.limits = dict.fromkeys(host.switch.limits, EACH)
    host.look(host.room())
    assert (host.switch.limits[1], host.switch.limits[2]) == (500, 500)


def test_a_port_that_came_has_its_limit_at_once_and_else_nobody_is_asked() -> None:
    host = Host()
    room = host.room()
    host.plug("own", "p1", 1)
    host.look(room)
    looks = host.switch.looks
    asyncio.run(room.round())
    assert host.switch.looks == looks
    host.plug("own", "p2", 2)
    asyncio.run(room.round())
    assert (host.switch.limits[1], host.switch.limits[2]) == (500, 500)
    assert host.asked == ["p1", "p2"]


def test_while_the_control_plane_is_away_limits_stay() -> None:
    host = Host()
    room = host.room()
    host.plug("own", "p1", 1)
    host.look(room)
    host.plug("own", "p2", 2)
    host.is_away = True
    with pytest.raises(Transient):
        host.look(room)
    assert host.switch.limits[1] == EACH
    host.is_away = False
    host.look(room)
    assert host.switch.limits[1] == 500


def test_limits_with_much_room_left_are_not_changed_for_little() -> None:
    owners = dict.fromkeys((1, 2), "own")
    uses = {1: ZoneUse(500, 30), 2: ZoneUse(500, 330)}
    assert plan(owners, uses, together=TOGETHER) == {}
    assert plan(owners, uses | {2: ZoneUse(500, 495)}, together=TOGETHER) != {}


@pytest.fixture
def control(tmp_path: Path) -> Iterator[Path]:
    """A socket whose other end answers in pieces, as a switch does."""
    path = tmp_path / "ctl"
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(str(path))
    listening.listen()

    def answer() -> None:
        while True:
            try:
                line, _ = listening.accept()
            except OSError:
                return
            with line:
                asked = json.loads(line.recv(65_536))
                words = f"{asked['method']} {asked['params']}"
                result = "default limit=0\nzone=1,limit=20,count=3\n"
                said = {"id": 0, "result": result, "error": None}
                if "set" in words:
                    said = {"id": 0, "result": None, "error": "no such {zone}"}
                text = json.dumps(said).encode()
                line.sendall(text[:7])
                line.sendall(text[7:])

    thread = threading.Thread(target=answer, daemon=True)
    thread.start()
    yield path
    listening.shutdown(socket.SHUT_RDWR)
    listening.close()
    thread.join()


def test_the_switch_is_asked_by_its_control_socket(control: Path) -> None:
    connections = SwitchConnections(control)
    assert connections.uses([1]) == {1: ZoneUse(20, 3)}
    assert connections.uses([]) == {}
    connections.limit({})
    with pytest.raises(Transient, match="refused ct-set-limits: no such"):
        connections.limit({1: 5})


def test_a_switch_that_is_away_is_asked_again_later(tmp_path: Path) -> None:
    with pytest.raises(Transient):
        SwitchConnections(tmp_path / "none").uses([1])
