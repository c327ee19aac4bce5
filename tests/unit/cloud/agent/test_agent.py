"""The agent's promises, on a driver and a control plane that only remember."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Awaitable, Callable
from pathlib import Path

import msgspec
import pytest
from tests.unit.cloud.agent.control_plane import IMAGE, Host, server, until

import kumoi
from kumoi.base import files
from kumoi.base.clock import SetClock
from kumoi.base.errors import Permanent, Transient
from kumoi.base.ids import new_id
from kumoi.cloud.agent import agent, consoles, tending
from kumoi.cloud.agent.files import ThingFiles
from kumoi.cloud.agent.images import UNUSED_KEPT_S
from kumoi.cloud.drivers.instance.fake import FakeDriver
from kumoi.cloud.hostapi.messages import (
    SERVER,
    InstanceState,
    Power,
    ServerPort,
    ServerStatus,
)
from kumoi.cloud.hostapi.offer import Offer
from kumoi.cloud.hostapi.things import GENERATION_LAST, Thing, ThingKey


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Host:
    monkeypatch.setattr(tending, "LOOK_AROUND_S", 0.05)
    monkeypatch.setattr(consoles, "LOOK_S", 0.05)
    monkeypatch.setattr(agent, "HEARTBEAT_S", 0.05)
    return Host(tmp_path)


def story(steps: Callable[[Host], Awaitable[None]]) -> Callable[[Host], None]:
    """A test that is a coroutine, with a bound of its own."""

    def test(host: Host) -> None:
        asyncio.run(asyncio.wait_for(steps(host), timeout=30))

    test.__name__ = steps.__name__
    test.__doc__ = steps.__doc__
    return test


@story
async def test_a_wanted_server_runs_and_is_reported(host: Host) -> None:
    host.control.want(server(1))
    async with host.running():
        await until(lambda: host.control.state_of(server(1)) is InstanceState.RUNNING)
    assert host.control.fetched == [IMAGE.id]


@story
async def test_a_hundred_servers_need_one_fetch_of_their_image(host: Host) -> None:
    servers = [server(number) for number in range(100)]
    host.control.want(*servers)
    async with host.running():
        await until(lambda: all(host.control.state_of(item) for item in servers))
    assert {host.control.state_of(item) for item in servers} == {InstanceState.RUNNING}
    assert host.control.fetched == [IMAGE.id]


@story
async def test_a_deleted_server_is_reported_absent_and_forgotten(host: Host) -> None:
    host.control.want(server(1))
    async with host.running():
        await until(lambda: host.control.state_of(server(1)) is InstanceState.RUNNING)
        host.control.want(server(1, generation=2, power=Power.ABSENT))
        await until(lambda: host.control.state_of(server(1)) is InstanceState.ABSENT)
        await until(lambda: not ThingFiles(host.directory / "wanted").load())
    assert host.driver.servers == {}


@story
async def test_an_older_generation_is_refused(host: Host) -> None:
    host.control.want(server(1, generation=5))
    async with host.running():
        await until(lambda: host.control.state_of(server(1)) is InstanceState.RUNNING)
        host.control.want(server(1, generation=4, power=Power.ABSENT), server(2))
        await until(lambda: host.control.state_of(server(2)) is InstanceState.RUNNING)
    assert host.driver.servers[server(1).id].state is InstanceState.RUNNING
    assert host.control.server_reports[server(1).id].generation == 5


@story
async def test_what_a_complete_list_does_not_name_goes(host: Host) -> None:
    host.control.want(server(1), server(2))
    async with host.running():
        await until(lambda: host.control.state_of(server(2)) is InstanceState.RUNNING)
        await until(lambda: host.control.state_of(server(1)) is InstanceState.RUNNING)
    host.control.drop(server(1).id)
    async with host.running():
        await until(lambda: set(host.driver.servers) == {server(2).id})
        directory = host.directory / "wanted"
        await until(lambda: [path.stem for path in directory.glob("*/*.json")] == [server(2).id])


@story
async def test_what_went_while_nobody_was_told_is_reported_absent(host: Host) -> None:
    """A server that moved away is not named any more, and the control plane waits to hear that it is gone: also
    where the agent that was told so was killed before it said it, with the server there or not.
    """
    for number in (1, 2):
        host.control.want(server(number))
    async with host.running():
        await until(lambda: host.control.state_of(server(2)) is InstanceState.RUNNING)
        await until(lambda: host.control.state_of(server(1)) is InstanceState.RUNNING)
    for number in (1, 2):
        host.control.drop(server(number).id)
    del host.driver.servers[server(2).id]
    async with host.running():
        gone = [server(number) for number in (1, 2)]
        await until(
            lambda: {host.control.state_of(each) for each in gone} == {InstanceState.ABSENT}
        )
        await until(lambda: not ThingFiles(host.directory / "wanted").load())


@pytest.mark.parametrize("lost", ["another epoch", "an older copy"])
def test_a_control_plane_that_lost_its_store_takes_no_server_along(host: Host, lost: str) -> None:
    @story
    async def steps(host: Host) -> None:
        host.control.revision = 100
        host.control.want(server(1), server(2))
        async with host.running():
            await until(lambda: len(host.control.server_reports) == 2)
        host.control.drop(server(1).id, server(2).id)
        if lost == "another epoch":
            host.control.epoch = "epoch-2"
        else:
            host.control.revision = 1
        host.driver.ensure_built(server(9))
        nobodys = msgspec.structs.replace(
            server(1), power=Power.ABSENT, generation=GENERATION_LAST, image=None
        )
        async with host.running():
            host.control.want(nobodys, server(3))  # Life goes on with what it knows.
            await until(lambda: host.control.state_of(server(3)) is InstanceState.RUNNING)
        async with host.running():
            await until(lambda: len(host.control.hellos) > 2)
        here = {server(number).id for number in (1, 2, 3, 9)}
        assert set(host.driver.servers) == here

        (host.directory / "control-plane.json").unlink()  # As an operator who wants it so.
        async with host.running():
            await until(lambda: set(host.driver.servers) == {server(3).id})

    steps(host)


@story
async def test_a_control_plane_that_has_its_store_again_is_trusted_again(host: Host) -> None:
    host.control.want(server(1), server(2))
    async with host.running():
        await until(lambda: len(host.control.server_reports) == 2)
    things = dict(host.control.things)
    host.control.things, host.control.epoch = {}, "epoch-2"
    async with host.running():
        await until(lambda: len(host.control.hellos) > 1)
    host.control.things, host.control.epoch = things, "epoch-1"
    async with host.running():
        await until(lambda: len(host.control.hellos) > 2)
    host.control.drop(server(2).id)
    async with host.running():
        await until(lambda: set(host.driver.servers) == {server(1).id})


@story
async def test_a_server_nobody_heard_of_goes_too(host: Host) -> None:
    host.driver.ensure_built(server(9))
    async with host.running():
        await until(lambda: host.driver.servers == {})


@story
async def test_nothing_goes_while_the_control_plane_is_away(host: Host) -> None:
    host.control.want(server(1))
    async with host.running():
        await until(lambda: host.control.state_of(server(1)) is InstanceState.RUNNING)
    host.control.reachable = False
    host.driver.ensure_built(server(9))
    looked = host.driver.list_instances
    looks: list[int] = []

    def counted() -> object:
        looks.append(1)
        return looked()

    host.driver.list_instances = counted  # type: ignore[assignment, method-assign]
    async with host.running():
        await until(lambda: len(looks) >= 3)
    assert set(host.driver.servers) == {server(1).id, server(9).id}


@story
async def test_a_host_comes_back_with_the_control_plane_gone(host: Host) -> None:
    host.control.want(server(1), server(2, power=Power.STOPPED))
    async with host.running():
        await until(lambda: len(host.control.server_reports) == 2)
    host.control.reachable = False
    host.driver.reboot_host("boot-2")
    async with host.running():
        await until(lambda: host.driver.servers[server(1).id].state is InstanceState.RUNNING)
    assert host.driver.servers[server(2).id].state is InstanceState.STOPPED


@story
async def test_what_could_not_be_written_down_is_written_as_soon_as_it_can_be(host: Host) -> None:
    draft = files.draft_of(host.directory / "wanted" / SERVER / f"{server(1).id}.json")
    (draft / "full").mkdir(parents=True)  # As good as a full disk.
    host.control.want(server(1))
    async with host.running():
        await until(lambda: host.control.state_of(server(1)) is InstanceState.RUNNING)
        assert ThingFiles(host.directory / "wanted").load() == {}
        shutil.rmtree(draft)
        known = ThingKey(SERVER, server(1).id)
        await until(lambda: ThingFiles(host.directory / "wanted").load().keys() == {known})


@story
async def test_a_server_that_ended_by_itself_is_reported_stopped_and_left(host: Host) -> None:
    host.control.want(server(1))
    async with host.running():
        await until(lambda: host.control.state_of(server(1)) is InstanceState.RUNNING)
        host.driver.kill(server(1).id)
        await until(lambda: host.control.state_of(server(1)) is InstanceState.STOPPED)
        host.control.want(server(1, generation=2))
        await until(lambda: host.control.state_of(server(1)) is InstanceState.RUNNING)


@story
async def test_a_lost_port_is_plugged_again(host: Host) -> None:
    port = ServerPort(
        id="fb0e9e14-e016-43ac-a2bd-fb160025e286", mac="02:00:00:00:01:01", mtu=1400, name="eth0"
    )
    host.control.want(msgspec.structs.replace(server(1), ports=[port]))
    async with host.running():
        await until(lambda: host.control.state_of(server(1)) is InstanceState.RUNNING)
        host.driver.unplug(server(1).id)
        await until(lambda: host.driver.servers[server(1).id].ports == {port.id})


@story
async def test_what_cannot_be_built_fails_with_its_reason_and_keeps_nothing(host: Host) -> None:
    host.driver.fail_next("ensure_running", Permanent("no such thing"))
    host.control.want(server(1))
    async with host.running():
        await until(lambda: host.control.state_of(server(1)) is InstanceState.FAILED)
    assert host.control.server_reports[server(1).id].fault == "no such thing"
    assert host.driver.servers == {}


@story
async def test_a_failed_server_stays_failed_over_a_restart_of_the_agent(host: Host) -> None:
    host.driver.fail_next("ensure_built", Permanent("no such thing"))
    host.control.want(server(1))
    async with host.running():
        await until(lambda: host.control.state_of(server(1)) is InstanceState.FAILED)
    host.control.server_reports.clear()
    async with host.running():
        await until(lambda: host.control.state_of(server(1)) is InstanceState.FAILED)
    assert host.driver.servers == {}


@story
async def test_a_failed_server_can_be_deleted(host: Host) -> None:
    host.driver.fail_next("ensure_built", Permanent("no such thing"))
    host.control.want(server(1))
    async with host.running():
        await until(lambda: host.control.state_of(server(1)) is InstanceState.FAILED)
        host.control.want(server(1, generation=2, power=Power.ABSENT))
        await until(lambda: host.control.state_of(server(1)) is InstanceState.ABSENT)


@story
async def test_what_is_transient_is_tried_again(host: Host) -> None:
    host.driver.fail_next("ensure_running", Transient("not now", retry_after_s=0.01), times=3)
    host.control.want(server(1))
    async with host.running():
        await until(lambda: host.control.state_of(server(1)) is InstanceState.RUNNING)
    assert host.control.all_server_reports[0].state is InstanceState.RUNNING


@story
async def test_trying_again_has_an_end(host: Host) -> None:
    often = tending.ATTEMPTS_MAX
    host.driver.fail_next("ensure_built", Transient("never", retry_after_s=0.001), times=often)
    host.control.want(server(1))
    async with host.running():
        await until(lambda: host.control.state_of(server(1)) is InstanceState.FAILED)
    assert host.control.server_reports[server(1).id].fault == "never"


@story
async def test_a_server_that_ran_keeps_its_disk_when_it_fails(host: Host) -> None:
    host.control.want(server(1))
    async with host.running():
        await until(lambda: host.control.state_of(server(1)) is InstanceState.RUNNING)
        host.driver.fail_next("ensure_running", Permanent("broken"))
        host.control.want(msgspec.structs.replace(server(1, generation=2), hard_boot=1))
        await until(lambda: host.control.state_of(server(1)) is InstanceState.FAILED)
    assert host.driver.servers[server(1).id].build == 0


@pytest.mark.parametrize("verb", ["ensure_image", "ensure_built"])
def test_a_refused_rebuild_leaves_the_server_that_was(host: Host, verb: str) -> None:
    other = msgspec.structs.replace(IMAGE, id="image-2", sha256="2" * 64)

    @story
    async def steps(host: Host) -> None:
        host.control.want(server(1))
        async with host.running():
            await until(lambda: host.control.state_of(server(1)) is InstanceState.RUNNING)
            host.driver.fail_next(verb, Permanent("the host's disk is full"))
            changes = {"build": 1, "image": other}
            rebuilt = msgspec.structs.replace(server(1, generation=2), **changes)
            host.control.want(rebuilt)
            await until(lambda: host.control.state_of(server(1)) is InstanceState.FAILED)
            report = host.control.reports[ThingKey(SERVER, server(1).id)]
            assert report.fault == "the host's disk is full"
            there = msgspec.json.decode(report.status, type=ServerStatus)
            assert there.build == host.driver.servers[server(1).id].build == 0

            name = ServerPort(id=new_id(), mac="02:00:00:00:01:01", mtu=1400, name="eth0")
            tried = host.driver.done.count(f"ensure_built {server(1).id}")
            host.control.want(msgspec.structs.replace(rebuilt, ports=[name]), server(2))
            await until(lambda: host.control.state_of(server(2)) is InstanceState.RUNNING)
            assert host.driver.done.count(f"ensure_built {server(1).id}") == tried
            assert host.driver.servers[server(1).id].build == 0

            host.control.want(msgspec.structs.replace(server(1, generation=3), hard_boot=1))
            await until(lambda: host.control.state_of(server(1)) is InstanceState.RUNNING)
        assert f"delete_instance {server(1).id}" not in host.driver.done

    steps(host)


@story
async def test_a_running_server_whose_ports_cannot_be_plugged_runs_on(host: Host) -> None:
    host.control.want(server(1))
    async with host.running():
        await until(lambda: host.control.state_of(server(1)) is InstanceState.RUNNING)
        host.driver.fail_next("ensure_ports", Permanent("no such thing"))
        host.control.want(server(1, generation=2))
        await until(lambda: host.control.state_of(server(1)) is InstanceState.FAILED)
    assert host.driver.servers[server(1).id].state is InstanceState.RUNNING


@story
async def test_a_server_that_nobody_can_look_at_is_no_failed_one(host: Host) -> None:
    host.control.want(server(1))
    async with host.running():
        await until(lambda: host.control.state_of(server(1)) is InstanceState.RUNNING)
        often = tending.ATTEMPTS_MAX + 1
        blind = Transient("the switch does not answer", retry_after_s=0.001)
        host.driver.fail_next("observe", blind, times=often)
        host.control.want(server(1, generation=2))
        await until(lambda: host.control.server_reports[server(1).id].generation == 2)
    assert host.driver.failures_left("observe") == 0
    assert InstanceState.FAILED not in {report.state for report in host.control.all_server_reports}
    assert f"ensure_stopped {server(1).id}" not in host.driver.done


@story
async def test_deleting_is_never_given_up(host: Host) -> None:
    often = tending.ATTEMPTS_MAX + 1
    host.control.want(server(1))
    async with host.running():
        await until(lambda: host.control.state_of(server(1)) is InstanceState.RUNNING)
        stuck = Transient("busy", retry_after_s=0.001)
        host.driver.fail_next("delete_instance", stuck, times=often)
        host.control.want(server(1, generation=2, power=Power.ABSENT))
        await until(lambda: host.control.state_of(server(1)) is InstanceState.ABSENT)
    assert InstanceState.FAILED not in {report.state for report in host.control.all_server_reports}


@story
async def test_reports_wait_for_the_control_plane(host: Host) -> None:
    host.control.want(server(1))
    async with host.running():
        await until(lambda: host.control.state_of(server(1)) is InstanceState.RUNNING)
        host.control.reachable = False
        host.driver.kill(server(1).id)
        await until(lambda: host.driver.servers[server(1).id].remains is False)
        host.control.reachable = True
        await until(lambda: host.control.state_of(server(1)) is InstanceState.STOPPED)


@story
async def test_servers_that_wait_for_their_images_keep_no_other_projects_waiting(
    host: Host,
) -> None:
    """As many as an agent does things at once, and more, each with an image of its own."""
    slow = asyncio.Event()
    numbers = range(10, 10 + 2 * tending.TOGETHER_MAX)
    for number in numbers:
        image = msgspec.structs.replace(IMAGE, id=f"slow-{number}", sha256=f"{number:064d}")
        host.control.held_images[image.id] = slow
        host.control.want(msgspec.structs.replace(server(number), image=image, owner="ada"))
    other = msgspec.structs.replace(IMAGE, id="bo", sha256="b" * 64)
    theirs = msgspec.structs.replace(server(1), image=other, owner="bo")
    async with host.running():
        await until(lambda: len(host.control.fetched) == 1)
        host.control.want(theirs)
        await until(lambda: host.control.state_of(theirs) is InstanceState.RUNNING)
        assert host.control.fetched == [host.control.fetched[0], "bo"]
        host.control.want(msgspec.structs.replace(theirs, generation=2, power=Power.ABSENT))
        await until(lambda: host.control.state_of(theirs) is InstanceState.ABSENT)
        slow.set()
        wanted = [server(number) for number in numbers]
        await until(
            lambda: {host.control.state_of(one) for one in wanted} == {InstanceState.RUNNING}
        )


@story
async def test_snapshots_are_made_of_each_project_in_turn(host: Host) -> None:
    mine = [f"ada-{number}" for number in range(5)]
    ada = msgspec.structs.replace(server(1), snapshots=mine, owner="ada")
    host.control.want(ada, msgspec.structs.replace(server(2), snapshots=["bo"], owner="bo"))
    async with host.running():
        await until(lambda: len(host.control.sent) == len(mine) + 1)
    assert list(host.control.sent)[:2] == ["ada-0", "bo"]


@story
async def test_an_image_worth_having_is_made_ready_by_those_drivers_that_take_it(
    host: Host,
) -> None:
    machines = FakeDriver(name="machine", offer=Offer(formats=["qcow2"]))
    host.drivers["machine"] = machines
    disk = msgspec.structs.replace(IMAGE, id="disk", disk_format="qcow2")
    host.driver.offer = Offer(formats=["root-tar"])
    host.control.images = [IMAGE, disk]
    async with host.running():
        await until(lambda: host.driver.images and machines.images)
    assert (host.driver.done, machines.done) == (
        [f"ensure_image {IMAGE.id}"],
        [f"ensure_image {disk.id}"],
    )


@story
async def test_images_worth_having_are_made_ready_and_announced(host: Host) -> None:
    host.control.images = [IMAGE]
    async with host.running():
        await until(
            lambda: host.control.hellos and host.control.hellos[-1].ready_images == (IMAGE.id,)
        )


@story
async def test_an_image_that_nobody_uses_for_an_hour_is_removed(host: Host) -> None:
    host.clock = clock = SetClock()
    old, worth = "0" * 64, msgspec.structs.replace(IMAGE, id="worth", sha256="1" * 64)
    host.driver.images = {old}
    host.control.images = [worth]
    host.control.want(server(1))
    async with host.running():
        await until(lambda: host.driver.images == {old, worth.sha256, IMAGE.sha256})
        await until(lambda: host.control.state_of(server(1)) is InstanceState.RUNNING)
        clock.advance(UNUSED_KEPT_S)
        await until(lambda: host.driver.images == {worth.sha256, IMAGE.sha256})


@story
async def test_a_wanted_snapshot_is_made_once_and_sent(host: Host) -> None:
    host.control.want(server(1))
    async with host.running():
        await until(lambda: host.control.state_of(server(1)) is InstanceState.RUNNING)
        wanted = msgspec.structs.replace(server(1, generation=2), snapshots=["image-2"])
        host.control.want(wanted)
        await until(lambda: host.control.sent)
        host.control.want(wanted)
    assert host.control.sent == {"image-2": f"image of {server(1).id}".encode()}
    assert host.driver.done.count(f"write_image {server(1).id}") == 1


@story
async def test_a_snapshot_that_cannot_be_made_is_given_up(host: Host) -> None:
    host.driver.fail_next("write_image", Permanent("no room"))
    host.control.want(msgspec.structs.replace(server(1), snapshots=["image-2"]))
    async with host.running():
        await until(lambda: host.control.given_up == ["image-2"])


@story
async def test_consoles_are_told_when_they_change(host: Host) -> None:
    host.control.want(server(1))
    async with host.running():
        await until(lambda: "running" in host.control.consoles.get(server(1).id, ""))


@story
async def test_an_id_that_is_no_uuid_is_refused(host: Host) -> None:
    host.control.want(msgspec.structs.replace(server(1), id="../etc"), server(2))
    async with host.running():
        await until(lambda: host.control.state_of(server(2)) is InstanceState.RUNNING)
    assert set(host.driver.servers) == {server(2).id}


SEALED = b'{"kind":"server","id":"%s","generation":2,"spec":{"power":"running","sealed":true}}'


@story
async def test_a_word_that_is_not_known_harms_only_its_server_and_what_runs_goes_on(
    host: Host,
) -> None:
    host.control.want(server(1), server(2))
    async with host.running():
        await until(lambda: len(host.control.server_reports) == 2)
        host.control.want_words(ThingKey(SERVER, server(1).id), SEALED % server(1).id.encode())
        host.control.want(server(2, generation=2, power=Power.STOPPED))
        await until(lambda: host.control.state_of(server(2)) is InstanceState.STOPPED)
        await until(lambda: host.control.state_of(server(1)) is InstanceState.FAILED)
    fault = host.control.server_reports[server(1).id].fault
    assert f"not understood by this host, which is of release {kumoi.__version__}" in fault
    assert "sealed" in fault
    assert host.driver.servers[server(1).id].state is InstanceState.RUNNING
    host.control.server_reports.clear()
    async with host.running():  # Nor after a restart.
        await until(lambda: len(host.control.hellos) > 3)
        await until(lambda: host.control.state_of(server(1)) is InstanceState.FAILED)
    assert host.driver.servers[server(1).id].state is InstanceState.RUNNING


@story
async def test_a_server_that_is_not_understood_can_be_deleted(host: Host) -> None:
    host.control.want(server(1))
    async with host.running():
        await until(lambda: host.control.state_of(server(1)) is InstanceState.RUNNING)
        host.control.want_words(ThingKey(SERVER, server(1).id), SEALED % server(1).id.encode())
        await until(lambda: host.control.state_of(server(1)) is InstanceState.FAILED)
        host.control.want(server(1, generation=3, power=Power.ABSENT))
        await until(lambda: host.control.state_of(server(1)) is InstanceState.ABSENT)
    assert host.driver.servers == {}


@story
async def test_a_kind_that_is_not_known_is_reported_and_kept(host: Host) -> None:
    other = Thing(kind="volume", id=server(9).id, generation=4)
    host.control.want_things(other)
    host.control.want(server(1))
    async with host.running():
        await until(lambda: host.control.state_of(server(1)) is InstanceState.RUNNING)
        await until(lambda: other.key in host.control.reports)
    report = host.control.reports[other.key]
    assert (report.generation, "kind of thing called volume" in report.fault) == (4, True)
    assert other.key in ThingFiles(host.directory / "wanted").load()


@story
async def test_each_server_goes_to_the_driver_that_it_names(host: Host) -> None:
    machines = host.drivers["qemu"] = FakeDriver(name="qemu")
    host.control.want(
        server(1),
        msgspec.structs.replace(server(2), driver="qemu"),
        msgspec.structs.replace(server(3), driver="abacus"),
    )
    async with host.running():
        await until(lambda: len(host.control.server_reports) == 3)
        await until(lambda: host.control.state_of(server(2)) is InstanceState.RUNNING)
        await until(lambda: host.control.state_of(server(1)) is InstanceState.RUNNING)
        assert "abacus" in host.control.server_reports[server(3).id].fault
        assert (set(host.driver.servers), set(machines.servers)) == (
            {server(1).id},
            {server(2).id},
        )
        host.control.want(server(2, generation=2, power=Power.ABSENT))
        await until(lambda: host.control.state_of(server(2)) is InstanceState.ABSENT)
    assert machines.servers == {}


@story
async def test_the_ports_of_a_server_that_is_not_understood_are_not_swept(host: Host) -> None:
    port = ServerPort(
        id="fb0e9e14-e016-43ac-a2bd-fb160025e286", mac="02:00:00:00:01:01", mtu=1400, name="eth0"
    )
    swept: list[frozenset[str]] = []
    host.driver.sweep = lambda wanted_ports: swept.append(wanted_ports())  # type: ignore[method-assign]
    host.control.want(msgspec.structs.replace(server(1), ports=[port]))
    async with host.running():
        await until(lambda: host.control.state_of(server(1)) is InstanceState.RUNNING)
        host.control.want_words(ThingKey(SERVER, server(1).id), SEALED % server(1).id.encode())
        await until(lambda: host.control.state_of(server(1)) is InstanceState.FAILED)
        host.driver.unplug(server(1).id)
        swept.clear()
        await until(lambda: len(swept) > 1)
    assert set(swept) == {frozenset({port.id})}


@story
async def test_a_host_that_is_refused_tries_nothing_again(host: Host) -> None:
    busy = Transient("busy", retry_after_s=0.01)
    host.driver.fail_next("ensure_built", busy, times=tending.ATTEMPTS_MAX - 1)
    host.control.want(server(1))
    async with host.running():
        await until(lambda: host.driver.failures_left("ensure_built") < tending.ATTEMPTS_MAX - 1)
        host.control.refusal = "newer than the control plane"
        said = len(host.control.hellos)
        await until(lambda: len(host.control.hellos) > said + 2)
        left = host.driver.failures_left("ensure_built")
        await until(lambda: len(host.control.hellos) > said + 12)
        assert host.driver.failures_left("ensure_built") == left > 0
        host.control.refusal = ""
        await until(lambda: host.control.state_of(server(1)) is InstanceState.RUNNING)


@story
async def test_a_host_that_is_refused_changes_nothing_until_it_is_accepted(host: Host) -> None:
    host.control.want(server(1))
    async with host.running():
        await until(lambda: host.control.state_of(server(1)) is InstanceState.RUNNING)
        host.control.refusal = "newer than the control plane"
        said = len(host.control.hellos)
        await until(lambda: len(host.control.hellos) > said + 2)
        host.control.server_reports.clear()
        host.control.want(server(2))
        host.driver.kill(server(1).id)
        await until(lambda: len(host.control.hellos) > said + 5)
        assert set(host.driver.servers) == {server(1).id}
        assert host.control.server_reports == {}
        host.control.refusal = ""
        await until(lambda: host.control.state_of(server(2)) is InstanceState.RUNNING)
        await until(lambda: host.control.state_of(server(1)) is InstanceState.STOPPED)


def test_reports_of_one_server_do_not_wait_for_another(host: Host) -> None:
    """A slow server holds one of several hands."""

    async def steps() -> None:
        host.driver.start_s = 0.3
        host.control.want(*[server(number) for number in range(tending.TOGETHER_MAX)])
        began = asyncio.get_running_loop().time()
        async with host.running():
            await until(lambda: len(host.control.server_reports) == tending.TOGETHER_MAX)
        assert asyncio.get_running_loop().time() - began < 0.3 * tending.TOGETHER_MAX / 2

    asyncio.run(steps())
