"""Stage receive: a run for each new head of a branch.

Level-driven: `Heads` compares the branches in git with those in the store, so that a kill between a
push and its run loses nothing and doubles nothing. A push is a hint to look now. Git's own hooks
call receive_hook.py, which refuses a push without a readable kumoi.yaml before its branch moves.
"""

from __future__ import annotations

from typing import Protocol

from kumoi.base import log
from kumoi.base.clock import Clock
from kumoi.base.errors import Invalid, KumoiError, OverQuota
from kumoi.config import CloudSettings
from kumoi.engine.db import Database
from kumoi.pipeline import deletion, new_run
from kumoi.pipeline import environment as environment_file
from kumoi.pipeline.push_copies import PushCopies
from kumoi.pipeline.store import delegation, environment, repository, run
from kumoi.pipeline.store.repository import Branch, Repository

LOOK_AGAIN_S = 15.0


class ReadRepositories(Protocol):
    """What is read of pushed repositories."""

    def list_heads(self, project_id: str, name: str) -> dict[str, str] | None:
        """The commit of each branch; None until the first push has made the repository."""

    def read_file(self, project_id: str, name: str, commit: str) -> environment_file.ProjectFile:
        """kumoi.yaml at that commit. Raises Invalid."""


class Heads:
    """The reconciler from branches to runs."""

    def __init__(
        self,
        cloud: CloudSettings,
        repositories: ReadRepositories,
        database: Database,
        clock: Clock,
        *,
        copies: PushCopies | None = None,
    ) -> None:
        self._copies = copies
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
        """Begin a run for each branch of one repository whose head is new; the ids of the runs. Raises Transient
        where this host does not have what was pushed to another.
        """
        with self._database.read() as connection:
            found = repository.get(connection, found.id) or found
            seen = {head.name: head for head in repository.list_branches(connection, found.id)}
        if self._copies is not None:  # Of what was just read: older heads would look like new ones.
            self._copies.require_state(found, is_new=not seen)
        heads = self._repositories.list_heads(found.project_id, found.name)
        if heads is None or (self._copies and self._copies.is_changed_elsewhere(found)):
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
            latest = repository.get(connection, found.id) or found
            if (latest.changes, latest.changed_on) != (found.changes, found.changed_on):
                return []  # What was read may be older than what another host has seen since.
            current = repository.get_branch(connection, found.id, before.name)
            if (current or Branch(before.name, "", 0)) != before:
                return []
            repository.set_branch(connection, found.id, after)
            if not commit:
                for live in environment.list_live_of_branch(connection, found.id, before.name):
                    deletion.request(connection, live, f"branch {before.name} was deleted")
                return []
            owner = delegation.owner(connection, found.id)
            new = new_run.make(found, after, now, owner)
            if wanted is not None:
                try:
                    environment_id = new_run.begin(connection, self._cloud, new, wanted)
                    delegation.take(connection, found.id, environment_id, now)
                except OverQuota as over:  # The hook asked, or could not.
                    wanted, refusal = None, f"{over.message}, with a new commit"
            if wanted is None:
                run.add(connection, new)
                run.end(connection, new.id, run.RunStatus.FAILED, refusal, now)
        log.event("run.begun", run=new.id, repository=found.name, commit=commit)
        return [new.id]
