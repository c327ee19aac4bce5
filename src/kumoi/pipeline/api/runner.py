"""What a runner asks and tells. It sees its own run only, and every post may be repeated.

The one-time token of its user data buys a session: the runner chooses the session's secret itself,
so that a claim whose answer was lost can be made again, by the same runner and no other.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from sqlalchemy.engine import Connection

from kumoi.base.errors import Conflict, Invalid, NotFound
from kumoi.engine import flow as flows
from kumoi.engine.http.request import Reply
from kumoi.pipeline import git
from kumoi.pipeline.api.request import RunnerRequest
from kumoi.pipeline.keys import digest
from kumoi.pipeline.store import log, repository, result, run, runner
from kumoi.pipeline.store.run import Stage

SESSION_MIN = 32
SEEN_EVERY_S = 5
PART_BYTES = 65_536
TEXT_MAX = 262_144
OUTPUT_MAX = 16_384
CHECKS_MAX = 5_000


class RunnerClaim(msgspec.Struct):
    session: str


class Lines(msgspec.Struct):
    """`sequence` counts the runner's batches from 1; an empty text is a sign of life."""

    sequence: Annotated[int, msgspec.Meta(ge=0, le=2**31 - 1)]
    text: str


class Check(msgspec.Struct):
    suite: str
    name: str
    server: str
    seconds: float
    outcome: Literal["passed", "failed", "skipped"]
    output: str = ""


class StageResult(msgspec.Struct):
    stage: Literal["configure", "verify"]
    passed: bool
    reason: str = ""
    checks: list[Check] = []


def claim(request: RunnerRequest) -> Reply:
    """The job, with the key that opens the servers."""
    session = request.parse(RunnerClaim).session
    if len(session) < SESSION_MIN:
        raise Invalid(f"a session has at least {SESSION_MIN} characters", field="session")
    now = request.services.clock.now()
    with request.write() as connection:
        found = runner.get(connection, request.caller.run_id) or request.caller
        if found.session_hash not in ("", digest(session)):
            raise Conflict("this token has been claimed", code="runner.claimed")
        if found.job is None:
            raise Conflict("the job is not ready yet", code="runner.early")
        runner.set_session(connection, found.run_id, digest(session))
        runner.set_seen(connection, found.run_id, now)
        flows.wake(connection, found.run_id)
    return Reply(200, {"job": found.job, "private_key": found.private_key})


def tree(request: RunnerRequest) -> Reply:
    """The commit's files, as a tar."""
    with request.read() as connection:
        of = run.get(connection, request.caller.run_id)
        owner = repository.get(connection, of.repository_id) if of else None
    if of is None or owner is None:
        raise NotFound("run", request.caller.run_id)
    repositories = request.services.repositories
    folder = Path(tempfile.mkdtemp(prefix="tree-", dir=repositories.spool))
    path = folder / "tree.tar"
    try:
        git.archive(repositories.path_of(owner.project_id, owner.name), of.commit, path)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return Reply(200, stream=_once(path), media_type="application/x-tar")


def write_log(request: RunnerRequest) -> Reply:
    lines = request.parse(Lines)
    if len(lines.text) > TEXT_MAX:
        raise Invalid(f"a batch has at most {TEXT_MAX} characters", field="text")
    now = request.services.clock.now()
    text = lines.text.replace("\x00", "")
    with request.services.database.write(wakes=bool(text)) as connection:
        _seen(connection, request.caller, now)
        if text:
            log.append(connection, request.caller.run_id, lines.sequence, text)
    return Reply(204)


def write_result(request: RunnerRequest) -> Reply:
    told = request.parse(StageResult)
    if len(told.checks) > CHECKS_MAX:
        raise Invalid(f"at most {CHECKS_MAX} checks", field="checks")
    checks = [
        {**msgspec.to_builtins(check), "output": _shown(check.output)} for check in told.checks
    ]
    id = request.caller.run_id  # noqa: A001 - a run's
    now = request.services.clock.now()
    new = result.Result(id, Stage(told.stage), told.passed, _shown(told.reason), checks)
    with request.write() as connection:
        runner.set_seen(connection, id, now)
        result.add(connection, new)
        flows.wake(connection, id)
    return Reply(204)


def _shown(text: str) -> str:
    return text[-OUTPUT_MAX:].replace("\x00", "")


def _seen(connection: Connection, found: runner.Runner, now: datetime) -> None:
    """Not at every line: a row a second says nothing more than one in five."""
    if found.seen_at is None or now - found.seen_at > timedelta(seconds=SEEN_EVERY_S):
        runner.set_seen(connection, found.run_id, now)


def _once(path: Path) -> Iterator[bytes]:
    """The file's bytes; then it goes."""
    try:
        with path.open("rb") as file:
            while part := file.read(PART_BYTES):
                yield part
    finally:
        path.unlink(missing_ok=True)
        path.parent.rmdir()
