"""A pipeline run: receive, build, configure, verify, report.

The steps are fixed and whoever pushed waits for the outcome, so this is a flow. Building and
deleting are calls of the cloud's APIs with the pusher's delegation; configuring and verifying
happen on the runner, whose posts wake the flow. A build that fails deletes what it made; once all
servers are active, a failed run leaves them until the time to live is over, for people to look at.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import msgspec
from sqlalchemy.engine import Connection

from kumoi.base import log
from kumoi.base.clock import Clock
from kumoi.base.errors import Bug
from kumoi.config import CloudSettings, HostSettings
from kumoi.engine import flow as flows
from kumoi.engine.db import Database
from kumoi.engine.flow import Done, FlowChange, FlowKind, Next, Outcome, Wait, step
from kumoi.pipeline import build, configure, deletion, keys, verify
from kumoi.pipeline.cloud import Cloud
from kumoi.pipeline.environment import EnvironmentFile
from kumoi.pipeline.runner.script import user_data
from kumoi.pipeline.stage import Stage
from kumoi.pipeline.store import environment, repository, result, run, runner, script
from kumoi.pipeline.store.run import Run, RunStatus

BUILD_DEADLINE_S = 300.0
SERVERS_AGAIN_S = 0.3
RUNNER_AGAIN_S = 5.0  # Its posts wake the flow earlier.
RUNNER_CLAIM_S = 180.0  # From ACTIVE to its first call.
RUNNER_SILENT_S = 60.0
FOREVER_S = 7 * 86_400.0  # Bounded by `run_deadline_s`, which keeps the servers.

STAGES = {
    "receive": Stage.RECEIVE,
    "build_network": Stage.BUILD,
    "build_servers": Stage.BUILD,
    "await_servers": Stage.BUILD,
    "configure": Stage.CONFIGURE,
    "verify": Stage.VERIFY,
    "report": Stage.REPORT,
}


class RunState(msgspec.Struct):
    run_id: str
    environment_id: str
    place: build.Preparation = msgspec.field(default_factory=build.Preparation)
    built: build.Built = msgspec.field(default_factory=build.Built)
    active_at: datetime | None = None
    failure: str = ""


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

    @step(undo="delete_environment", deadline_s=BUILD_DEADLINE_S)
    def receive(self) -> Outcome:
        """Make the runner's secrets and settle its script; cancel the branch's older runs."""
        with self.context.database.write() as connection:
            if runner.get(connection, self.run.id) is None:
                digest = script.ensure(connection, self.context.script)
                runner.add(connection, keys.new_runner(self.run.id, digest))
            for older in run.list_older(connection, self.run):
                if older.status == RunStatus.RUNNING:
                    flows.cancel(connection, older.id, f"run {self.run.id} is newer")
        return Next("build_network")

    @step(undo="delete_environment", deadline_s=BUILD_DEADLINE_S)
    def build_network(self) -> Outcome:
        cloud = self._cloud()
        self.state.place = build.look_up(cloud, self.wanted)
        key = self._runner().public_key
        build.ensure_network(cloud, self.environment.id, self.wanted, self.state.place, key)
        return Next("build_servers")

    @step(undo="delete_environment", deadline_s=BUILD_DEADLINE_S)
    def build_servers(self) -> Outcome:
        self.state.built = build.ensure_servers(
            self._cloud(),
            self.environment.id,
            self.wanted,
            self.state.place,
            user_data=self._user_data(),
            tags={
                "kumoi_run": self.run.id,
                "kumoi_environment": self.environment.id,
                "kumoi_commit": self.run.commit,
            },
        )
        with self.context.database.write() as connection:
            runner.set_job(connection, self.run.id, self._job(connection))
            where = build.url(self.wanted, self.state.built)
            environment.set_url(connection, self.environment.id, where)
        return Next("await_servers")

    @step(undo="delete_environment", deadline_s=BUILD_DEADLINE_S)
    def await_servers(self) -> Outcome:
        states = self._cloud().list_servers(build.prefix(self.environment.id))
        not_active = build.not_active(states, self.environment.id, self.wanted)
        if not_active:
            return Wait(not_active, SERVERS_AGAIN_S)
        self.state.active_at = self.context.clock.now()
        return Next("configure")

    # No undo from here on: the servers stay for people to look at, until they expire.
    @step(undo=None, deadline_s=FOREVER_S)
    def configure(self) -> Outcome:
        return self._await_stage(Stage.CONFIGURE, configure.failure, then="verify")

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
            _end(connection, self.run.id, status, failure, now)
        return Done()

    def delete_environment(self) -> Outcome:
        """Undo: start the flow that deletes the environment; the build makes nothing more."""
        with self.context.database.write() as connection:
            found = environment.get(connection, self.environment.id)
            if found is not None and found.status == environment.EnvironmentStatus.LIVE:
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

    def _runner_failure(self, stage: Stage) -> str:
        """Why the stage's result will not come any more; empty while it still may."""
        now = self.context.clock.now()
        if now - self.run.created_at > timedelta(seconds=self.context.cloud.run_deadline_s):
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
            "servers": build.servers(self.wanted, self.state.built),
            "configure": configure.tasks(self.wanted),
            "verify": verify.tasks(self.wanted),
        }

    def _user_data(self) -> str:
        """The runner's, with the script of the release that began the run."""
        found = self._runner()
        with self.context.database.read() as connection:
            source = script.get(connection, found.script)
        if source is None:
            raise Bug("the runner's script is not in the store")
        return user_data(self.context.cloud, self.context.host, source, found.token)

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
    run.add(connection, new_run)
    environment.add(connection, new_environment)
    state = RunState(run_id=new_run.id, environment_id=new_environment.id)
    flows.start(connection, KIND, new_run.id, state, subject=new_run.id)


def _on_change(connection: Connection, change: FlowChange) -> None:
    """The run's row follows its flow."""
    if change.status == flows.FlowStatus.RUNNING:
        run.enter(connection, change.subject, STAGES[change.step], change.waits_for, change.at)
    elif change.status != flows.FlowStatus.DONE:
        status = RunStatus.CANCELLED if change.cancelled else RunStatus.FAILED
        _end(connection, change.subject, status, change.failure, change.at)


def _end(
    connection: Connection, run_id: str, status: RunStatus, reason: str, now: datetime
) -> None:
    """End the run's row, unless it has ended, and forget the secrets of its runner."""
    runner.forget_secrets(connection, run_id)
    if run.end(connection, run_id, status, reason, now):
        log.event("run.ended", run=run_id, status=status, reason=reason)


KIND = FlowKind("run", RunState, PipelineRun, "receive", _on_change)
