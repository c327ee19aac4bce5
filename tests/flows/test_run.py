"""What becomes of a run, told through its flow."""

from __future__ import annotations

from datetime import timedelta

import pytest
from tests.flows.fake_cloud import REFUSED, FakeObject
from tests.flows.world import HELLO, SCRIPT, World

from kumoi.base.secret import Secret
from kumoi.pipeline import expire
from kumoi.pipeline import run as pipeline_run
from kumoi.pipeline.cloud import CloudResource, Noun
from kumoi.pipeline.stage import Stage
from kumoi.pipeline.store import delegation, environment_key, runner
from kumoi.pipeline.store import environment as environments
from kumoi.pipeline.store.delegation import Delegation
from kumoi.pipeline.store.run import Run, RunStatus


def test_a_good_commit_ends_verified_and_its_environment_lives(world: World) -> None:
    new = world.push()
    world.verify(new)
    assert world.run(new).status == RunStatus.VERIFIED
    assert [each["name"] for each in world.run(new).stages] == list(Stage)
    assert all(each["ended_at"] for each in world.run(new).stages)
    lived = world.environment(new)
    assert lived.status == environments.EnvironmentStatus.LIVE
    assert lived.url.startswith("http://10.0.0.")
    names = sorted(made.resource.name for made in world.cloud.made.values())
    assert names == [
        f"env-{lived.id}",  # Keypair,
        f"env-{lived.id}",  # network,
        f"env-{lived.id}",  # router,
        f"env-{lived.id}",  # and the security group of all.
        f"env-{lived.id}-runner",
        f"env-{lived.id}-runner",
        f"env-{lived.id}-web",  # Security group and floating IP of the web servers.
        f"env-{lived.id}-web",
        f"env-{lived.id}-web-1",
        f"env-{lived.id}-web-1",
        f"env-{lived.id}-web-2",
        f"env-{lived.id}-web-2",
    ]


def test_the_runner_is_told_what_it_needs_and_nothing_is_kept_after(world: World) -> None:
    new = world.push()
    world.settle(until_s=5)
    with world.database.read() as connection:
        row = runner.get(connection, new.id)
    assert row is not None
    assert row.job is not None
    assert [each["name"] for each in row.job["servers"]] == ["web-1", "web-2"]
    assert row.job["verify"][0]["http"]["port"] == 80
    (step,) = row.job["configure"]
    assert (step["on"], step["run"], step["timeout_s"]) == ("web", "./deploy/web.sh", 1_800)
    world.verify(new)
    with world.database.read() as connection:
        row = runner.get(connection, new.id)
    assert row is not None
    assert (row.private_key, row.token_hash, row.job) == ("", "", None)


def test_a_failed_verify_is_told_and_keeps_the_servers(world: World) -> None:
    new = world.push()
    world.settle(until_s=5)
    world.runner_tells(new, "configure")
    world.runner_tells(new, "verify", passed=False, reason="port 80 is closed")
    world.settle(until_s=5)
    assert world.run(new).status == RunStatus.FAILED
    assert world.run(new).reason == "verify: port 80 is closed"
    assert world.environment(new).status == environments.EnvironmentStatus.LIVE


def test_an_unknown_image_fails_the_build_with_one_clear_line_and_leaves_nothing(
    world: World,
) -> None:
    new = world.push(HELLO.replace("debian-12", "debian-99"))
    world.settle()
    assert world.run(new).status == RunStatus.FAILED
    assert world.run(new).stage == Stage.BUILD
    assert world.run(new).reason == "there is no image 'debian-99' (servers.web.image)"
    assert world.cloud.made == {}
    assert world.environment(new).status == environments.EnvironmentStatus.DELETED


def test_a_quota_that_does_not_suffice_is_said_before_anything_is_built(world: World) -> None:
    world.cloud.left = {"servers": 3, "vcpus": 2, "ports": 10}
    new = world.push()
    world.settle()
    assert world.run(new).reason == ("the quota does not suffice: 3 vcpus are needed, 2 are left")
    assert world.cloud.created == 0


