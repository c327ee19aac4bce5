"""What is done for a server's disk and links."""

from __future__ import annotations

import pytest
from tests.unit.cloud.drivers.instance.instance_samples import PORT, PORT_ID, SERVER, agrees, but

from kumoi.base.errors import Permanent
from kumoi.cloud.drivers.instance import wire
from kumoi.cloud.drivers.instance.lxc import plan


def test_the_first_start() -> None:
    actions = [
        *plan.building(SERVER, disks=[]),
        *plan.plugging(wire.of(SERVER), links=[], plugged={}),
    ]
    agrees("first_start", "".join(f"{action}\n" for action in actions))


def test_a_rebuild_drops_the_disks_of_other_builds_when_its_own_is_there() -> None:
    actions = [str(action).partition(":")[0] for action in plan.building(but(build=2), [0, 1])]
    assert actions == [
        "make the disk of build 2",
        "drop the disk of build 0",
        "drop the disk of build 1",
    ]


def test_a_disk_of_a_later_build_gives_way_to_none_that_was_wanted_before() -> None:
    with pytest.raises(Permanent, match="of a later build"):
        plan.building(but(build=1), [2])


def test_what_is_built_and_plugged_is_left_alone() -> None:
    wires = wire.of(SERVER)
    plugged = {each.link: each.port_id for each in wires}
    assert plan.building(SERVER, [0]) == []
    assert plan.plugging(wires, links=list(plugged), plugged=plugged) == []


def test_ports_that_changed_are_unplugged_dropped_made_and_plugged() -> None:
    wires = wire.of(SERVER)
    actions = plan.plugging(
        wires, links=["kold000000000", wires[0].link], plugged={"kold000000000": "old"}
    )
    agrees("plugging", "".join(f"{action}\n" for action in actions))


def test_a_link_plugged_as_another_port_is_plugged_again() -> None:
    (one,) = wire.of(but(ports=[PORT]))
    actions = plan.plugging([one], links=[one.link], plugged={one.link: "another"})
    assert [str(action) for action in actions] == [
        f"unplug {one.link}",
        f"plug {one.link} as port {PORT_ID}",
    ]


@pytest.mark.parametrize("changes", [{"image": None}, {"disk_gib": 0}])
def test_what_cannot_be_built_is_refused(changes: dict[str, object]) -> None:
    with pytest.raises(Permanent):
        plan.building(but(**changes), [])
