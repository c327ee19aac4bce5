"""A second push to an environment that the file keeps changes what differs, and nothing else."""

from __future__ import annotations

import pytest
from tests.flows.test_harness import At, drive
from tests.flows.world import HELLO, Killed, World

from kumoi.base.errors import Permanent, Transient
from kumoi.pipeline import deletion
from kumoi.pipeline import run as pipeline_run
from kumoi.pipeline.cloud import BALANCING, Noun
from kumoi.pipeline.store import runner
from kumoi.pipeline.store.environment import EnvironmentStatus
from kumoi.pipeline.store.run import Run, RunStatus

KEPT = HELLO + "keep: true\n"
BALANCED = (
    KEPT.replace(", ports: [80]", "").replace("{on: web}}", "{on: front}}")
    + "load_balancers:\n  front: {listeners: [{on: web}]}\n"
)
PLACES_MAX = 200


def ids(world: World) -> dict[str, str]:
    """Every object's id, by its noun and short name."""
    return {
        f"{made.resource.noun} {made.resource.name.partition('-')[2][13:]}": made.resource.id
        for made in world.cloud.made.values()
    }


def end(world: World, of: Run) -> None:
    """Nothing is left at the end."""
    with world.database.write() as connection:
        deletion.request(connection, world.environment(of), "asked for")
    drive(world, world.settle)
    assert world.cloud.made == {}
    assert world.environment(of).status == EnvironmentStatus.DELETED


def test_a_second_push_of_the_same_makes_nothing_and_is_verified(world: World) -> None:
    first = world.push(KEPT, sequence=1)
    world.verify(first)
    before = ids(world)
    second = world.push(KEPT, sequence=2)
    world.verify(second)
    assert ids(world) == before
    assert world.run(second).status == RunStatus.VERIFIED
    assert world.environment(second).id == world.environment(first).id
    assert world.environment(second).newest_run_id == second.id
    end(world, second)


def test_a_push_that_does_not_keep_builds_afresh(world: World) -> None:
    first = world.push(KEPT, sequence=1)
    world.verify(first)
    second = world.push(HELLO, sequence=2)
    world.verify(second)
    assert world.environment(first).status == EnvironmentStatus.DELETED
    assert world.environment(second).id != world.environment(first).id


def test_only_what_differs_is_made_anew(world: World) -> None:
    world.cloud.images.add("debian-13")
    first = world.push(BALANCED, sequence=1)
    world.verify(first)
    before = ids(world)
    text = BALANCED.replace("count: 2", "count: 3") + "  # and a database\n"
    text = text.replace("servers:\n", "servers:\n  db: {image: debian-13, flavor: small}\n")
    second = world.push(text, sequence=2)
    world.verify(second)
    after = ids(world)
    assert {name for name in after if before.get(name) != after[name]} == {
        "port db-1",
        "port web-3",
        "server db-1",
        "server web-3",
    }
    third = world.push(text.replace("debian-13", "debian-12"), sequence=3)
    world.verify(third)
    assert {name for name, id_ in ids(world).items() if after[name] != id_} == {"server db-1"}
    fourth = world.push(BALANCED, sequence=4)
    world.verify(fourth)
    assert ids(world) == before
    end(world, fourth)


def test_the_job_of_a_kept_environment_goes_to_the_runner_that_is_there(world: World) -> None:
    first = world.push(KEPT, sequence=1)
    world.verify(first)
    second = world.push(KEPT, sequence=2)
    world.settle(until_s=5)
    with world.database.read() as connection:
        old, new = runner.get(connection, first.id), runner.get(connection, second.id)
    assert old is not None
    assert new is not None
    assert (old.job, old.private_key, old.token_hash) == (None, "", "")
    assert new.job is not None
    assert new.job["kept"]
    assert new.public_key == old.public_key


def test_a_runner_that_does_not_take_the_job_is_made_anew(world: World) -> None:
    first = world.push(KEPT, sequence=1)
    world.verify(first)
    before = ids(world)
    second = world.push(KEPT, sequence=2)
    world.settle(until_s=pipeline_run.RUNNER_KEPT_S + 10)
    assert {name for name, id_ in ids(world).items() if before[name] != id_} == {"server runner"}
    with world.database.read() as connection:
        row = runner.get(connection, second.id)
    assert row is not None
    (server,) = [
        made for name, made in world.cloud.named(Noun.SERVER).items() if name.endswith("-runner")
    ]
    assert row.token in server.user_data
    world.verify(second)
    assert world.run(second).status == RunStatus.VERIFIED