def test_a_server_that_cannot_be_built_fails_the_build_and_all_is_taken_back(
    world: World,
) -> None:
    world.cloud.broken_server = "web-2"
    new = world.push()
    world.settle()
    assert world.run(new).reason == "server web-2 could not be built: no valid host was found"
    assert world.cloud.made == {}


def test_a_runner_that_never_calls_fails_the_run(world: World) -> None:
    new = world.push()
    world.settle(until_s=pipeline_run.RUNNER_CLAIM_S + 30)
    assert world.run(new).reason == "configure: the runner did not call for 180 s"


def test_a_runner_that_falls_silent_fails_the_run(world: World) -> None:
    new = world.push()
    world.settle(until_s=5)
    world.runner_tells(new, "configure")
    world.settle(until_s=pipeline_run.RUNNER_SILENT_S + 30)
    assert world.run(new).reason == "verify: the runner has been silent for 60 s"


def test_silence_while_the_pipeline_was_down_is_not_the_runners(world: World) -> None:
    new = world.push()
    world.settle(until_s=5)
    world.runner_tells(new, "configure")
    world.settle(until_s=5)
    world.clock.advance(3_000)
    world.restart()
    world.settle(until_s=30)
    assert world.run(new).status == RunStatus.RUNNING


def test_a_run_that_takes_too_long_fails(world: World) -> None:
    new = world.push()
    world.settle(until_s=5)
    world.runner_tells(new, "configure")
    world.clock.advance(3_601)
    world.restart()
    world.settle(until_s=10)
    assert world.run(new).reason == "verify: the run took longer than 3600 s"


def test_a_newer_push_ends_the_older_run_and_its_environment(world: World) -> None:
    older = world.push(sequence=1)
    world.settle(until_s=5)
    newer = world.push(sequence=2)
    world.verify(newer)
    assert world.run(older).status == RunStatus.CANCELLED
    assert world.run(older).reason == f"run {newer.id} is newer"
    assert world.environment(older).status == environments.EnvironmentStatus.DELETED
    assert world.run(newer).status == RunStatus.VERIFIED


def test_an_older_environment_goes_when_the_newer_is_verified_and_not_before(
    world: World,
) -> None:
    older = world.push(sequence=1)
    world.verify(older)
    newer = world.push(sequence=2)
    world.settle(until_s=5)
    assert world.environment(older).status == environments.EnvironmentStatus.LIVE
    world.verify(newer)
    assert world.environment(older).status == environments.EnvironmentStatus.DELETED
    assert world.environment(newer).status == environments.EnvironmentStatus.LIVE


def test_branches_do_not_replace_each_other(world: World) -> None:
    one, other = world.push(branch="main"), world.push(branch="try")
    world.verify(one)
    world.verify(other)
    assert world.environment(one).status == environments.EnvironmentStatus.LIVE
    assert world.environment(other).status == environments.EnvironmentStatus.LIVE


def test_an_environment_goes_when_its_time_is_over(world: World) -> None:
    new = world.push()
    world.verify(new)
    world.clock.advance(timedelta(hours=24).total_seconds())
    world.expiry.expire()
    world.settle()
    assert world.environment(new).status == environments.EnvironmentStatus.DELETED
    assert world.cloud.made == {}


def test_the_sweeper_finds_what_came_late(world: World) -> None:
    new = world.push(HELLO.replace("debian-12", "debian-99"))
    world.settle()
    late = CloudResource(Noun.NETWORK, f"env-{world.environment(new).id}", "late")
    world.cloud.made["late"] = FakeObject(late)
    world.clock.advance(61)
    world.expiry.sweep()
    world.settle()
    assert world.cloud.made == {}
    world.clock.advance(61)
    world.expiry.sweep()
    assert world.environment(new).swept_at is not None


