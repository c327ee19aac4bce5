"""The end of a push's answer: the progress of the runs that it began, until they have ended.

Git has answered before this begins, and the branches have moved: whoever leaves loses nothing but the
lines. A push that is `--quiet` or printed to no terminal is not held back, unless its option says so:
`-o kumoi.wait=yes`, or `no`. Called by git.py.
"""

from __future__ import annotations

import functools
import os
from collections.abc import AsyncIterator
from typing import IO

from kumoi.pipeline import push_packets
from kumoi.pipeline.api.request import PART_BYTES, Pipeline
from kumoi.pipeline.progress import RunProgress
from kumoi.pipeline.push_packets import PushRequest
from kumoi.pipeline.store import environment, result, run
from kumoi.pipeline.store.repository import Repository
from kumoi.pipeline.store.run import Run

HEADS = "refs/heads/"
WAIT, LEAVE = "kumoi.wait=yes", "kumoi.wait=no"
WAIT_MAX_S = 900.0
BEGINS_WITHIN_S = 20.0
ALIVE_EVERY_S = 5.0
FOLLOWED_MAX = 5
BEGUN = "Ctrl-C ends these lines, and not the run"
AWAY = "the pipeline is being replaced; the run goes on, follow it with the command above"
LONG = "the run goes on; follow it with the command above"
LATE = "the push is kept; its run begins as soon as the pipeline can"


def waits(asked: PushRequest) -> bool:
    """Whether whoever pushes is to see the run."""
    wanted = WAIT in asked.options or not asked.is_quiet
    return asked.has_side_band and wanted and LEAVE not in asked.options


async def followed(
    pipeline: Pipeline, found: Repository, asked: PushRequest, answer: IO[bytes]
) -> AsyncIterator[bytes]:
    """Git's answer, whose body begins where the file stands, with the progress before its last packet.
    Closes the file.
    """
    with answer:
        began = answer.tell()
        moved = push_packets.accepted(answer)
        size = answer.seek(0, os.SEEK_END) - len(push_packets.FLUSH)
        answer.seek(began)
        while part := answer.read(min(PART_BYTES, size - answer.tell())):
            yield part
        last = answer.read()
    del answer  # It counts as held (spool.py) until nobody has it.
    if last == push_packets.FLUSH:
        heads = {
            ref.removeprefix(HEADS): commit
            for ref, commit in asked.heads.items()
            if ref in moved and ref.startswith(HEADS) and commit.strip("0")
        }
        async for part in _progress(pipeline, found, heads):
            yield part
    yield last


async def _progress(
    pipeline: Pipeline, found: Repository, heads: dict[str, str]
) -> AsyncIterator[bytes]:
    """Packets with each line as soon as there is one."""
    clock, alarm = pipeline.clock, pipeline.alarm
    began_s = clock.monotonic()
    following = {name: RunProgress() for name in sorted(heads)[:FOLLOWED_MAX]}
    if following:
        yield push_packets.shown(f"{BEGUN}\n")
    sent_s = began_s
    while following:
        count = alarm.count
        for branch, progress in list(following.items()):
            of_push = (pipeline, found, branch, heads[branch], progress)
            look = functools.partial(_look, *of_push)
            newest, lines = await pipeline.look_turns.run(found.project_id, look)
            about = f"{branch}: " if len(heads) > 1 else ""
            if newest is None and clock.monotonic() - began_s > BEGINS_WITHIN_S:
                lines = [LATE]
            if lines:
                yield push_packets.shown("".join(f"{about}{line}\n" for line in lines))
                sent_s = clock.monotonic()
            if lines == [LATE] or (newest is not None and newest.ended_at is not None):
                del following[branch]
        passed_s = clock.monotonic() - began_s
        if following and (pipeline.draining.is_set() or passed_s > WAIT_MAX_S):
            yield push_packets.shown(f"{AWAY if pipeline.draining.is_set() else LONG}\n")
            return
        if following:
            await alarm.wait(ALIVE_EVERY_S, after=count)
            if clock.monotonic() - sent_s > ALIVE_EVERY_S:
                yield push_packets.ALIVE
                sent_s = clock.monotonic()


def _look(
    pipeline: Pipeline, found: Repository, branch: str, commit: str, progress: RunProgress
) -> tuple[Run | None, list[str]]:
    """The push's run, and the new lines about it."""
    with pipeline.database.read() as connection:
        newest = run.find_of_push(connection, found.id, branch, commit)
        if newest is None or not progress.has_news(newest):
            return newest, []
        results = result.list_of_run(connection, newest.id)
        built = environment.of_run(connection, newest)
    report_url = f"{pipeline.cloud.pipeline_url}/reports/{found.project_name}/{newest.id}"
    return newest, progress.lines(newest, results, built.url if built else "", report_url)
