"""The pipeline's real API in this process without a socket, with environments to ask about. The identity service
and git are stand-ins: the store, the routes and their rules are the pipeline's own.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kumoi.base.clock import Clock
from kumoi.base.errors import Unauthenticated
from kumoi.base.secret import Secret
from kumoi.config import CloudSettings
from kumoi.engine.audit import Recorder
from kumoi.engine.db import Database
from kumoi.engine.http.app import App
from kumoi.engine.wake import Alarm
from kumoi.pipeline import environment as environment_file
from kumoi.pipeline import new_run
from kumoi.pipeline.api.request import Pipeline
from kumoi.pipeline.api.routes import SERVICES
from kumoi.pipeline.credentials import Credentials
from kumoi.pipeline.guarded_http import Guard
from kumoi.pipeline.identity import GitLogin, ProjectCaller
from kumoi.pipeline.push_copies import PushCopies
from kumoi.pipeline.store import delegation, environment_key, repository
from kumoi.pipeline.store.delegation import Delegation
from kumoi.pipeline.store.environment_key import EnvironmentKey
from kumoi.pipeline.store.own_credential import OwnCredential
from kumoi.pipeline.store.repository import Branch, Repository
from kumoi.pipeline.store.tables import metadata

TOKEN, PROJECT = "token", "a" * 32
REPOSITORY = "hello"
MANY = 1_000_000
FILE = """
servers:
  web: {image: debian-12, flavor: small}
"""


@dataclass
class IdentityService:
    """Knows one token, and has the application credentials that were made by it."""

    caller: ProjectCaller
    there: dict[str, OwnCredential] = field(default_factory=dict)

    def validate(self, token: str) -> ProjectCaller:
        if token != TOKEN:
            raise Unauthenticated("the token is not valid")
        return self.caller

    def login(self, login: GitLogin, _project: str, _source: str) -> ProjectCaller:
        if login.name not in self.there:
            raise Unauthenticated("the name or the password is wrong")
        return self.caller

    def delegate_by_token(self, _token: str, _caller: ProjectCaller, new: OwnCredential) -> str:
        key = f"{len(self.there):032x}"
        self.there[key] = new
        return key

    def end(self, given: Delegation) -> None:
        self.there.pop(given.credential_id, None)


class Repositories:
    """To which nobody has pushed but for REPOSITORY."""

    def list_heads(self, _project_id: str, name: str) -> dict[str, str] | None:
        return {"main": "0" * 40} if name == REPOSITORY else None

    def read_file(self, *_where: str) -> environment_file.ProjectFile:
        return environment_file.parse(FILE)

    def remove(self, *_where: str) -> None: ...


@dataclass
class InProcessPipeline:
    app: App
    database: Database
    settings: CloudSettings
    clock: Clock
    token: str = TOKEN
    project_id: str = PROJECT

    def add_environment(self, branch: str, name: str = REPOSITORY) -> tuple[str, str]:
        """A run that goes on, and its environment."""
        now = self.clock.now()
        wanted = Repository(f"id-{name}"[:32], PROJECT, "admin", name, now)
        with self.database.write() as connection:
            owner = repository.ensure(connection, wanted)
            new = new_run.make(owner, Branch(branch, "0" * 40, 1), now, "somebody")
            file = environment_file.parse(FILE).of_branch(branch)
            key = new_run.begin(connection, self.settings, new, file)
            environment_key.forget(connection, key)
            environment_key.add(connection, EnvironmentKey(key, "private", "public"))
            delegation.add(connection, owner.id, key, Delegation("c" * 32, Secret("secret")), now)
        return new.id, key


async def _alarm(database: Database) -> Alarm:
    return Alarm(database.listen)


@contextlib.contextmanager
def in_process_pipeline(
    directory: Path, database_url: str, runner: asyncio.Runner
) -> Iterator[InProcessPipeline]:
    """Its project may have as much as it likes, and its git hosts are on loopback. It is asked in the runner's
    loop.
    """
    settings = dataclasses.replace(
        CloudSettings(name="story", pipeline_database_url=database_url),
        project_runs=MANY,
        project_environments=MANY,
        project_environment_servers=MANY,
        project_environment_gib=MANY,
        project_repositories=MANY,
    )
    database = Database(database_url, wake_dir=directory)
    metadata.create_all(database.engine)
    clock, repositories = Clock(), Repositories()
    roles = frozenset({"admin", "member", "reader"})
    identity: Any = IdentityService(ProjectCaller("user", PROJECT, roles, "admin"))
    nobody: Any = None
    git: Any = repositories
    try:
        services = Pipeline(
            settings,
            git,
            database,
            clock,
            identity,
            Credentials(database, identity),
            runner.run(_alarm(database)),
            heads=nobody,
            copies=PushCopies(database, git, "host1"),
            guard=Guard.of(("127.0.0.0/8",)),
        )
        recorder = Recorder(database, clock)
        app = App(services, SERVICES, root="http://asked", recorder=recorder)
        yield InProcessPipeline(app, database, settings, clock)
    finally:
        database.close()
