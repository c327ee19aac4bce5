"""The API of runners: claim the job, fetch the sources, post log lines and results.

A runner sees its own run only, and may repeat every post. The one-time token of its user data is
exchanged for a session whose secret the runner chooses itself, so that a claim whose answer was
lost can be made again, by the same runner and no other.
"""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Annotated, Any, Literal

import msgspec
from anyio import to_thread
from sqlalchemy.engine import Connection

from kumoi.base.errors import Conflict, Invalid, NotFound, Unauthenticated
from kumoi.engine import flow as flows
from kumoi.engine.http.bounds import Text
from kumoi.engine.http.request import Reply
from kumoi.pipeline.api.request import RunnerRequest, file_parts
from kumoi.pipeline.keys import digest
from kumoi.pipeline.stage import Stage
from kumoi.pipeline.store import (
    environment,
    log,
    repository,
    repository_secret,
    result,
    run,
    runner,
)

SESSION_MIN = 32
SESSION_HASH = re.compile(r"[0-9a-f]{64}")
NEXT_WAIT_S = 20.0
SEEN_EVERY_S = 5
TEXT_MAX = 262_144
OUTPUT_MAX = 16_384
CHECKS_MAX = 5_000
RESULT_MAX = 800_000  # As the runner has it.

LongText = Annotated[str, msgspec.Meta(max_length=RESULT_MAX)]


class RunnerClaim(msgspec.Struct):
    session: Text


class LogBatch(msgspec.Struct):
    """Lines of the log. `sequence` counts the runner's batches from 1; an empty text only says that
    the runner is alive.
    """

    sequence: Annotated[int, msgspec.Meta(ge=0, le=2**31 - 1)]
    text: Annotated[str, msgspec.Meta(max_length=TEXT_MAX)]


class Check(msgspec.Struct):
    suite: LongText
    name: LongText
    server: Text
    seconds: float
    outcome: Literal["passed", "failed", "skipped"]
    output: LongText = ""


class StageResult(msgspec.Struct):
    stage: Literal["configure", "verify"]
    passed: bool
    reason: LongText = ""
    checks: Annotated[list[Check], msgspec.Meta(max_length=CHECKS_MAX)] = []


def claim(request: RunnerRequest) -> Reply:
    """The runner's job, with the SSH key of the environment's servers and the repository's secrets."""
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
        return Reply(200, _claimed(connection, found))


async def next_(request: RunnerRequest) -> Reply:
    """The next job of a kept environment, for the runner that has ended one. It is held back until
    there is one, for NEXT_WAIT_S; then the answer has none. `session_hash` is that of the secret by
    which the runner will be known.
    """
    session_hash = request.query.get("session_hash", "")
    if not SESSION_HASH.fullmatch(session_hash):
        raise Invalid("session_hash is the SHA-256 of a session, in hex", field="session_hash")
    clock, alarm = request.services.clock, request.services.alarm
    deadline_s = clock.monotonic() + NEXT_WAIT_S
    while True:
        count = alarm.count
        found = await to_thread.run_sync(_next_claim, request, session_hash)
        left_s = deadline_s - clock.monotonic()
        if found is not None or left_s <= 0:
            break
        await alarm.wait(left_s, after=count)
    if found is None:
        return Reply(200, {"job": None, "private_key": ""})
    return Reply(200, found)


def _claimed(connection: Connection, found: runner.Runner) -> dict[str, Any]:
    """All that the runner is given. The values of secrets are in no row of the run's."""
    mine = run.get(connection, found.run_id)
    names = (found.job or {}).get("secrets", [])
    values = repository_secret.values(connection, mine.repository_id, names) if mine else {}
    secrets = {name: value.reveal() for name, value in values.items()}
    return {"job": found.job, "private_key": found.private_key, "secrets": secrets}


def _next_claim(request: RunnerRequest, session_hash: str) -> dict[str, Any] | None:
    """The environment's newest run, where its job is ready: from now on it is this session's."""
    with request.read() as connection:
        last = run.get(connection, request.caller.run_id)
        lived = environment.of_run(connection, last)
        if lived is None or lived.status != environment.EnvironmentStatus.LIVE:
            raise Unauthenticated("the environment is deleted")
        found = runner.get(connection, lived.newest_run_id)
    if found is None or found.run_id == request.caller.run_id or found.job is None:
        return None
    if found.session_hash not in ("", session_hash):
        raise Unauthenticated("another runner has the environment's job")
    if found.session_hash == "":
        with request.write() as connection:
            if not runner.set_first_session(connection, found.run_id, session_hash):
                return None  # Another one was quicker; the next look says so.
            runner.set_seen(connection, found.run_id, request.services.clock.now())
            flows.wake(connection, found.run_id)
    with request.read() as connection:
        return _claimed(connection, found)


def tree(request: RunnerRequest) -> Reply:
    """The files of the run's commit, as a tar. Raises Transient while the project reads too many."""
    with request.read() as connection:
        found = run.get(connection, request.caller.run_id)
        owner = repository.get(connection, found.repository_id) if found else None
    if found is None or owner is None:
        raise NotFound("run", request.caller.run_id)
    request.services.copies.require_here(owner)
    repositories = request.services.repositories
    tar = repositories.spool.answer(owner.project_id)
    try:
        repositories.archive(owner.project_id, owner.name, found.commit, tar)
        tar.seek(0)
    except BaseException:
        tar.close()
        raise
    return Reply(200, stream=file_parts(tar), media_type="application/x-tar")


def write_log(request: RunnerRequest) -> Reply:
    batch = request.parse(LogBatch)
    caller, now = request.caller, request.services.clock.now()
    text = batch.text.replace("\x00", "")
    with request.services.database.write(wakes=bool(text)) as connection:
        # Not at every batch: the row is written once in SEEN_EVERY_S.
        if caller.seen_at is None or now - caller.seen_at > timedelta(seconds=SEEN_EVERY_S):
            runner.set_seen(connection, caller.run_id, now)
        if text:
            log.append(connection, caller.run_id, batch.sequence, text)
    return Reply(204)


def write_result(request: RunnerRequest) -> Reply:
    reported = request.parse(StageResult)
    checks = [
        {**msgspec.to_builtins(check), "output": _storable(check.output)}
        for check in reported.checks
    ]
    run_id, now = request.caller.run_id, request.services.clock.now()
    stage, reason = Stage(reported.stage), _storable(reported.reason)
    with request.write() as connection:
        runner.set_seen(connection, run_id, now)
        result.add(connection, result.Result(run_id, stage, reported.passed, reason, checks))
        flows.wake(connection, run_id)
    return Reply(204)


def _storable(text: str) -> str:
    """The end of a text, within the bound of a column, without the NUL that PostgreSQL refuses."""
    return text[-OUTPUT_MAX:].replace("\x00", "")
