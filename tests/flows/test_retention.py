"""What is kept of runs, and for how long."""

from __future__ import annotations

import dataclasses
from datetime import timedelta
from typing import Any

import sqlalchemy as sa
from tests.flows.world import World

from kumoi.base.secret import Secret
from kumoi.config import CloudSettings
from kumoi.engine.schema import flow
from kumoi.pipeline.deletion import request
from kumoi.pipeline.limits import MIB
from kumoi.pipeline.retention import EVERY_S, Retention
from kumoi.pipeline.store import log, repository, repository_secret, result, retention, run
from kumoi.pipeline.store.repository_secret import RepositorySecret
from kumoi.pipeline.store.run import Run
from kumoi.pipeline.store.tables import metadata

HELLO = "servers:\n  web: {image: debian-12, flavor: small}\n"
MADE_OF_A_RUN = {"commit_status", "environment", "log", "result", "runner"}
MADE_OF_A_REPOSITORY = {
    "branch", "delegation", "environment", "environment_delegation", "repository_secret", "run",
    "webhook",
}  # fmt: skip


def verified(world: World, branch: str, log_size: int) -> Run:
    new = world.push(HELLO, branch)
    with world.database.write() as connection:
        log.append(connection, new.id, 1, "x" * log_size)
    world.verify(new)
    return new


def texts(world: World, *runs: Run) -> list[int]:
    with world.database.read() as connection:
        return [len(log.read(connection, each.id, offset=0)) for each in runs]


def forget(world: World, settings: CloudSettings) -> None:
    Retention(world.database, world.clock, settings).round()
    world.clock.advance(EVERY_S)


