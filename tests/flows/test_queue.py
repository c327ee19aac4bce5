"""Runs wait for their turn, fairly between projects, and what a project may not have does not begin."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from tests.flows.fake_cloud import FakeCloud
from tests.flows.world import World

from kumoi.base.errors import OverQuota
from kumoi.config import CloudSettings
from kumoi.engine import flow as flows
from kumoi.pipeline import limits
from kumoi.pipeline.cloud import CloudFlavor, Noun
from kumoi.pipeline.queue import order, standing
from kumoi.pipeline.store import environment, run
from kumoi.pipeline.store.run import Run, RunStatus

HELLO = "servers:\n  web: {image: debian-12, flavor: small}\n"


def limited(world: World, **limits: Any) -> None:
    world.settings = dataclasses.replace(CloudSettings(), **limits)
    world.restart()


def going(world: World) -> set[str]:
    """The branches whose runs go on."""
    with world.database.read() as connection:
        return {each.branch for each in run.list_running(connection) if not each.is_queued}


def push(world: World, branch: str, project: str = "p1") -> Run:
    world.clock.advance(1)
    return world.push(HELLO, branch, repository=world.repository_of(project))


def test_a_run_over_the_projects_limit_waits_says_its_place_and_goes_on_when_one_ends(
    world: World,
) -> None:
    limited(world, project_runs=1)
    first, second, third = (push(world, branch) for branch in ("a", "b", "c"))
    world.settle(until_s=10)
    assert going(world) == {"a"}
    why = "this project has 1 runs going on, as many as it may at once (project_runs)"
    assert world.run(second).waits_for == f"its turn, as number 1 of 2: {why}"
    assert world.run(third).waits_for == f"its turn, as number 2 of 2: {why}"
    assert not world.cloud.list_resources(  # Nothing is built before its turn.
        Noun.SERVER, f"env-{world.environment(second).id}"
    )
    world.verify(first)
    assert going(world) == {"b"}
    world.verify(second)
    world.verify(third)
    assert world.run(third).status == RunStatus.VERIFIED


def test_a_waiting_run_does_not_use_up_the_time_that_a_run_may_take(world: World) -> None:
    limited(world, project_runs=1, run_deadline_s=300)
    first, second = push(world, "a"), push(world, "b")
    for each in (first, second):
        world.settle(until_s=5)
        for _ in range(4):  # The runner is busy, for 200 s.
            world.runner_tells(each, "configure")
            world.clock.advance(50)
        world.verify(each)
    assert world.run(first).status == RunStatus.VERIFIED
    assert world.run(second).status == RunStatus.VERIFIED


def test_the_project_with_fewest_runs_is_next_and_its_oldest_first(world: World) -> None:
    limited(world, pipeline_runs=2)
    push(world, "a1"), push(world, "a2")
    waiting = [
        push(world, "a3"),
        push(world, "a4"),
        push(world, "b1", "p2"),
        push(world, "b2", "p2"),
    ]
    world.settle(until_s=2)
    assert going(world) == {"a1", "a2"}
    with world.database.read() as connection:
        turns = [each.branch for each in order(run.list_running(connection))]
    assert turns == ["b1", "b2", "a3", "a4"]
    assert world.run(waiting[0]).waits_for.startswith("its turn, as number 3 of 4: 2 runs go on")


def test_a_newer_push_takes_the_place_of_the_one_that_it_replaces(world: World) -> None:
    limited(world, project_runs=1)
    first = push(world, "a")
    world.settle(until_s=2)
    waiting = push(world, "b")
    newer = world.push(HELLO, "a", sequence=2)
    world.settle(until_s=5)
    assert world.run(first).reason == f"run {newer.id} is newer"
    assert going(world) == {"a"}
    assert world.run(waiting).is_queued


def test_a_cancelled_run_that_waits_ends_and_leaves_nothing(world: World) -> None:
    limited(world, project_runs=1)
    push(world, "a")
    waiting = push(world, "b")
    world.settle(until_s=2)
    with world.database.write() as connection:
        flows.cancel(connection, waiting.id, "somebody asked for it")
    world.settle(until_s=5)
    assert world.run(waiting).status == RunStatus.CANCELLED
    assert world.environment(waiting).status == environment.EnvironmentStatus.DELETED


def test_a_kill_while_runs_wait_loses_none_and_doubles_none(world: World) -> None:
    limited(world, project_runs=1)
    runs = [push(world, branch) for branch in ("a", "b", "c")]
    world.turn()
    for each in runs:
        world.survive()
        world.verify(each)
    assert {world.run(each).status for each in runs} == {RunStatus.VERIFIED}


def test_more_environments_or_servers_than_a_project_may_have_do_not_begin(world: World) -> None:
    limited(world, project_environments=2, project_environment_servers=5)
    push(world, "a")
    with pytest.raises(OverQuota, match="would have 6 servers"):
        world.push(HELLO.replace("small}", "small, count: 3}"), "b")
    push(world, "b")
    with pytest.raises(OverQuota, match="would have 3 environments, and may have 2") as refused:
        push(world, "c")
    assert "kumoi env delete" in refused.value.message
    push(world, "c", "p2")  # Another project has its own.
    with world.database.read() as connection:
        assert len(run.list_of_project(connection, "p1")) == 2
        shown = {each.name: each.used for each in limits.table(connection, world.settings, "p1")}
    assert (shown["project_environments"], shown["project_environment_servers"]) == (2, 4)


def test_a_kept_environment_that_grows_counts_once(world: World) -> None:
    limited(world, project_environments=1, project_environment_servers=4)
    world.verify(world.push(f"keep: true\n{HELLO}"))
    grown = f"keep: true\n{HELLO.replace('small}', 'small, count: 3}')}"
    world.verify(world.push(grown, sequence=2))
    with pytest.raises(OverQuota, match="would have 5 servers"):
        world.push(grown.replace("count: 3", "count: 4"), sequence=3)


class RoomyCloud(FakeCloud):
    def find_flavor(self, name: str) -> CloudFlavor | None:
        return CloudFlavor(f"flavor-{name}", 1, 512, 10) if name in self.flavors else None


def test_more_disk_than_a_project_may_have_is_refused_before_anything_is_built(
    world: World,
) -> None:
    world.cloud = RoomyCloud()
    limited(world, project_environment_gib=30)
    first = push(world, "a")
    world.verify(first)
    assert world.environment(first).disk_gib == 20
    made = world.cloud.created
    second = push(world, "b")
    world.settle(until_s=10)
    assert world.run(second).reason.startswith(
        "this project would have 40 GiB of disk in its environments, and may have 30 "
        "(project_environment_gib): "
    )
    assert world.cloud.created == made


def test_of_many_projects_none_is_behind_another_ones_crowd() -> None:
    """Pure: a project that pushed a hundred times first does not keep one that pushes once."""
    crowd = [_run(f"a{number:03}", "p1", number) for number in range(100)]
    late = _run("late", "p2", 100)
    running = [dataclasses.replace(crowd[0], is_queued=False), *crowd[1:], late]
    assert order(running)[0] is late
    settings = CloudSettings(pipeline_runs=2)
    assert standing(settings, running, "late") is None
    told = standing(settings, running, "a001")
    assert told is not None
    assert (told.place, told.of) == (1, 100)


def _run(id: str, project: str, second: int) -> Run:
    from datetime import UTC, datetime, timedelta

    made = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=second)
    return Run(
        id=id, repository_id="r", project_id=project, branch=id, commit="c", sequence=1,
        status=RunStatus.RUNNING, stage="receive", waits_for="", reason="", stages=[],
        created_at=made, is_queued=True,
    )  # fmt: skip