def test_a_run_goes_on_with_the_runner_of_the_release_that_began_it(world: World) -> None:
    new = world.push()
    assert world.turn()  # Its turn has come,
    assert world.turn()  # and it has been received.
    world.restart(script=SCRIPT + "# The next release's.\n")
    world.verify(new)
    assert world.run(new).status == RunStatus.VERIFIED
    assert "next release" not in runner_server(world, new).user_data
    newer = world.push(sequence=2)
    world.verify(newer)
    assert "next release" in runner_server(world, newer).user_data


def test_every_server_says_of_which_commit_it_is(world: World) -> None:
    new = world.push()
    world.settle(until_s=10)
    servers = [made for made in world.cloud.made.values() if made.resource.noun == Noun.SERVER]
    assert {made.metadata["kumoi_commit"] for made in servers} == {new.commit}


def runner_server(world: World, of: Run) -> FakeObject:
    name = f"env-{world.environment(of).id}-runner"
    (found,) = (
        made
        for made in world.cloud.made.values()
        if made.resource.name == name and made.resource.noun == Noun.SERVER
    )
    return found


GIVEN_UP = "the cloud takes no credential for it any more, as when its project is gone"


@pytest.mark.parametrize("turns", [0, 3, 6, 40])
def test_a_project_that_goes_meanwhile_ends_its_run_and_at_last_its_environment(
    world: World, turns: int
) -> None:
    new = world.push()
    acting = Delegation("c1", Secret("s"), is_own=True)
    with world.database.write() as connection:
        now, key = world.clock.now(), world.environment(new).id
        delegation.add(connection, world.repository.id, key, acting, now)
    for _ in range(turns):
        if not world.turn():
            world.clock.advance(1)
    world.cloud.refuses = True
    world.settle(until_s=pipeline_run.RUNNER_CLAIM_S + 30)
    assert world.run(new).status == RunStatus.FAILED
    if world.run(new).stage == Stage.BUILD:
        assert world.run(new).reason == REFUSED
        stuck = world.environment(new)
        assert stuck.status == environments.EnvironmentStatus.DELETING
        assert stuck.reason == f"could not be deleted: {REFUSED}"
    _give_time(world)
    left = world.environment(new)
    assert left.status == environments.EnvironmentStatus.DELETED
    assert left.reason.startswith(GIVEN_UP)
    assert f"env-{left.id}: an administrator" in left.reason
    assert left.swept_at is not None
    assert world.ended == [acting]
    assert left.deletions < 100
    with world.database.read() as connection:
        assert environment_key.get(connection, left.id) is None


def test_what_can_be_deleted_again_before_it_is_given_up_is(world: World) -> None:
    new = world.push()
    world.settle(until_s=5)
    world.cloud.refuses = True
    world.settle(until_s=pipeline_run.RUNNER_CLAIM_S + 30)
    world.clock.advance(timedelta(hours=25).total_seconds())
    world.settle(until_s=5)
    assert world.environment(new).status == environments.EnvironmentStatus.DELETING
    world.cloud.refuses = False
    world.clock.advance(expire.RETRY_MOST_S)
    world.settle()
    assert world.environment(new).status == environments.EnvironmentStatus.DELETED
    assert world.cloud.made == {}


def test_a_project_that_goes_before_the_sweeper_has_looked_is_not_swept_for_ever(
    world: World,
) -> None:
    new = world.push()
    world.verify(new)
    world.clock.advance(timedelta(hours=24).total_seconds())
    world.settle(until_s=10)
    assert world.environment(new).status == environments.EnvironmentStatus.DELETED
    reason = world.environment(new).reason
    world.cloud.refuses = True
    _give_time(world)
    assert world.environment(new).swept_at is not None
    assert world.environment(new).reason == reason, "it was deleted"


def _give_time(world: World) -> None:
    """Two days and more, in which the loops look once in a while."""
    for _ in range(30):
        world.clock.advance(timedelta(hours=2).total_seconds())
        world.expiry.expire()
        world.expiry.sweep()
        world.settle(until_s=1)
