"""The first host and three other machines go to another release and back: over real TLS, with a real store. What starts
processes is played.
"""

from __future__ import annotations

import argparse
from contextlib import closing
from pathlib import Path

import pytest
from tests.unit.cli.upgrade_world import (
    BEFORE,
    FIRST,
    NAMES,
    TARGET,
    World,
    add_oldest,
    make_world,
    quiet,
)

import kumoi
from kumoi import config
from kumoi.base.errors import Conflict, NotFound, Permanent
from kumoi.base.release import version_of
from kumoi.cli import choice, upgrade, upgrade_machines, upgrade_part, upgrading
from kumoi.cloud.domain.host import cluster_version
from kumoi.hosts.cluster.upgrade_orders import UpgradeAction


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    return make_world(tmp_path, monkeypatch)


def test_each_machine_has_its_turn_and_control_hosts_come_first(world: World) -> None:
    """Of them who leads the stores last."""
    world.follow(UpgradeAction.RUN)
    left = world.run()
    world.join()
    assert world.failures == {}
    turns = ["t1-host2", "t1-host3", f"hand over {FIRST}", FIRST, "t1-host4"]
    assert world.done == ["stores", *turns]
    assert set(world.runs.values()) == {TARGET}
    assert left.elsewhere == []


def test_nothing_is_changed_while_a_machine_that_is_up_is_not_there(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upgrade_machines, "COME_WITHIN_S", 0.5)
    world.follow(UpgradeAction.RUN, NAMES[:2])
    with pytest.raises(Permanent, match="t1-host4 not there after"):
        world.run()
    monkeypatch.setattr(upgrade_part, "WAIT_S", 0.0)
    world.join()
    assert world.done == []
    assert "there sudo ./kumoi upgrade run, then this again" in str(world.failures[NAMES[0]])


def test_one_that_is_off_is_waited_for_by_nobody_and_named(world: World) -> None:
    world.fall_silent("t1-host4")
    world.follow(UpgradeAction.RUN, NAMES[:2])
    left = world.run()
    world.join()
    assert [host.name for host in left.elsewhere] == ["t1-host4"]
    assert world.runs["t1-host4"] == BEFORE


def test_a_control_host_that_is_off_blocks_nothing_and_goes_there_when_it_is_back(
    world: World,
) -> None:
    world.fall_silent("t1-host3")
    (notice,) = upgrading.plan(world.cloud, world.first).notices
    assert "t1-host3 is off: until it is back, writes wait" in notice
    world.follow(UpgradeAction.RUN, [NAMES[0], NAMES[2]])
    left = world.run()
    world.join()
    assert [host.name for host in left.elsewhere] == ["t1-host3"]
    assert world.runs == {FIRST: TARGET, NAMES[0]: TARGET, NAMES[1]: BEFORE, NAMES[2]: TARGET}

    world.say_hello("t1-host3")
    world.done.clear()
    world.follow(UpgradeAction.RUN)
    left = world.run()
    world.join()
    assert left.elsewhere == []
    assert world.done == ["stores", "t1-host3"]
    assert world.failures == {}


def test_a_control_host_that_is_not_heard_of_and_whose_members_answer_is_a_doubt(
    world: World,
) -> None:
    """It is not off: its API and worker may run, and nobody sees of which release."""
    world.fall_silent("t1-host3")
    world.members.add("t1-host3")
    with pytest.raises(Conflict, match=r"t1-host3 is not heard of since .* members .* answer"):
        world.run()
    assert world.done == []


def test_most_control_hosts_off_stop_it(world: World) -> None:
    world.fall_silent("t1-host2")
    world.fall_silent("t1-host3")
    with pytest.raises(Conflict, match="t1-host2 and t1-host3 are off, most of the control hosts"):
        world.run()
    assert world.done == []


