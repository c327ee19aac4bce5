"""The pipeline's flows in one thread, with a clock that is set and a cloud that behaves."""

from __future__ import annotations

from pathlib import Path

from tests.flows.fake_cloud import FakeCloud

from kumoi.base.clock import SetClock
from kumoi.base.ids import new_hex_id, new_id
from kumoi.config import CloudSettings, HostSettings
from kumoi.engine.db import Database
from kumoi.engine.flow_worker import LEASE_TTL_S, Flows
from kumoi.pipeline import environment, new_run
from kumoi.pipeline import run as pipeline_run
from kumoi.pipeline.expire import Expiry
from kumoi.pipeline.runner.script import MARK
from kumoi.pipeline.serve import kinds
from kumoi.pipeline.stage import Stage
from kumoi.pipeline.store import environment as environments
from kumoi.pipeline.store import repository as repositories
from kumoi.pipeline.store import result, run, runner
from kumoi.pipeline.store.delegation import Delegation
from kumoi.pipeline.store.environment import Environment
from kumoi.pipeline.store.repository import Repository
from kumoi.pipeline.store.run import Run

SCRIPT = f"# A release's runner.\n{MARK}\n"
TURNS_MAX = 300
HELLO = """
servers:
  web: {image: debian-12, flavor: small, count: 2, ports: [80]}
configure:
  - {on: web, run: ./deploy/web.sh}
verify:
  - {http: {on: web}}
"""


class Killed(BaseException):
    """Stands for kill -9: nothing of ours catches it."""


class World:
    def __init__(self, database: Database, folder: Path) -> None:
        self.database = database
        self.cloud = FakeCloud()
        self.ended: list[Delegation] = []  # What acts for no environment any more.
        self.clock = SetClock()
        database.set_clock(self.clock)
        (folder / "pki").mkdir(exist_ok=True)
        (folder / "pki" / "ca.crt").write_text("a certificate")
        self.here = HostSettings(state_dir=str(folder))
        self.settings = CloudSettings()
        self.restart()
        self.repository = self.repository_of("p1")

    def repository_of(self, project_id: str) -> Repository:
        new = Repository(new_id(), project_id, "demo", "hello", self.clock.now())
        with self.database.write() as connection:
            return repositories.ensure(connection, new)

    def restart(self, *, script: str = SCRIPT) -> None:
        """The pipeline's process begins anew; what the old one knew is gone. With another `script`
        it is of another release.
        """
        context = pipeline_run.RunContext(
            self.settings,
            self.here,
            self.database,
            self.clock,
            lambda _id: self.cloud,
            began_at=self.clock.now(),
            script=script,
        )
        self.flows = Flows(self.database, self.clock, kinds(context, lambda _id: self.cloud))
        self.expiry = Expiry(
            self.database,
            self.clock,
            lambda _id: self.cloud,
            end_delegation=self.ended.append,
            is_orphaned=lambda _id: self.cloud.refuses,
            retire=lambda: None,
        )

    def push(
        self,
        text: str = HELLO,
        branch: str = "main",
        sequence: int = 1,
        *,
        repository: Repository | None = None,
    ) -> Run:
        now = self.clock.now()
        into = repository or self.repository
        new = Run(
            id=new_hex_id()[:12],
            repository_id=into.id,
            project_id=into.project_id,
            branch=branch,
            commit=f"{sequence:040d}",
            sequence=sequence,
            status=run.RunStatus.RUNNING,
            stage=Stage.RECEIVE,
            waits_for="",
            reason="",
            stages=[{"name": "receive", "began_at": now.isoformat()}],
            created_at=now,
        )
        with self.database.write() as connection:
            wanted = environment.parse(text).of_branch(branch)
            new_run.begin(connection, self.settings, new, wanted)
        return new

    def turn(self) -> bool:
        """One step of one flow."""
        return self.flows.advance()

    def settle(self, *, until_s: float = 60.0) -> None:
        """Steps and time, until nothing more happens within that time."""
        spent_s = 0.0
        for _ in range(TURNS_MAX):
            if self.turn():
                continue
            if spent_s >= until_s:
                return
            self.clock.advance(1)
            self.expiry.expire()
            spent_s += 1
        raise AssertionError("the flows do not settle")

    def survive(self) -> None:
        """After a kill: a new process, and the dead one's leases run out."""
        self.clock.advance(LEASE_TTL_S + 1)
        self.restart()

    def runner_tells(self, of: Run, stage: str, *, passed: bool = True, reason: str = "") -> None:
        with self.database.write() as connection:
            runner.set_seen(connection, of.id, self.clock.now())
            result.add(connection, result.Result(of.id, stage, passed, reason, []))

    def run(self, of: Run) -> Run:
        with self.database.read() as connection:
            found = run.get(connection, of.id)
        assert found is not None
        return found

    def environment(self, of: Run) -> Environment:
        with self.database.read() as connection:
            found = environments.of_run(connection, run.get(connection, of.id))
        assert found is not None
        return found

    def verify(self, of: Run) -> None:
        """What a runner would report of a good commit, as soon as it may."""
        self.settle(until_s=10)
        self.runner_tells(of, "configure")
        self.runner_tells(of, "verify")
        self.settle(until_s=10)
