"""A pipeline run: receive, build, configure, verify, report.

The steps are fixed and whoever pushed waits for the outcome, so this is a flow. Building and
deleting are calls of the cloud's APIs with the pusher's delegation; configuring and verifying
happen on the runner, whose posts wake the flow. A build that fails deletes what it made; once all
servers are active, a failed run leaves them until the time to live is over, for people to look at.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import msgspec
from sqlalchemy.engine import Connection

from kumoi.base import log
from kumoi.base.clock import Clock
from kumoi.base.errors import Bug, OverQuota, Permanent
from kumoi.config import CloudSettings, HostSettings
from kumoi.engine import flow as flows
from kumoi.engine.db import Database
from kumoi.engine.flow import Done, FlowChange, FlowKind, Next, Outcome, Wait, step
from kumoi.pipeline import (
    build,
    configure,
    deletion,
    keys,
    limits,
    queue,
    repository_secret,
    verify,
)
from kumoi.pipeline.cloud import Cloud, Noun, WantedResource
from kumoi.pipeline.environment import EnvironmentFile
from kumoi.pipeline.plan import plan
from kumoi.pipeline.resources import RUNNER, CloudIds, RunnerInputs, prefix, resources
from kumoi.pipeline.runner.script import user_data
from kumoi.pipeline.stage import Stage
from kumoi.pipeline.store import (
    environment,
    environment_key,
    repository,
    result,
    run,
    runner,
    script,
)
from kumoi.pipeline.store.run import Run, RunStatus

BUILD_DEADLINE_S = 300.0
QUEUE_DEADLINE_S = 86_400.0
QUEUE_AGAIN_S = 5.0  # The end of another run wakes the flow earlier.
SERVERS_AGAIN_S = 0.3
RUNNER_AGAIN_S = 5.0  # Its posts wake the flow earlier.
RUNNER_CLAIM_S = 180.0  # From ACTIVE to its first call.
RUNNER_SILENT_S = 60.0
RUNNER_KEPT_S = 20.0  # As RUNNER_CLAIM_S, of one that waits for the job.
FOREVER_S = 7 * 86_400.0  # Bounded by `run_deadline_s`, which keeps the servers.

STAGES = {
    "queue": Stage.RECEIVE,
    "receive": Stage.RECEIVE,
    "build": Stage.BUILD,
    "build_network": Stage.BUILD,
    "build_servers": Stage.BUILD,
    "await_servers": Stage.BUILD,
    "configure": Stage.CONFIGURE,
    "renew_runner": Stage.CONFIGURE,
    "verify": Stage.VERIFY,
    "report": Stage.REPORT,
}


class RunState(msgspec.Struct):
    run_id: str
    environment_id: str
    place: CloudIds = msgspec.field(default_factory=CloudIds)
    built: build.Built = msgspec.field(default_factory=build.Built)
    active_at: datetime | None = None
    failure: str = ""
    renewed_runner: bool = False
    has_room: bool = False  # Not asked again: what is made counts as used.


@dataclass(frozen=True, slots=True)
class RunContext:
    """The settings and services that the steps use. `began_at` is when this process started: a
    runner could not reach the pipeline before. `script` is this release's, for runs that begin
    here.
    """

    cloud: CloudSettings
    host: HostSettings
    database: Database
    clock: Clock
    open_cloud: Callable[[str], Cloud]  # By the environment's id.
    began_at: datetime
    script: str


class PipelineRun:
    """The steps. `state` holds what one step leaves to a later one; all else is in rows."""

    def __init__(self, state: RunState, context: RunContext) -> None:
        self.state = state
        self.context = context
        with context.database.read() as connection:
            run_row = run.get(connection, state.run_id)
            environment_row = environment.get(connection, state.environment_id)
        if run_row is None or environment_row is None:
            raise Bug("the run or its environment is not in the store")
        self.run = run_row
        self.environment = environment_row
        self.wanted = msgspec.convert(environment_row.wanted, EnvironmentFile)

    @step(undo="delete_environment", deadline_s=QUEUE_DEADLINE_S)
    def queue(self) -> Outcome:
        """Wait for the run's turn."""
        if not self.run.is_queued:
            return Next("receive")
        now = self.context.clock.now()
        with self.context.database.write(wakes=False) as connection:
            stands = queue.ask(connection, self.context.cloud, self.run.id, now)
        return Next("receive") if stands is None else Wait(str(stands), QUEUE_AGAIN_S)

    @step(undo="delete_environment", deadline_s=BUILD_DEADLINE_S)
    def receive(self) -> Outcome:
        """Make the runner's secrets and settle its script; cancel the branch's older runs, and let
        those end that work on the same environment.
        """
        with self.context.database.write() as connection:
            if runner.get(connection, self.run.id) is None:
                digest = script.ensure(connection, self.context.script)
                key = environment_key.get(connection, self.environment.id)
                if key is None:
                    key = keys.new_key(self.environment.id)
                    environment_key.add(connection, key)
                runner.add(connection, keys.new_runner(self.run.id, digest, key))
            older_runs = run.list_older(connection, self.run)
            for older in older_runs:
                if older.status == RunStatus.RUNNING:
                    flows.cancel(connection, older.id, f"run {self.run.id} is newer")
            for older in older_runs:
                mine = older.environment_id == self.environment.id
                if mine and flows.is_going_on(connection, older.id):
                    return Wait(f"run {older.id} to end", SERVERS_AGAIN_S)
        return Next("build")

    @step(undo="delete_environment", deadline_s=BUILD_DEADLINE_S)
    def build(self) -> Outcome:
        """Read what is there, and make of it what is wanted."""
        cloud = self._cloud()
        if not self.state.place.external_id:
            self._require_secrets()
            self.state.place = build.look_up(cloud, self.wanted)
        found = build.list_existing(cloud, self.environment.id)
        wanted = self._resources()
        actions = plan(wanted, found)
        if not self.state.has_room:
            build.require_room(cloud, self.wanted, self.state.place, actions)
            self._take_disk()
            self.state.has_room = True
        applied = build.apply(cloud, wanted, found, actions)
        if applied.waits_for:
            return Wait(applied.waits_for, SERVERS_AGAIN_S)
        made = applied.made.values()
        self.state.built = build.built(self.environment.id, self.wanted, made)
        with self.context.database.write() as connection:
            runner.set_job(connection, self.run.id, self._job(connection))
            where = build.url(self.wanted, self.state.built)
            addresses = build.addresses(self.state.built)
            environment.set_url(connection, self.environment.id, where, addresses)
        return Next("await_servers")

    # Where a release before 0.3 left off.
    @step(undo="delete_environment", deadline_s=BUILD_DEADLINE_S)
    def build_network(self) -> Outcome:
        return Next("build")

    @step(undo="delete_environment", deadline_s=BUILD_DEADLINE_S)
    def build_servers(self) -> Outcome:
        return Next("build")

    @step(undo="delete_environment", deadline_s=BUILD_DEADLINE_S)
    def await_servers(self) -> Outcome:
        cloud, name = self._cloud(), prefix(self.environment.id)
        nouns = [Noun.SERVER, *([Noun.LOAD_BALANCER] if self.wanted.load_balancers else [])]
        found = [each for noun in nouns for each in cloud.list_resources(noun, name)]
        not_active = build.not_active(found, self.environment.id, self.wanted)
        if not_active:
            return Wait(not_active, SERVERS_AGAIN_S)
        self.state.active_at = self.context.clock.now()
        return Next("configure")

    # No undo from here on: the servers stay for people to look at, until they expire.
    @step(undo=None, deadline_s=FOREVER_S)
    def configure(self) -> Outcome:
        if self._runner_is_lost():
            return Next("renew_runner")
        return self._await_stage(Stage.CONFIGURE, configure.failure, then="verify")

    @step(undo=None, deadline_s=BUILD_DEADLINE_S)
    def renew_runner(self) -> Outcome:
        """A kept environment's runner did not take its job: another one is made in its place."""
        self.state.renewed_runner = True
        cloud, name = self._cloud(), prefix(self.environment.id)
        servers = cloud.list_resources(Noun.SERVER, name)
        lost = [each for each in servers if each.name == f"{name}-{RUNNER}"]
        if lost:
            build.delete(cloud, lost)
            return Wait("the old runner to go", SERVERS_AGAIN_S)
        return Next("build")

    @step(undo=None, deadline_s=FOREVER_S)
    def verify(self) -> Outcome:
        return self._await_stage(Stage.VERIFY, verify.failure, then="report")

    @step(undo=None, deadline_s=BUILD_DEADLINE_S)
    def report(self) -> Outcome:
        """Close the run. A verified one replaces the branch's older environments."""
        failure = self.state.failure
        now = self.context.clock.now()
        with self.context.database.write() as connection:
            if not failure:
                for older in environment.list_live_of_branch(
                    connection, self.run.repository_id, self.run.branch
                ):
                    if older.created_at < self.environment.created_at:
                        reason = f"run {self.run.id} is verified and newer"
                        deletion.request(connection, older, reason)
            status = RunStatus.FAILED if failure else RunStatus.VERIFIED
            before = Stage.REPORT if failure else None
            _end(connection, self.run.id, status, failure, now, before=before)
        return Done()

    def delete_environment(self) -> Outcome:
        """Undo: start the flow that deletes the environment, unless an earlier run made it: then it
        stays as it is, and the next push makes it right.
        """
        with self.context.database.write() as connection:
            found = environment.get(connection, self.environment.id)
            is_live = found is not None and found.status == environment.EnvironmentStatus.LIVE
            if found is not None and is_live and found.run_id == self.run.id:
                deletion.begin(connection, found, "its build was taken back")
        return Done()

    def _await_stage(
        self, stage: Stage, failure_of: Callable[[result.Result], str], *, then: str
    ) -> Outcome:
        with self.context.database.read() as connection:
            found = {each.stage: each for each in result.list_of_run(connection, self.run.id)}
        if stage in found:
            self.state.failure = failure_of(found[stage])
            return Next("report" if self.state.failure else then)
        self.state.failure = self._runner_failure(stage)
        return Next("report") if self.state.failure else Wait("the runner", RUNNER_AGAIN_S)

    def _require_secrets(self) -> None:
        """Raises Permanent. A push was told by its hook; a retry and a fetched commit are told here."""
        with self.context.database.read() as connection:
            fault = repository_secret.missing(connection, self.run.repository_id, self.wanted)
        if fault:
            raise Permanent(fault)

    def _take_disk(self) -> None:
        """Of what the project's environments may have together. Raises Permanent."""
        disk_gib = build.disk_gib(self.wanted, self.state.place)
        with self.context.database.write(wakes=False) as connection:
            try:
                limits.require_disk(
                    connection,
                    self.context.cloud,
                    self.environment.project_id,
                    disk_gib,
                    instead_of={self.environment.id},
                )
            except OverQuota as over:
                raise Permanent(over.message) from over
            environment.set_disk(connection, self.environment.id, disk_gib)

    def _runner_is_lost(self) -> bool:
        """Whether a runner of an earlier run was to take this one's job, and does not."""
        if self.environment.run_id == self.run.id or self.state.renewed_runner:
            return False
        since = max(filter(None, (self.state.active_at, self.context.began_at)))
        silent_s = (self.context.clock.now() - since).total_seconds()
        return not self._runner().session_hash and silent_s > RUNNER_KEPT_S

    def _runner_failure(self, stage: Stage) -> str:
        """Why the stage's result will not come any more; empty while it still may."""
        now = self.context.clock.now()
        began_at = self.run.admitted_at or self.run.created_at
        if now - began_at > timedelta(seconds=self.context.cloud.run_deadline_s):
            return f"{stage}: the run took longer than {self.context.cloud.run_deadline_s} s"
        seen_at = self._runner().seen_at
        silent_since = max(filter(None, (seen_at, self.state.active_at, self.context.began_at)))
        silent_max_s = RUNNER_SILENT_S if seen_at else RUNNER_CLAIM_S
        if (now - silent_since).total_seconds() > silent_max_s:
            what = "has been silent" if seen_at else "did not call"
            return f"{stage}: the runner {what} for {silent_max_s:g} s"
        return ""

    def _job(self, connection: Connection) -> dict[str, Any]:
        owner = repository.get(connection, self.run.repository_id)
        return {
            "run": self.run.id,
            "environment": self.environment.id,
            "repository": owner.name if owner else "",
            "branch": self.run.branch,
            "commit": self.run.commit,
            "name": self.wanted.name,
            "kept": self.wanted.keep,
            "secrets": list(self.wanted.secret_places),  # Their values go by the claim's answer.
            "url": build.url(self.wanted, self.state.built),
            "servers": build.servers(self.wanted, self.state.built),
            "configure": configure.tasks(self.wanted),
            "verify": verify.tasks(self.wanted, self.state.built),
        }

    def _resources(self) -> list[WantedResource]:
        """With the runner's script of the release that began the run."""
        found = self._runner()
        with self.context.database.read() as connection:
            source = script.get(connection, found.script)
        if source is None:
            raise Bug("the runner's script is not in the store")
        text = user_data(self.context.cloud, self.context.host, source, found.token)
        return resources(
            self.environment.id,
            self.wanted,
            self.state.place,
            RunnerInputs(text, found.script, found.public_key),
            {
                "kumoi_run": self.run.id,
                "kumoi_environment": self.environment.id,
                "kumoi_commit": self.run.commit,
                "kumoi_owner": self.run.owner,
            },
        )

    def _runner(self) -> runner.Runner:
        with self.context.database.read() as connection:
            found = runner.get(connection, self.run.id)
        if found is None:
            raise Bug("the run's runner is not in the store")
        return found

    def _cloud(self) -> Cloud:
        return self.context.open_cloud(self.environment.id)