def test_one_that_falls_silent_while_the_others_come_is_waited_for_no_longer(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its power went just before: it counted as up."""
    monkeypatch.setattr(upgrade_machines, "LOOK_EVERY_S", 0.05)
    world.follow(UpgradeAction.RUN, [NAMES[0], NAMES[2]])
    names = upgrading.on_machines(world.cloud, world.first)
    with upgrade_machines.ordered(
        world.cloud, world.first, names, UpgradeAction.RUN, TARGET
    ) as machines:
        world.fall_silent("t1-host3")
        left = upgrading.run(world.cloud, world.first, quiet(), watch_s=0, machines=machines)
    world.join()
    assert machines.names == (NAMES[0], NAMES[2])
    assert [host.name for host in left.elsewhere] == ["t1-host3"]


def test_a_control_host_that_is_lost_meanwhile_stops_the_rest(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The fault of the new release may be what took it."""
    monkeypatch.setattr(upgrading, "WELL_TIMEOUT_S", 0.2)
    world.takes_along["t1-host2"] = "t1-host3"
    world.follow(UpgradeAction.RUN)
    with pytest.raises(Permanent, match="t1-host2 is in doubt: t1-host3 was there when this began"):
        world.run()
    assert world.runs[FIRST] == BEFORE
    monkeypatch.setattr(upgrade_part, "WAIT_S", 0.0)
    world.join()


def test_one_that_only_runs_servers_and_goes_off_before_its_turn_is_left_out(world: World) -> None:
    world.takes_along[FIRST] = "t1-host4"
    world.follow(UpgradeAction.RUN)
    left = world.run()
    world.join()
    assert [host.name for host in left.elsewhere] == ["t1-host4"]


def test_what_fails_on_one_machine_stops_the_rest_and_is_gone_on_with(world: World) -> None:
    world.fails["t1-host3"] = "api: not ready"
    world.follow(UpgradeAction.RUN)
    with pytest.raises(Permanent, match=r"t1-host3 is in doubt: api: not ready\..*`upgr"):
        world.run()
    assert world.runs == {FIRST: BEFORE, NAMES[0]: TARGET, NAMES[1]: BEFORE, NAMES[2]: BEFORE}
    world.run()  # Their commands wait yet.
    world.join()
    assert set(world.runs.values()) == {TARGET}
    assert world.done.count(NAMES[0]) == 1
    assert world.failures == {}


def test_a_machine_with_another_release_in_its_checkout_is_named(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.follow(UpgradeAction.RUN)
    names = upgrading.on_machines(world.cloud, world.first)
    with (
        upgrade_machines.ordered(
            world.cloud, world.first, names, UpgradeAction.RUN, "9.1.0-newer"
        ) as machines,
        pytest.raises(Conflict, match=r"would go to 9\.0\.0-new, and the others to 9\.1\.0-newer"),
    ):
        machines.await_all(quiet(), lambda _names: ())
    monkeypatch.setattr(upgrade_part, "WAIT_S", 0.0)
    world.join()
    assert world.done == []


def test_all_of_it_goes_back_the_control_plane_last(world: World) -> None:
    world.go_there()
    world.follow(UpgradeAction.ROLLBACK)
    names = world.go_back()
    world.join()
    assert world.failures == {}
    assert names == ["t1-host4", "t1-host2", "t1-host3", FIRST]
    assert world.done == [*names[:3], f"hand over {FIRST}", FIRST]
    assert set(world.runs.values()) == {BEFORE}


def test_going_back_twice_does_not_go_two_releases_back(world: World) -> None:
    add_oldest(world.first)
    world.go_there()
    world.follow(UpgradeAction.ROLLBACK)
    world.go_back()
    world.join()
    with pytest.raises(Conflict, match=r"nothing to take back\. From 8.* --to 7\.0\.0-oldest"):
        world.go_back()


def test_a_way_back_that_was_cut_off_goes_on_to_the_same_release(world: World) -> None:
    add_oldest(world.first)
    world.go_there()
    world.fails["t1-host2"] = "patroni: not ready"
    world.follow(UpgradeAction.ROLLBACK)
    with pytest.raises(Permanent, match=r"t1-host2 is in doubt.*`upgrade rollback` again$"):
        world.go_back()
    world.runs[FIRST] = BEFORE  # By hand.
    assert upgrading.older(world.cloud, world.first) == BEFORE
    world.go_back()
    world.join()
    assert set(world.runs.values()) == {BEFORE}


def test_a_machine_without_the_release_is_named_before_anything_goes_back(world: World) -> None:
    world.go_there()
    (world.others["t1-host3"].release_dir / BEFORE).rmdir()
    add_oldest(world.others["t1-host3"])
    world.follow(UpgradeAction.ROLLBACK)
    with pytest.raises(Permanent, match=r"t1-host3 has no release 8\.0\.0-old: `up` there"):
        world.go_back()
    assert world.done == []
    (world.others["t1-host3"].release_dir / BEFORE).mkdir()
    world.go_back()
    world.join()


def test_the_same_version_of_other_packages_is_gone_back_to(world: World) -> None:
    there = world.others["t1-host2"]
    (there.release_dir / BEFORE).rmdir()
    (there.release_dir / "8.0.0-other").mkdir()
    assert upgrading.release_there(there, BEFORE) == "8.0.0-other"


def test_who_calls_the_other_command_is_told(world: World) -> None:
    world.follow(UpgradeAction.ROLLBACK, NAMES[:1])
    with upgrade_machines.ordered(world.cloud, world.first, NAMES, UpgradeAction.RUN, TARGET):
        world.join()
    assert "the first host is at `upgrade run`: call that here" in str(world.failures[NAMES[0]])


def test_a_host_of_the_first_machine_is_done_by_that_ones_command(world: World) -> None:
    near = config.changed(world.others[NAMES[0]], has_edge=True)
    with pytest.raises(NotFound, match="on the machine of the first host"):
        upgrade_part.follow(world.cloud, near, UpgradeAction.RUN, quiet())


def finalize(world: World, monkeypatch: pytest.MonkeyPatch) -> int:
    """The command, of the target."""
    monkeypatch.setattr(kumoi, "__version__", version_of(TARGET))
    monkeypatch.setattr(choice, "existing", lambda _args: (world.cloud, world.first))
    return upgrade.finalize(argparse.Namespace())


def test_it_is_finalized_without_a_control_host_that_is_off_which_is_named(
    world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    world.fall_silent("t1-host3")
    world.follow(UpgradeAction.RUN, [NAMES[0], NAMES[2]])
    world.run()
    world.join()
    assert finalize(world, monkeypatch) == 0
    assert "t1-host3, off: when it is back, sudo ./kumoi up there" in capsys.readouterr().out


def test_it_is_not_finalized_while_an_older_control_host_may_act(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its agent is away, and its members of the stores are not: so its API and worker may be there."""
    world.fall_silent("t1-host3")
    world.follow(UpgradeAction.RUN, [NAMES[0], NAMES[2]])
    world.run()
    world.join()
    world.members.add("t1-host3")
    with pytest.raises(Conflict, match="t1-host3 not heard of, and members of the stores answer"):
        finalize(world, monkeypatch)
    with closing(world.open()) as database, database.read() as connection:
        assert cluster_version.release(connection) == ""
