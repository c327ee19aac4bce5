"""The plan for a server: what is wanted, what is there, what to do."""

from __future__ import annotations

import dataclasses

import msgspec
import pytest

from kumoi.cloud.agent.kinds.server_plan import ended_by_itself, plan, status
from kumoi.cloud.drivers.instance.interface import ObservedInstance
from kumoi.cloud.hostapi.messages import Address, InstanceSpec, InstanceState, Power, ServerPort

ID = "6f04a590-e910-4720-a682-6d5d9a87d591"
PORT = ServerPort(
    id="fb0e9e14-e016-43ac-a2bd-fb160025e286", mac="02:00:00:00:01:01", mtu=1400, name="eth0"
)
MOVED = msgspec.structs.replace(PORT, addresses=[Address(address="10.0.0.9", prefix=24)])
WANTED = InstanceSpec(id=ID, generation=3, power=Power.RUNNING, ports=[PORT])
RUNNING = ObservedInstance(
    server_id=ID,
    state=InstanceState.RUNNING,
    pid=10,
    keeper_pid=9,
    build=0,
    started_generation=3,
    host_boot="now",
    ports=frozenset({PORT.id}),
    wired=(PORT,),
)
ENDED = dataclasses.replace(
    RUNNING, state=InstanceState.STOPPED, pid=0, keeper_pid=0, ports=frozenset()
)
OPEN = dataclasses.replace(RUNNING, guarded=frozenset(), bounded=frozenset({PORT.id}))
GUARDED = dataclasses.replace(RUNNING, guarded=frozenset({PORT.id}))
PAUSED = dataclasses.replace(RUNNING, state=InstanceState.PAUSED)


def planned(wanted: InstanceSpec, seen: ObservedInstance | None) -> str:
    return ", ".join(str(action) for action in plan(wanted, seen, host_boot="now"))


def but(wanted: InstanceSpec = WANTED, **changes: object) -> InstanceSpec:
    return msgspec.structs.replace(wanted, **changes)


def seen_as(seen: ObservedInstance, **changes: object) -> ObservedInstance:
    return dataclasses.replace(seen, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("rule", "wanted", "seen", "actions"),
    [
        ("a new one is built and started", WANTED, None, "build 0, start"),
        ("a new one may stay stopped", but(power=Power.STOPPED), None, "build 0"),
        ("as wanted: nothing", WANTED, RUNNING, ""),
        ("ended by itself: left to its owner", WANTED, ENDED, ""),
        ("its links are cleaned up", WANTED, seen_as(ENDED, remains=True), "stop at once"),
        ("ended by the host's reboot", WANTED, seen_as(ENDED, host_boot="then"), "start"),
        ("started again by its owner", but(generation=4), ENDED, "start"),
        ("never got to start", WANTED, seen_as(ENDED, started_generation=0), "start"),
        ("rebooted softly", but(boot=1), RUNNING, "stop within 20 s, start"),
        ("rebooted hard", but(hard_boot=1), RUNNING, "stop at once, start"),
        ("rebooted when it had ended", but(boot=1), ENDED, "start"),
        ("rebooted hard while paused", but(hard_boot=1), PAUSED, "stop at once, start"),
        ("stopped", but(power=Power.STOPPED), RUNNING, "stop within 20 s"),
        ("stopped while paused", but(power=Power.STOPPED), PAUSED, "stop at once"),
        ("stopped already", but(power=Power.STOPPED), ENDED, ""),
        ("paused", but(power=Power.PAUSED), RUNNING, "pause"),
        ("paused already", but(power=Power.PAUSED), PAUSED, ""),
        ("paused when it must start first", but(power=Power.PAUSED, generation=4), ENDED,
         "start, pause"),
        ("resumed", WANTED, PAUSED, "start"),
        ("a lost port is plugged again", WANTED, seen_as(RUNNING, ports=frozenset()), "settle"),
        ("a port's new address is set up", but(ports=[MOVED]), RUNNING, "settle"),
        ("of a paused one as well", but(power=Power.PAUSED, ports=[MOVED]), PAUSED, "settle"),
        ("a new address starts nothing that has ended", but(ports=[MOVED]), ENDED, ""),
        ("a port that lets out what only routers send is closed to it", WANTED, OPEN, "settle"),
        ("one that may is opened", but(advertisers=[PORT.id]), GUARDED, "settle"),
        ("guarded as wanted", WANTED, GUARDED, ""),
        ("open as wanted", but(advertisers=[PORT.id]), OPEN, ""),
        ("one that sends from any number of MACs is bounded", but(advertisers=[PORT.id]),
         seen_as(OPEN, bounded=frozenset()), "settle"),
        ("a port that is not wanted goes", but(ports=[]), RUNNING, "settle"),
        ("a change that needs nothing is taken down", but(generation=4), RUNNING, "settle"),
        ("rebuilt", but(build=1), RUNNING, "stop at once, build 1, start"),
        ("rebuilt while stopped", but(build=1, power=Power.STOPPED), ENDED, "build 1"),
        ("a half-made one is built", WANTED, seen_as(ENDED, build=None), "build 0, start"),
    ],
)  # fmt: skip
def test_plan(rule: str, wanted: InstanceSpec, seen: ObservedInstance | None, actions: str) -> None:
    assert planned(wanted, seen) == actions, rule


def test_a_paused_server_that_lost_its_port_and_must_stay_paused_is_settled() -> None:
    seen = seen_as(PAUSED, ports=frozenset())
    assert planned(but(power=Power.PAUSED), seen) == "settle"


def test_a_running_server_never_counts_as_ended() -> None:
    assert not ended_by_itself(WANTED, RUNNING, host_boot="now")


def test_what_is_there_is_told_with_the_boots_behind_it() -> None:
    reported = status(seen_as(RUNNING, boot=2))
    assert (reported.state, reported.boot, reported.build) == (InstanceState.RUNNING, 2, 0)


def test_what_is_not_there_yet_is_being_built() -> None:
    assert status(None).state is InstanceState.BUILDING
