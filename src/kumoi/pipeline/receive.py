"""Stage receive: a run for each new head of a branch.

Level-driven: `Heads` compares the branches in git with those in the store, so that a kill between a
push and its run loses nothing and doubles nothing. A push is a hint to look now. Git's own hooks
call receive_hook.py, which refuses a push without a readable kumoi.yaml before its branch moves.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Protocol

import msgspec
from sqlalchemy.engine import Connection

from kumoi.base import log
from kumoi.base.clock import Clock
from kumoi.base.errors import Invalid, KumoiError
from kumoi.base.ids import new_hex_id
from kumoi.config import CloudSettings
from kumoi.engine import flow as flows
from kumoi.engine.db import Database
from kumoi.pipeline import deletion
from kumoi.pipeline import environment as environment_file
from kumoi.pipeline import run as pipeline_run
from kumoi.pipeline.stage import Stage
from kumoi.pipeline.store import delegation, environment, environment_key, repository, run
from kumoi.pipeline.store.repository import Branch, Repository

LOOK_AGAIN_S = 15.0
ID_LENGTH = 12  # Of runs and environments: short enough to read out, and in every name.


class ReadRepositories(Protocol):
    """What is read of pushed repositories."""

    def list_heads(self, project_id: str, name: str) -> dict[str, str] | None:
        """The commit of each branch; None until the first push has made the repository."""

    def read_file(self, project_id: str, name: str, commit: str) -> environment_file.ProjectFile:
        """kumoi.yaml at that commit. Raises Invalid."""


class Heads:
    """The reconciler from branches to runs."""

    def __init__(
        self, cloud: CloudSettings, repositories: ReadRepositories, database: Database, clock: Clock
    ) -> None:
        self._cloud = cloud
        self._repositories = repositories
        self._database = database
        self._clock = clock
        self._looked_s = -LOOK_AGAIN_S

    def round(self) -> None:
        """Compare every repository, at most once in LOOK_AGAIN_S: a push has its own hint."""
        now_s = self._clock.monotonic()
        if now_s < self._looked_s + LOOK_AGAIN_S:
            return
        self._looked_s = now_s
        with self._database.read() as connection:
            found = repository.list_all(connection)
        for each in found:
            try:
                self.look(each)
            except KumoiError as error:  # One that is broken must not keep the others waiting.
                log.failure("repository.not_read", error, repository=each.id)

    def look(self, found: Repository) -> list[str]:
        """Begin a run for each branch of one repository whose head is new; the ids of the runs."""
        with self._database.read() as connection:
            seen = {head.name: head for head in repository.list_branches(connection, found.id)}
        heads = self._repositories.list_heads(found.project_id, found.name)
        if heads is None:
            return []
        run_ids: list[str] = []
        for name in sorted(heads.keys() | seen.keys()):
            before = seen.get(name, Branch(name, "", 0))
            commit = heads.get(name, "")
            if commit != before.commit:
                run_ids += self._follow_branch(found, before, commit)
        return run_ids

    def _follow_branch(self, found: Repository, before: Branch, commit: str) -> list[str]:
        """Record a branch's new head and begin its run; without a commit the branch was deleted.
        Does nothing where another thread or process has recorded a head since `before` was read.
        """
        after = Branch(before.name, commit, before.sequence + 1)
        wanted, refusal = None, ""
        if commit:
            try:
                file = self._repositories.read_file(found.project_id, found.name, commit)
                wanted = file.of_branch(before.name)
            except Invalid as refused:  # A branch may have moved without the hook.
                refusal = refused.message
        now = self._clock.now()
        with self._database.write() as connection:
            branches = repository.list_branches(connection, found.id)
            current = next((each for each in branches if each.name == before.name), None)
            if (current or Branch(before.name, "", 0)) != before:
                return []
            repository.set_branch(connection, found.id, after)
            if not commit:
                for live in environment.list_live_of_branch(connection, found.id, before.name):
                    deletion.request(connection, live, f"branch {before.name} was deleted")
                return []
            new = _new_run(found, after, now, delegation.owner(connection, found.id))
            if wanted is None:
                run.add(connection, new)
                run.end(connection, new.id, run.RunStatus.FAILED, refusal, now)
            else:
                self.begin(connection, new, wanted)
        log.event("run.begun", run=new.id, repository=found.name, commit=commit)
        return [new.id]

    def begin(
        self, connection: Connection, new: run.Run, wanted: environment_file.EnvironmentFile
    ) -> str:
        """Begin a run in the branch's kept environment, or in a new one; the environment's id."""
        kept = kept_environment(connection, new, wanted)
        if kept is None:
            made = self._new_environment(new, wanted)
            pipeline_run.begin(connection, new, made)
        else:
            made = kept
            expires_at = new.created_at + timedelta(seconds=self._ttl_s(wanted))
            values = msgspec.to_builtins(wanted)
            pipeline_run.go_on(connection, new, kept, values, expires_at)
        delegation.take(connection, new.repository_id, made.id, new.created_at)
        return made.id

    def _ttl_s(self, wanted: environment_file.EnvironmentFile) -> int:
        return wanted.ttl_s or self._cloud.environment_ttl_s

    def _new_environment(
        self, new: run.Run, wanted: environment_file.EnvironmentFile
    ) -> environment.Environment:
        return environment.Environment(
            id=new_hex_id()[:ID_LENGTH],
            run_id=new.id,
            repository_id=new.repository_id,
            project_id=new.project_id,
            branch=new.branch,
            wanted=msgspec.to_builtins(wanted),
            status=environment.EnvironmentStatus.LIVE,
            url="",
            reason="",
            deletions=0,
            created_at=new.created_at,
            expires_at=new.created_at + timedelta(seconds=self._ttl_s(wanted)),
            name=wanted.name,
        )


def kept_environment(
    connection: Connection, new: run.Run, wanted: environment_file.EnvironmentFile
) -> environment.Environment | None:
    """The one that the run is to go on with: the file keeps it, it is of that name, and the run that
    made it has not been taken back.
    """
    if not wanted.keep:
        return None
    for live in environment.list_live_of_branch(connection, new.repository_id, new.branch)[::-1]:
        is_whole = not flows.is_going_on(connection, live.run_id)
        has_key = environment_key.get(connection, live.id) is not None
        if live.name == wanted.name and live.wanted.get("keep") and is_whole and has_key:
            return live
    return None


def _new_run(found: Repository, head: Branch, now: datetime, owner: str) -> run.Run:
    return run.Run(
        id=new_hex_id()[:ID_LENGTH],
        repository_id=found.id,
        project_id=found.project_id,
        branch=head.name,
        commit=head.commit,
        sequence=head.sequence,
        status=run.RunStatus.RUNNING,
        stage=Stage.RECEIVE,
        waits_for="",
        reason="",
        stages=[{"name": Stage.RECEIVE, "began_at": now.isoformat()}],
        created_at=now,
        owner=owner,
    )