def test_the_oldest_logs_of_a_project_that_has_too_many_go_and_no_other_projects(
    world: World,
) -> None:
    settings = dataclasses.replace(CloudSettings(), project_logs_mib=1)
    runs = [verified(world, branch, MIB // 2) for branch in ("a", "b", "c")]
    theirs = world.push(HELLO, "d", repository=world.repository_of("p2"))
    with world.database.write() as connection:
        log.append(connection, theirs.id, 1, "x" * MIB)
    forget(world, settings)
    assert texts(world, *runs, theirs) == [0, MIB // 2, MIB // 2, MIB]
    with world.database.read() as connection:
        assert run.log_size(connection, "p1") == MIB


def test_a_runner_that_sends_a_letter_at_a_time_costs_no_more_for_each_and_fills_no_store(
    world: World,
) -> None:
    """Each letter read all those before it, while nobody else could write."""
    new = world.push(HELLO, "a")

    def steps_of(sequence: int) -> int:
        """How much SQLite does for one; the other database is asked the same."""
        done: list[int] = []
        with world.database.write() as connection:
            raw: Any = connection.connection.dbapi_connection
            if world.database.is_sqlite:
                raw.set_progress_handler(lambda: done.append(1), 10)
            log.append(connection, new.id, sequence, "x")
            if world.database.is_sqlite:
                raw.set_progress_handler(None, 0)
        return len(done)

    first = steps_of(1)
    with world.database.write() as connection:
        for sequence in range(2, 500):
            log.append(connection, new.id, sequence, "x")
    assert steps_of(500) <= 2 * first
    with world.database.write() as connection:
        assert log.append(connection, new.id, 700, "y")
        assert log.append(connection, new.id, 600, "z")
        assert not log.append(connection, new.id, log.BATCHES_MAX + 1, "more rows")
    with world.database.read() as connection:
        assert run.log_size(connection, "p1") == 502
        assert log.read(connection, new.id, offset=500) == "yz"


def test_a_log_goes_after_its_days_and_the_report_stays(world: World) -> None:
    settings = CloudSettings()
    old = verified(world, "a", 10)
    world.clock.advance(settings.run_log_days * 86_400)
    new = verified(world, "b", 10)
    forget(world, settings)
    assert texts(world, old, new) == [0, 10]
    with world.database.read() as connection:
        assert len(result.list_of_run(connection, old.id)) == 2


def test_a_run_goes_after_its_days_with_all_that_is_about_it_but_not_while_its_environment_is_there(
    world: World,
) -> None:
    settings = CloudSettings()
    gone, kept = verified(world, "a", 10), verified(world, "b", 10)
    with world.database.write() as connection:
        request(connection, world.environment(gone), "somebody asked for it")
    world.settle(until_s=10)
    world.clock.advance(61)
    world.expiry.sweep()
    world.clock.advance(settings.run_days * 86_400 - 1)
    environment_id = world.environment(gone).id
    with world.database.write() as connection:  # As if it were extended again and again.
        set_far = (
            metadata.tables["environment"]
            .update()
            .values(expires_at=world.clock.now() + timedelta(days=30))
        )
        connection.execute(set_far)
    forget(world, settings)
    with world.database.read() as connection:
        assert run.get(connection, gone.id) is None
        assert run.get(connection, kept.id) is not None
        subjects = set(connection.execute(sa.select(flow.c.subject)).scalars())
        assert not subjects & {gone.id, environment_id}
        for table in ("log", "result", "runner"):
            ids = sa.select(metadata.tables[table].c.run_id)
            assert gone.id not in set(connection.execute(ids).scalars())
    assert world.environment(kept).status == "live"


def test_of_a_project_that_runs_without_end_the_newest_runs_are_kept(world: World) -> None:
    settings = dataclasses.replace(CloudSettings(), project_runs_kept=2)
    kept = "keep: true\n" + HELLO
    runs = [world.push(kept, sequence=1)]
    world.verify(runs[0])
    for sequence in range(2, 7):
        world.clock.advance(1)
        runs.append(world.push(kept, sequence=sequence))
        world.settle(until_s=2)
    world.verify(runs[-1])
    theirs = world.push(HELLO, "d", repository=world.repository_of("p2"))
    world.verify(theirs)
    forget(world, settings)
    with world.database.read() as connection:
        left = {each.id for each in run.list_of_project(connection, "p1")}
        assert run.get(connection, theirs.id) is not None
    assert left == {runs[0].id, runs[-1].id}  # That made the environment, and the newest.
    assert world.environment(runs[-1]).status == "live"


def test_a_repository_goes_with_everything(world: World) -> None:
    old = verified(world, "a", 10)
    with world.database.write() as connection:
        repository_secret.put(
            connection,
            RepositorySecret(
                world.repository.id, "TOKEN", Secret("x" * 8), world.clock.now(), "demo"
            ),
        )
        assert "delete that first" in retention.in_use(connection, world.repository.id)
        request(connection, world.environment(old), "somebody asked for it")
    world.settle(until_s=10)
    with world.database.read() as connection:
        assert "is being deleted" in retention.in_use(connection, world.repository.id)
    world.clock.advance(61)
    world.expiry.sweep()
    with world.database.write() as connection:
        assert retention.in_use(connection, world.repository.id) == ""
        retention.forget_repository(connection, world.repository.id)
    with world.database.read() as connection:
        assert repository.get(connection, world.repository.id) is None
        left = {
            name: connection.execute(sa.select(sa.func.count()).select_from(table)).scalar()
            for name, table in metadata.tables.items()
            if name not in ("script", "audit", "lease")
        }
    assert {name: count for name, count in left.items() if count} == {}


def test_every_table_about_a_run_is_forgotten_with_it() -> None:
    """A new table that names a run is a line in store/retention.py."""
    assert _about("run") == MADE_OF_A_RUN
    assert _about("repository") == MADE_OF_A_REPOSITORY


def _about(noun: str) -> set[str]:
    return {
        name
        for name, table in metadata.tables.items()
        if f"{noun}_id" in table.columns
        or any(key.column.table.name == noun for key in table.foreign_keys)
    }
