"""A pipeline run: receive, build, configure, verify, report.

The steps are fixed and whoever pushed waits for the outcome, so this is a flow. Building and
deleting happen in the cloud, as what the pusher delegated; configuring and verifying happen on the
runner, and its posts wake the flow. A build that fails takes back what it made; once the servers
stand, a failed run leaves them until the time to live is over, for people to look at.
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
from kumoi.engine.flow import Done, FlowKind, Moved, Next, Outcome, Wait, step
from kumoi.pipeline import build, configure, deletion, keys, verify
from kumoi.pipeline.cloud import Cloud
from kumoi.pipeline.environment import EnvironmentFile
from kumoi.pipeline.runner.script import user_data
from kumoi.pipeline.store import environment, repository, result, run, runner, script
from kumoi.pipeline.store.run import Run, RunStatus, Stage

BUILD_DEADLINE_S = 300.0
SERVERS_AGAIN_S = 0.3
RUNNER_AGAIN_S = 5.0  # Its posts wake us before.
RUNNER_CLAIM_S = 180.0  # From ACTIVE to the first word.
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
class Means:
    """What the steps work with. `began_at` is when this process did: silence before it was ours.
    `script` is this release's, for runners of runs that begin here.
    """

    cloud: CloudSettings
    host: HostSettings
    database: Database
    clock: Clock
    open_cloud: Callable[[str], Cloud]  # Of an environment.
    began_at: datetime
    script: str


class PipelineRun:
    """The steps. What a step must remember stands in `state`; all else is in rows."""

    def __init__(self, state: RunState, means: Means) -> None:
        self.state = state
        self.means = means
        with means.database.read() as connection:
            found = run.get(connection, state.run_id)
            lived = environment.get(connection, state.environment_id)
        if found is None or lived is None:
            raise Bug("the run or its environment is not in the store")
        self.run = found
        self.environment = lived
        self.wanted = msgspec.convert(lived.wanted, EnvironmentFile)

    @step(undo="delete_environment", deadline_s=BUILD_DEADLINE_S)
    def receive(self) -> Outcome:
        """Make the runner's keys and say what it will run; end the branch's older runs that still
        go on.
        """
        with self.means.database.write() as connection:
            if runner.get(connection, self.run.id) is None:
                digest = script.ensure(connection, self.means.script)
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
        with self.means.database.write() as connection:
            runner.set_job(connection, self.run.id, self._job(connection))
            where = build.url(self.wanted, self.state.built)
            environment.set_url(connection, self.environment.id, where)
        return Next("await_servers")

    @step(undo="delete_environment", deadline_s=BUILD_DEADLINE_S)
    def await_servers(self) -> Outcome:
        states = self._cloud().list_servers(build.prefix(self.environment.id))
        missing = build.waiting_for(states, self.environment.id, self.wanted)
        if missing:
            return Wait(missing, SERVERS_AGAIN_S)
        self.state.active_at = self.means.clock.now()
        return Next("configure")

    # No undo from here on: the servers stay for people to look at, until their time is over.
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
        now = self.means.clock.now()
        with self.means.database.write() as connection:
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
        """Undo: hand over to the flow that deletes, since nothing more is made now."""
        with self.means.database.write() as connection:
            found = environment.get(connection, self.environment.id)
            if found is not None and found.status == environment.EnvironmentStatus.LIVE:
                deletion.begin(connection, found, "its build was taken back")
        return Done()

    def _await_stage(
        self, stage: Stage, failure_of: Callable[[result.Result], str], *, then: str
    ) -> Outcome:
        with self.means.database.read() as connection:
            found = {each.stage: each for each in result.list_of_run(connection, self.run.id)}
        if stage in found:
            self.state.failure = failure_of(found[stage])
            return Next("report" if self.state.failure else then)
        self.state.failure = self._runner_failure(stage)
        return Next("report") if self.state.failure else Wait("the runner", RUNNER_AGAIN_S)

    def _runner_failure(self, stage: Stage) -> str:
        """Why nothing more is to be expected of the runner; empty while something is."""
        now = self.means.clock.now()
        if now - self.run.created_at > timedelta(seconds=self.means.cloud.run_deadline_s):
            return f"{stage}: the run took longer than {self.means.cloud.run_deadline_s} s"
        seen_at = self._runner().seen_at
        since = max(filter(None, (seen_at, self.state.active_at, self.means.began_at)))
        silent_s = RUNNER_SILENT_S if seen_at else RUNNER_CLAIM_S
        if (now - since).total_seconds() > silent_s:
            what = "has been silent" if seen_at else "did not call"
            return f"{stage}: the runner {what} for {silent_s:g} s"
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
        """With the script that the run began with, whatever this release's is."""
        found = self._runner()
        with self.means.database.read() as connection:
            source = script.get(connection, found.script)
        if source is None:
            raise Bug("the runner's script is not in the store")
        return user_data(self.means.cloud, self.means.host, source, found.token)

    def _runner(self) -> runner.Runner:
        with self.means.database.read() as connection:
            found = runner.get(connection, self.run.id)
        if found is None:
            raise Bug("the run's runner is not in the store")
        return found

    def _cloud(self) -> Cloud:
        return self.means.open_cloud(self.environment.id)


def begin(connection: Connection, new: Run, lived: environment.Environment) -> None:
    """Its rows and its flow, in the caller's transaction."""
    run.add(connection, new)
    environment.add(connection, lived)
    state = RunState(run_id=new.id, environment_id=lived.id)
    flows.start(connection, KIND, new.id, state, subject=new.id)


def _moved(connection: Connection, moved: Moved) -> None:
    """The run's row follows its flow."""
    if moved.status == flows.FlowStatus.RUNNING:
        run.enter(connection, moved.subject, STAGES[moved.step], moved.waits_for, moved.at)
    elif moved.status != flows.FlowStatus.DONE:
        status = RunStatus.CANCELLED if moved.cancelled else RunStatus.FAILED
        _end(connection, moved.subject, status, moved.failure, moved.at)


def _end(
    connection: Connection, run_id: str, status: RunStatus, reason: str, now: datetime
) -> None:
    """Only the first end counts, and nothing of the run opens anything after it."""
    runner.forget_secrets(connection, run_id)
    if run.end(connection, run_id, status, reason, now):
        log.event("run.ended", run=run_id, status=status, reason=reason)


KIND = FlowKind("run", RunState, PipelineRun, "receive", _moved)