def begin(connection: Connection, new_run: Run, new_environment: environment.Environment) -> None:
    """Add the rows of a run and its environment and start its flow, in the caller's transaction."""
    run.add(connection, replace(new_run, environment_id=new_environment.id))
    environment.add(connection, new_environment)
    _start(connection, new_run, new_environment)


def go_on(
    connection: Connection,
    new_run: Run,
    kept: environment.Environment,
    wanted: dict[str, Any],
    expires_at: datetime,
) -> None:
    """As `begin`, in an environment that is there."""
    run.add(connection, replace(new_run, environment_id=kept.id))
    environment.set_run(connection, kept.id, new_run.id, wanted, expires_at)
    _start(connection, new_run, kept)


def _start(connection: Connection, new_run: Run, of: environment.Environment) -> None:
    state = RunState(run_id=new_run.id, environment_id=of.id)
    flows.start(connection, KIND, new_run.id, state, subject=new_run.id)


def _on_change(connection: Connection, change: FlowChange) -> None:
    """The run's row follows its flow."""
    if change.status == flows.FlowStatus.RUNNING:
        run.enter(connection, change.subject, STAGES[change.step], change.waits_for, change.at)
    elif change.status != flows.FlowStatus.DONE:
        status = RunStatus.CANCELLED if change.cancelled else RunStatus.FAILED
        _end(connection, change.subject, status, change.failure, change.at)


def _end(
    connection: Connection,
    run_id: str,
    status: RunStatus,
    reason: str,
    now: datetime,
    *,
    before: Stage | None = None,
) -> None:
    """End the run's row, unless it has ended, and forget the secrets of its runner. `before` is as in
    `run.end`.
    """
    found = environment.of_run(connection, run.get(connection, run_id))
    is_kept = found is not None and bool(found.wanted.get("keep"))
    runner.forget_secrets(connection, run_id, keep_session=is_kept)
    if run.end(connection, run_id, status, reason, now, before=before):
        log.event("run.ended", run=run_id, status=status, reason=reason)
        queue.wake_next(connection)


KIND = FlowKind("run", RunState, PipelineRun, "queue", _on_change, version=3)
