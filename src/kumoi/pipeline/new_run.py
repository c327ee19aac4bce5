"""A run begins, in the branch's kept environment or in a new one: after a push, or once more.

Called by receive.py and the API, each in its own transaction.
"""

from __future__ import annotations

from datetime import datetime, timedelta

import msgspec
from sqlalchemy.engine import Connection

from kumoi.base.errors import Bug, Conflict
from kumoi.base.ids import new_hex_id
from kumoi.config import CloudSettings
from kumoi.engine import flow as flows
from kumoi.pipeline import environment as environment_file
from kumoi.pipeline import limits, queue
from kumoi.pipeline import run as pipeline_run
from kumoi.pipeline.stage import Stage
from kumoi.pipeline.store import delegation, environment, environment_key, repository, run
from kumoi.pipeline.store.environment import Environment
from kumoi.pipeline.store.repository import Branch, Repository
from kumoi.pipeline.store.run import Run

ID_LENGTH = 12  # Of runs and environments: short enough to read out, and in every name.


def make(found: Repository, head: Branch, now: datetime, owner: str) -> Run:
    """A run of a branch's head."""
    return Run(
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


def begin(
    connection: Connection,
    settings: CloudSettings,
    new: Run,
    wanted: environment_file.EnvironmentFile,
) -> str:
    """Begin a run; the id of its environment, for which somebody must act (store/delegation.py). Raises
    OverQuota, and has done nothing then.
    """
    ttl_s = wanted.ttl_s or settings.environment_ttl_s
    expires_at = new.created_at + timedelta(seconds=ttl_s)
    values = msgspec.to_builtins(wanted)
    kept = find_kept(connection, new.repository_id, new.branch, wanted)
    limits.require_environments(connection, settings, new.project_id, [(values, kept)])
    new = queue.enter(connection, settings, new)
    if kept is not None:
        # Not sooner than it was to end, which somebody may have asked for.
        expires_at = max(expires_at, kept.expires_at)
        pipeline_run.go_on(connection, new, kept, values, expires_at)
        return kept.id
    made = Environment(
        id=new_hex_id()[:ID_LENGTH],
        run_id=new.id,
        repository_id=new.repository_id,
        project_id=new.project_id,
        branch=new.branch,
        wanted=values,
        status=environment.EnvironmentStatus.LIVE,
        url="",
        reason="",
        deletions=0,
        created_at=new.created_at,
        expires_at=expires_at,
        name=wanted.name,
    )
    pipeline_run.begin(connection, new, made)
    return made.id


def retry(
    connection: Connection,
    settings: CloudSettings,
    before: Run,
    wanted: environment_file.EnvironmentFile,
    now: datetime,
) -> Run:
    """Begin a run of the same commit, for which acts who acted for the one before. Raises Conflict
    where nobody does any more, and OverQuota.
    """
    found = repository.get(connection, before.repository_id)
    lived = environment.of_run(connection, before)
    acting = delegation.get(connection, lived.id) if lived is not None else None
    if found is None or lived is None or acting is None:
        raise Conflict(f"nobody acts for run {before.id} any more: push again")
    branches = repository.list_branches(connection, found.id)
    head = next((each for each in branches if each.name == before.branch), None)
    sequence = (head.sequence if head is not None else before.sequence) + 1
    repository.set_branch(
        connection, found.id, Branch(before.branch, head.commit if head else "", sequence)
    )
    new = make(found, Branch(before.branch, before.commit, sequence), now, before.owner)
    environment_id = begin(connection, settings, new, wanted)
    if environment_id != lived.id:
        delegation.add(connection, found.id, environment_id, acting, now)
    begun = run.get(connection, new.id)
    if begun is None:
        raise Bug("the run that began is not in the store")
    return begun


def find_kept(
    connection: Connection,
    repository_id: str,
    branch: str,
    wanted: environment_file.EnvironmentFile,
) -> Environment | None:
    """The environment that a push is to go on with: the file keeps it, it is of that name, and the
    run that made it has not been taken back.
    """
    if not wanted.keep:
        return None
    for live in environment.list_live_of_branch(connection, repository_id, branch)[::-1]:
        is_whole = not flows.is_going_on(connection, live.run_id)
        has_key = environment_key.get(connection, live.id) is not None
        if live.name == wanted.name and live.wanted.get("keep") and is_whole and has_key:
            return live
    return None