def test_a_build_that_is_refused_leaves_the_kept_environment_as_it_was(world: World) -> None:
    first = world.push(KEPT, sequence=1)
    world.verify(first)
    before = ids(world)
    second = world.push(KEPT.replace("debian-12,", "debian-99,"), sequence=2)
    world.settle()
    assert world.run(second).reason == "there is no image 'debian-99' (servers.web.image)"
    assert world.environment(second).status == EnvironmentStatus.LIVE
    assert ids(world) == before
    third = world.push(KEPT, sequence=3)
    world.verify(third)
    assert world.run(third).status == RunStatus.VERIFIED
    assert ids(world) == before


def test_a_push_that_comes_while_the_first_is_built_takes_it_back_and_builds_afresh(
    world: World,
) -> None:
    first = world.push(KEPT, sequence=1)
    for _ in range(3):
        world.turn()
    second = world.push(KEPT, sequence=2)
    world.verify(second)
    assert world.environment(first).status == EnvironmentStatus.DELETED
    assert world.run(second).status == RunStatus.VERIFIED


def test_a_newer_push_ends_the_older_one_before_it_touches_their_environment(
    world: World,
) -> None:
    first = world.push(KEPT, sequence=1)
    world.verify(first)
    second = world.push(KEPT.replace("count: 2", "count: 3"), sequence=2)
    world.turn()
    third = world.push(KEPT, sequence=3)
    world.verify(third)
    assert world.run(second).reason == f"run {third.id} is newer"
    assert world.run(third).status == RunStatus.VERIFIED
    assert world.environment(third).id == world.environment(first).id
    assert "server web-3" not in ids(world)


def test_what_is_deleted_while_a_run_changes_it_is_deleted_after_the_run(world: World) -> None:
    first = world.push(KEPT, sequence=1)
    world.verify(first)
    second = world.push(KEPT.replace("count: 2", "count: 3"), sequence=2)
    world.turn()
    end(world, second)
    assert world.run(second).status == RunStatus.CANCELLED


def test_a_cloud_without_balancers_says_so_before_anything_is_built(world: World) -> None:
    world.cloud.services.remove(BALANCING)
    new = world.push(BALANCED)
    world.settle()
    assert world.run(new).reason == "the cloud offers no load balancers (load_balancers.front)"
    assert world.cloud.created == 0


def test_the_url_and_the_check_are_the_balancers(world: World) -> None:
    new = world.push(BALANCED)
    world.settle(until_s=5)
    with world.database.read() as connection:
        row = runner.get(connection, new.id)
    assert row is not None
    assert row.job is not None
    (address,) = [made.resource.address for made in world.cloud.named(Noun.FLOATING_IP).values()]
    assert row.job["verify"][0]["ends"] == [{"name": "front", "address": address}]
    world.verify(new)
    assert world.environment(new).url == f"http://{address}/"


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    ("moment", "trouble"),
    [("before", Killed), ("after", Killed), ("before", lambda: Transient("busy"))],
    ids=["killed before", "killed after", "busy"],
)
def test_a_change_that_is_killed_or_fails_for_a_moment_at_any_call_ends_as_any_other(
    small_world: World, moment: str, trouble: type[Killed]
) -> None:
    world = small_world
    world.cloud.images.add("debian-13")
    changed = BALANCED.replace("count: 2", "count: 3").replace("debian-12,", "debian-13,")
    for place in range(1, PLACES_MAX):
        branch = f"try-{place}"
        first = world.push(BALANCED, branch=branch, sequence=1)
        world.verify(first)
        at = At(place, trouble)
        setattr(world.cloud, moment, at)
        second = world.push(changed, branch=branch, sequence=2)
        drive(world, lambda new=second: world.verify(new))  # type: ignore[misc]
        setattr(world.cloud, moment, lambda _call: None)
        assert world.run(second).status == RunStatus.VERIFIED
        assert len(world.cloud.named(Noun.SERVER)) == 4
        assert len(world.cloud.made) == 14
        end(world, second)
        if not at.raised:
            return
    raise AssertionError("the story has no end")


def test_a_change_that_is_refused_at_any_call_leaves_an_environment_that_the_next_makes_right(
    small_world: World,
) -> None:
    world = small_world
    changed = BALANCED.replace("count: 2", "count: 3")
    for place in range(1, PLACES_MAX):
        branch = f"try-{place}"
        first = world.push(BALANCED, branch=branch, sequence=1)
        world.verify(first)
        at = At(place, lambda: Permanent("quota exceeded"))
        world.cloud.before = at
        second = world.push(changed, branch=branch, sequence=2)
        world.settle(until_s=5)
        world.cloud.before = lambda _call: None
        if not at.raised:
            return
        assert world.run(second).reason == "quota exceeded"
        third = world.push(changed, branch=branch, sequence=3)
        world.verify(third)
        assert world.run(third).status == RunStatus.VERIFIED
        assert len(world.cloud.made) == 14
        end(world, third)
    raise AssertionError("the story has no end")
